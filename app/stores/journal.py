"""Counts predictions durably at the cost of one small write to a local file.

A process appends to a file of its own, which it keeps locked. What lies there survives the process, however
it ends; whoever finds a file unlocked, this process or another, counts what is in it and removes it.
"""

import fcntl
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple
from uuid import uuid4

import structlog

from app.domain import ModelType

SUFFIX = ".jsonl"
AT_ONCE, BREATH_SECONDS = 50, 0.0005  # records read before requests that wait for the interpreter have it
log = structlog.get_logger()


class Predicted(NamedTuple):
    """One answered request for predictions; `seconds` is what it took, `at` when, in seconds of the epoch."""

    user_id: str
    model_type: ModelType
    rows: int
    seconds: float
    at: float

    @property
    def day(self) -> date:
        """By UTC."""
        return datetime.fromtimestamp(self.at, UTC).date()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one file held; the id tells a batch that comes again."""

    id: str
    records: tuple[Predicted, ...]


class Journal:
    """The files of all processes of this machine, in one folder; safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._lock = Lock()

    def append(self, record: Predicted) -> None:
        """Writes a record down; it is counted even if this process is killed.

        Raises
        ------
        OSError
            The disk is full or not writable.
        """
        user_id, model_type, rows, seconds, at = record
        line = f'["{user_id}","{model_type}",{rows},{seconds},{at}]\n'.encode()
        with self._lock:
            if self._file is None:
                self._file = self._new_file()
            self._file.write(line)

    def batches(self) -> Iterator[Batch]:
        """What no living process is writing, this process's own records among it.

        A batch is forgotten when the next one is asked for, and comes again if that never happens.
        """
        self.close()
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            yield from self._taken(path)

    def close(self) -> None:
        """Leaves this process's file to whoever counts next."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _new_file(self) -> BinaryIO:
        """An empty file, which gets its name once it is locked."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / uuid4().hex
        file = path.open("ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        path.rename(path.with_suffix(SUFFIX))
        return file

    def _taken(self, path: Path) -> Iterator[Batch]:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield Batch(id=path.stem, records=tuple(_records(file)))
                path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):  # another has counted it, or is writing or counting it
            return


def _records(lines: BinaryIO) -> Iterator[Predicted]:
    for number, line in enumerate(lines, start=1):
        if number % AT_ONCE == 0:
            time.sleep(BREATH_SECONDS)
        try:
            user_id, model_type, rows, seconds, at = json.loads(line)
        except ValueError:  # the disk was full in the midst of a line
            log.warning("usage_record_torn", length=len(line))
            continue
        yield Predicted(user_id=user_id, model_type=ModelType(model_type), rows=rows, seconds=seconds, at=at)
