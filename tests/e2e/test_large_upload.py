"""A 200 MB upload, with the memory it takes."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.local.child import ChildPlatform
from tests.e2e.conftest import new_driver
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

MEBIBYTE = 1 << 20


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ChildPlatform]:
    """A platform of this test's own: what others have asked of one is not to count."""
    with ChildPlatform(tmp_path / "data") as running:
        yield running


def test_a_200_mb_upload_works_in_under_1_gib_of_each_process(fresh: ChildPlatform, files: Path) -> None:
    path = files / "large.csv"
    laps = repeat_laps(session_file(files, laps=30, sample_rate=60.0), path, size=200 * MEBIBYTE)
    with new_driver(fresh) as driver:
        answer = driver.upload(path, TRACK)
        driver.wait(answer["jobs"][0]["id"], seconds=200)
    assert answer["session"]["lapsCount"] == laps
    for name in ("web", "worker"):
        main = psutil.Process(fresh.endpoints()["pids"][name])
        for process in (main, *main.children(recursive=True)):
            assert peak_mebibytes(process.pid) < 1024, name


def repeat_laps(source: Path, target: Path, *, size: int) -> int:
    """Writes a session's laps again and again under rising numbers; how many laps there are."""
    header, *rows = gzip.decompress(source.read_bytes()).decode().splitlines(keepends=True)
    split = [row.split(",", 1) for row in rows]
    last = int(split[-1][0])
    laps = 0
    with target.open("w") as stream:
        stream.write(header)
        while stream.tell() < size:
            stream.writelines(f"{int(lap) + laps},{rest}" for lap, rest in split)
            laps += last
    return laps


def peak_mebibytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024
