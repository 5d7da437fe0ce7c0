"""Session files on their way: read from disk as they are sent, whole or as rows, with the progress told."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from app.client.connection import ApiError

OnProgress = Callable[[int, int], None]  # done and total: bytes of a whole file, rows of one in chunks
CHUNK_VALUES = 300_000  # of one chunk: some 6 MB of JSON
CHUNK_ROWS = 20_000  # so that progress shows also where rows are short
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip and zstd


class CountedFile(io.FileIO):
    """A file that tells how much of it was read; one that is sent again begins again."""

    def __init__(self, path: Path, on_progress: OnProgress) -> None:
        super().__init__(path)
        self._total = path.stat().st_size
        self._on_progress = on_progress

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self._on_progress(self.tell(), self._total)
        return data


class Table:
    """A file of rows, CSV, JSON lines or Parquet, told apart by content and never whole in memory.

    Raises
    ------
    ApiError
        The file is no such table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _readable(path):
            self._scan = _scan(path)
            self._width = len(self._scan.collect_schema())
            self.rows = int(self._scan.select(pl.len()).collect().item())

    def chunks(self) -> Iterator[list[dict[str, Any]]]:
        """The rows in order, some thousand at a time; NaN and infinity, which JSON has not, are null."""
        rows = max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, self._width)))
        with _readable(self._path):
            for batch in self._scan.collect_batches(chunk_size=rows):
                floats = cs.float()
                yield batch.with_columns(pl.when(floats.is_finite()).then(floats)).to_dicts()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as exc:
        raise ApiError("not_a_table", f"{path.name} is no table of rows, send it whole: {exc}") from exc


def _scan(path: Path) -> pl.LazyFrame:
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(b"PAR1"):
        return pl.scan_parquet(path)
    if head.lstrip().startswith(b"{"):
        return pl.scan_ndjson(path, infer_schema_length=None)
    if b"\0" in head and not head.startswith(COMPRESSED):
        raise pl.exceptions.ComputeError("it is binary")
    return pl.scan_csv(path, infer_schema_length=None)  # a column may turn out to have fractions late
