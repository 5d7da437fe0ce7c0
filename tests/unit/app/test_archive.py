"""A backup's file comes back as it was written, and nothing cut off, altered or foreign is taken for one."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import bson
import pytest
import zstandard

from app.errors import BackupRefused
from app.stores import archive
from app.stores.archive import Contents, Head, Writer, check, parts

KEY = b"the key of the tests"
HEAD = Head(database="lapwise", created_at="2026-01-01T00:00:00.000Z", migrations=("m0001_indexes",))
DOCUMENTS = {"users": [{"_id": "ann"}], "jobs": [{"_id": number, "x": "y" * 50} for number in range(40)]}


def written(*, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, HEAD, key=key)
    for name, documents in DOCUMENTS.items():
        writer.add(name, (bson.encode(document) for document in documents))
    writer.close({"sessions": ["gone"]})
    return file.getvalue()


def checked(data: bytes, *keys: bytes) -> Contents:
    return check(io.BytesIO(data), keys=keys or (KEY,), on_read=lambda _: None)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PART_BYTES", 500)


def test_what_was_written_comes_back_part_by_part() -> None:
    contents = checked(written())
    assert contents == Contents(head=HEAD, documents={"users": 1, "jobs": 40}, removed={"sessions": ["gone"]})
    found: dict[str, list[Any]] = {"users": [], "jobs": []}
    sizes = []
    for name, data in parts(io.BytesIO(written()), lambda _: None):
        found[name] += bson.decode_all(data)
        sizes.append(len(data))
    assert found == DOCUMENTS
    assert max(sizes) < 600


def test_it_is_a_plain_tar_of_bson() -> None:
    plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(written()))
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        names = [member.name for member in tar]
    assert names[:3] == ["backup.json", "users/000001.bson", "jobs/000001.bson"]
    assert names[-1] == "contents.json"


def test_a_file_cut_off_anywhere_is_refused() -> None:
    whole = written()
    for length in range(0, len(whole), 7):
        with pytest.raises(BackupRefused):
            checked(whole[:length])


def test_a_flipped_bit_is_refused_or_changes_nothing() -> None:
    whole = written()
    refused = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        try:
            checked(bytes(flipped))
            assert list(members(bytes(flipped))) == list(members(whole))
        except BackupRefused:
            refused += 1
    assert refused > 0.95 * len(whole)


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            yield member.name, content.read() if content else b""


def packed(*content: tuple[str, bytes]) -> bytes:
    """A file of these members, as anybody could make one."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in content:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(plain.getvalue())


def test_a_member_that_was_exchanged_left_out_or_added_is_refused() -> None:
    head, users, *jobs, contents = members(written())
    assert checked(packed(head, users, *jobs, contents)).documents == {"users": 1, "jobs": 40}
    other = ("users/000001.bson", bson.encode({"_id": "eve"}))
    for forged in (
        [head, other, *jobs, contents],
        [head, *jobs, contents],
        [head, *jobs, users, contents],
        [head, users, *jobs, other, contents],
        [head, users, *jobs, contents, other],
        [users, *jobs, contents],
    ):
        with pytest.raises(BackupRefused):
            checked(packed(*forged))


def test_an_end_that_was_written_anew_is_refused() -> None:
    *others, (name, data) = members(written())
    forged = json.dumps(json.loads(data) | {"removed": {"sessions": ["another"]}}).encode()
    with pytest.raises(BackupRefused, match="altered"):
        checked(packed(*others, (name, forged)))


def test_a_backup_of_another_form_is_refused() -> None:
    (name, data), *others = members(written())
    newer = json.dumps(json.loads(data) | {"format": "lapwise-backup-2"}).encode()
    with pytest.raises(BackupRefused, match="of the form lapwise-backup-2, this release reads"):
        checked(packed((name, newer), *others))


def test_a_backup_made_with_another_key_says_what_to_do() -> None:
    with pytest.raises(BackupRefused, match="another LAPWISE_MODEL_KEY"):
        checked(written(key=b"old"))
    assert checked(written(key=b"old"), KEY, b"old").head == HEAD


@pytest.mark.parametrize("data", [b"", b"not a backup", zstandard.ZstdCompressor().compress(b"text" * 999)])
def test_any_other_file_is_refused(data: bytes) -> None:
    with pytest.raises(BackupRefused):
        checked(data)


def test_a_member_larger_than_any_part_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_PART_BYTES", 100)
    with pytest.raises(BackupRefused, match="which no backup does"):
        checked(written())
