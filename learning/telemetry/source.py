"""What an upload may cost, and its bytes without the compression around them."""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.laps import Lap

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
CHUNK = 1 << 20
ZSTD_WINDOW = 1 << 27  # what the zstd command itself refuses to go beyond
ZSTD_PIECE = 1 << 10  # zstd unfolds up to 32,000-fold, so a piece becomes 32 MB at most


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one upload may unfold to."""

    decoded_bytes: int = 1 << 30
    rows: int = 20_000_000
    columns: int = 1024
    laps: int = 5000
    name_length: int = 200
    json_depth: int = 32


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The laps in a file, and what it says of track, car, and of the driver where it names several."""

    laps: tuple[Lap, ...]
    track_name: str | None = None
    car_model: str | None = None
    driver: str | None = None


def printable(text: str) -> str:
    """A text from a file without what cannot be shown; half a surrogate pair cannot even be stored."""
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


@contextmanager
def decoded(path: Path, limits: Limits) -> Iterator[tuple[Path, str]]:
    """The file without gzip or zstd around it, and the name of what was around it (`""`, `"gzip"`, `"zstd"`).

    A compressed file is decoded into a temporary one that is gone when the context ends. Decoding stops at
    `limits.decoded_bytes`, so a bomb costs that much disk and no memory.

    Raises
    ------
    InvalidTelemetry
        The file is empty, or its compressed data is damaged or cut short.
    TelemetryTooLarge
        It decodes to more than the limit.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if not magic:
            raise InvalidTelemetry("The file is empty; upload a session with at least one complete lap.")
        if magic.startswith(GZIP_MAGIC):
            kind, chunks = "gzip", _gunzipped(file)
        elif magic == ZSTD_MAGIC:
            kind, chunks = "zstd", _unzstd(file)
        else:
            check_size(path.stat().st_size, limits)
            yield path, ""
            return
        with tempfile.NamedTemporaryFile(prefix="lapwise-") as plain:
            _spool(chunks, plain, limits)
            yield Path(plain.name), kind


def _spool(chunks: Iterator[bytes], plain: "tempfile._TemporaryFileWrapper[bytes]", limits: Limits) -> None:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        check_size(size, limits)
        plain.write(chunk)
    plain.flush()
    if not size:
        raise InvalidTelemetry("The compressed file holds nothing; upload a session with at least one lap.")


def check_size(size: int, limits: Limits) -> None:
    """Refuses more bytes than an upload may decode to."""
    if size > limits.decoded_bytes:
        raise TelemetryTooLarge(
            f"Decoded, the file is larger than {limits.decoded_bytes:,} bytes; split the session.",
            limit=limits.decoded_bytes,
        )


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as members:
            while chunk := members.read(CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise InvalidTelemetry(
            "The gzip data is damaged or cut short; compress and upload the file again.", cause=str(exc)
        ) from exc


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    decompressor, frame = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW), None
    try:
        while piece := file.read(ZSTD_PIECE):
            while piece:
                frame = frame or decompressor.decompressobj()
                yield frame.decompress(piece)
                piece = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
    except zstandard.ZstdError as exc:
        raise InvalidTelemetry("The zstd data is damaged; compress it again.", cause=str(exc)) from exc
    if frame is not None:
        raise InvalidTelemetry("The zstd data is cut short; compress and upload the file again.")
