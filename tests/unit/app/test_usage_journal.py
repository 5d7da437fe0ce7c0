"""What predictions leave on the disk is counted once, however the process that wrote it ended."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from app.domain import ModelType
from app.histogram import bucket_of, percentile
from app.services.usage import Usage
from app.stores.journal import Batch, Journal, Predicted

NOON = datetime(2026, 2, 11, 12, tzinfo=UTC).timestamp()
WRITER = """
import sys, time
from pathlib import Path
from app.domain import ModelType
from app.stores.journal import Journal, Predicted
journal = Journal(Path(sys.argv[1]))
for rows in range(3):
    journal.append(Predicted(user_id="child", model_type=ModelType.SECTOR_ANALYSIS, rows=rows, seconds=0.1,
                             at=time.time()))
print("written", flush=True)
time.sleep(60)
"""


def predicted(**fields: Any) -> Predicted:
    values: dict[str, Any] = {
        "user_id": "max",
        "model_type": ModelType.LAP_TIME_PREDICTION,
        "rows": 1,
        "seconds": 0.002,
        "at": NOON,
    }
    return Predicted(**values | fields)


def taken(journal: Journal) -> list[Predicted]:
    return [record for batch in journal.batches() for record in batch.records]


def test_what_was_noted_comes_back_once_and_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "usage")
    journal.append(predicted(rows=3))
    journal.append(predicted(user_id="lewis"))
    assert taken(journal) == [predicted(rows=3), predicted(user_id="lewis")]
    assert taken(journal) == []
    assert list((tmp_path / "usage").iterdir()) == []


def test_before_anything_was_noted_there_is_nothing(tmp_path: Path) -> None:
    assert taken(Journal(tmp_path / "usage")) == []


def test_records_of_many_threads_are_all_there_while_others_take_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        noted = [pool.submit(journal.append, predicted(rows=rows)) for rows in range(2_000)]
        seen = [record.rows for _ in range(20) for record in taken(journal)]
        assert [future.result() for future in noted] == [None] * 2_000
    seen += [record.rows for record in taken(journal)]
    assert Counter(seen) == Counter(range(2_000))


def test_a_batch_that_could_not_be_counted_comes_again_under_the_same_id(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(predicted())
    seen: list[Batch] = []
    with pytest.raises(ConnectionError):
        count_and_fail(journal, seen)
    assert list(journal.batches()) == seen


def count_and_fail(journal: Journal, seen: list[Batch]) -> None:
    for batch in journal.batches():
        seen.append(batch)
        raise ConnectionError("the database is away")


def test_a_living_process_keeps_its_file_and_a_killed_one_leaves_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        assert taken(journal) == []
        child.kill()
        child.wait(10)
    assert [(record.user_id, record.rows) for record in taken(journal)] == [("child", n) for n in range(3)]


def test_a_line_that_was_torn_costs_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(predicted())
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'["max", "lap_ti')
    assert taken(journal) == [predicted()]


def test_a_full_disk_does_not_fail_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Mock(Journal)
    journal.append.side_effect = OSError(28, "No space left on device")
    usage = Usage(client=Mock(), users=Mock(), journal=journal, store=Mock())
    usage.count("max", ModelType.LAP_TIME_PREDICTION, 1, 0.002)
    assert "prediction_not_counted" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
def test_percentiles_of_a_histogram_are_within_five_percent(share: float) -> None:
    seconds = np.random.default_rng(1).lognormal(-6.0, 1.0, 5_000)
    exact = float(np.quantile(seconds, share, method="inverted_cdf"))
    halves = (Counter(map(bucket_of, seconds[:2_000])), Counter(map(bucket_of, seconds[2_000:])))
    assert percentile(halves[0] + halves[1], share) == pytest.approx(exact, rel=0.05)
