"""The data directory's own files: private, never seen half written, and a lock that lets one run have it."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import StartFailed

SECRETS = ("LAPWISE_SECRET_KEY", "LAPWISE_MODEL_KEY", "LAPWISE_WEBHOOK_SECRET", "LAPWISE_FLOWER_PASSWORD")
FORMER_SECONDS = 90.0  # all programs of a killed run have stopped by then, the slowest by force


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file in one step; only its owner may read it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    beside.replace(path)


def local_secrets(path: Path) -> dict[str, str]:
    """The secrets of this data directory by variable, made the first time they are asked for.

    Raises
    ------
    StartFailed
        The file is damaged; new secrets would sign everybody out and disown every model, so none are made.
    """
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
        made = {name: str(found.get(name) or secrets.token_urlsafe(32)) for name in SECRETS}
    except (ValueError, AttributeError) as exc:
        raise StartFailed(f"{path} is damaged; restore it, or remove it to make new secrets") from exc
    if made != found:
        write_private(path, made)
    return made


def make_folders(folder: Path) -> None:
    """Makes the data directory, for its owner only, and the folders in it.

    Raises
    ------
    StartFailed
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in ("run", "logs", "mongo", "redis"):
            (folder / name).mkdir(exist_ok=True)
    except OSError as exc:
        raise StartFailed(f"LAPWISE_DATA_DIR cannot be used: {exc}") from exc


@contextmanager
def only_run(folder: Path, pause: Callable[[float], None]) -> Iterator[int]:
    """Makes this the data directory's only run, and gives the descriptor that proves it.

    supervisord inherits the descriptor, so the directory is free only when it has stopped its programs. After
    a `lapwise up` that was killed, the next one waits here until its supervisord has noticed.

    Raises
    ------
    StartFailed
        Another run has the directory.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + FORMER_SECONDS
        while not _locked(lock):
            owner = int(os.pread(lock, 20, 0) or 0)
            if is_alive(owner) or time.monotonic() > end:
                raise StartFailed(f"{folder.parent} is in use by `lapwise up`, process {owner}")
            pause(0.1)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        os.close(lock)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number; 0 is none."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
