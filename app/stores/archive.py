"""The file of a backup: a tar of BSON documents under zstd, which shows any loss or change of a byte.

`backup.json` comes first and says what the file is, then `COLLECTION/000001.bson` and so on with some
documents each, as mongodump writes them, last `contents.json` with a digest of all before, signed.
Neither writing nor reading holds more than one part in memory.
"""

import hashlib
import hmac
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import zstandard

from app.errors import BackupRefused
from app.keys import key_id

FORMAT = "lapwise-backup-1"
HEAD, CONTENTS = "backup.json", "contents.json"
PART_BYTES = 8 << 20  # of a part, and at most one document more
MAX_PART_BYTES = 64 << 20
_ZSTD_LEVEL = 3
_DAMAGED = (tarfile.TarError, zstandard.ZstdError, OSError, ValueError, KeyError, EOFError)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a backup says of itself; `migrations` are those its database had had."""

    database: str
    created_at: str
    migrations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """How many documents of each collection there are, and the ids of those removed while it was written."""

    head: Head
    documents: Mapping[str, int]
    removed: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Writer:
    """Writes one backup, signed with a key; what is not closed is no backup."""

    def __init__(self, file: IO[bytes], head: Head, *, key: bytes) -> None:
        self._key = key
        self._head = head
        self._digest = hashlib.sha256()
        self._documents: Counter[str] = Counter()
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        self._stream = compressor.stream_writer(file, closefd=False)
        self._tar = tarfile.open(fileobj=self._stream, mode="w|", format=tarfile.USTAR_FORMAT)
        about = {"format": FORMAT, "keyId": key_id(key), **_plain(head)}
        self._add(HEAD, json.dumps(about).encode())

    def add(self, collection: str, documents: Iterator[bytes]) -> None:
        """Adds a collection, as BSON documents."""
        number, part = 0, io.BytesIO()
        for document in documents:
            part.write(document)
            self._documents[collection] += 1
            if part.tell() >= PART_BYTES:
                number += 1
                self._add(f"{collection}/{number:06}.bson", part.getvalue())
                part = io.BytesIO()
        self._add(f"{collection}/{number + 1:06}.bson", part.getvalue())

    def close(self, removed: Mapping[str, Sequence[str]]) -> Contents:
        """Ends the file; what it holds."""
        contents = Contents(head=self._head, documents=dict(self._documents), removed=removed)
        unsigned = {
            "documents": contents.documents,
            "removed": dict(removed),
            "sha256": self._digest.hexdigest(),
        }
        self._add(CONTENTS, json.dumps(unsigned | {"signature": _signature(self._key, unsigned)}).encode())
        self._tar.close()
        self._stream.close()  # type: ignore[no-untyped-call]
        return contents

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o600
        self._tar.addfile(member, io.BytesIO(data))
        _hash(self._digest, name, data)


def check(file: IO[bytes], *, keys: Sequence[bytes], on_read: Callable[[int], None]) -> Contents:
    """What a backup holds, once all of it has been read and nothing of it is other than it was written.

    Parameters
    ----------
    keys
        One of them must have signed it: with another, none of its models could be read.
    on_read
        Told how far in the file it is, in bytes.

    Raises
    ------
    BackupRefused
    """
    digest = hashlib.sha256()
    members = _members(file, on_read)
    try:
        name, data = next(members)
        head, key = _opened(name, data, keys)
        while name != CONTENTS:
            _hash(digest, name, data)
            name, data = next(members)
        contents = json.loads(data)
        signature = contents.pop("signature")
        if next(members, None) is not None:
            raise BackupRefused("something stands behind the end of the backup")
    except StopIteration:
        raise BackupRefused("the backup has no end: it was cut off") from None
    except _DAMAGED as exc:
        raise BackupRefused(f"the backup is damaged or cut off: {exc}") from exc
    if contents["sha256"] != digest.hexdigest():
        raise BackupRefused("the backup is damaged: its digest is not the one written at its end")
    if not hmac.compare_digest(signature, _signature(key, contents)):
        raise BackupRefused("the backup was altered: its signature does not hold")
    return Contents(head=head, documents=contents["documents"], removed=contents["removed"])


def parts(file: IO[bytes], on_read: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    """The collections of a backup that was checked, some documents at a time."""
    for name, data in _members(file, on_read):
        if name not in (HEAD, CONTENTS):
            yield name.rpartition("/")[0], data


def _members(file: IO[bytes], on_read: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    file.seek(0)
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    with decompressor.stream_reader(file, closefd=False) as stream, _opened_tar(stream) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None or member.size > MAX_PART_BYTES:
                raise BackupRefused(f"the file holds {member.name!r}, which no backup does")
            yield member.name, content.read()
            on_read(file.tell())
        while stream.read(PART_BYTES):  # up to the checksum that zstd has at its end
            pass


def _opened_tar(stream: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


def _opened(name: str, data: bytes, keys: Sequence[bytes]) -> tuple[Head, bytes]:
    """The head of a backup, and the key that signed it."""
    if name != HEAD:
        raise BackupRefused("this is not a backup of Lapwise")
    about = json.loads(data)
    if about["format"] != FORMAT:
        raise BackupRefused(f"the backup is of the form {about['format']}, this release reads {FORMAT}")
    key = next((key for key in keys if about["keyId"] == key_id(key)), None)
    if key is None:
        raise BackupRefused(
            "the backup was made with another LAPWISE_MODEL_KEY, without which none of its models can be"
            " read; set the one it was made with"
        )
    head = Head(
        database=about["database"], created_at=about["createdAt"], migrations=tuple(about["migrations"])
    )
    return head, key


def _plain(head: Head) -> dict[str, Any]:
    return {"database": head.database, "createdAt": head.created_at, "migrations": list(head.migrations)}


def _hash(digest: Any, name: str, data: bytes) -> None:
    digest.update(f"{name}\n{len(data)}\n".encode())
    digest.update(data)


def _signature(key: bytes, unsigned: Mapping[str, Any]) -> str:
    text = f"{FORMAT}\n{json.dumps(unsigned, sort_keys=True)}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
