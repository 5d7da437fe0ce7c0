"""A small disk of its own for the data directory, which can be made full and emptied again."""

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

BYTES = 2 << 30  # of memory, at most; what is used of it counts
SLACK = 64 * 1024
MOUNT_SECONDS = 30


class NoDisk(Exception):
    """This machine lets us make none; the message says why."""


class Disk:
    """A tmpfs in a folder, unmounted when the context is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NoDisk("only root can mount a disk to fill")
        self.folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={BYTES},mode=700", "lapwise-chaos", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(20):  # whatever is in it may still be ending
            if subprocess.run(["umount", str(self.folder)], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.5)
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Makes the disk as large as what is on it."""
        for slack in (SLACK, 16 * SLACK, 64 * SLACK):  # more may be written this moment
            try:
                return self._resize(self.used + slack)
            except NoDisk:
                continue
        self._resize(self.used + 256 * SLACK)

    def free(self) -> None:
        self._resize(BYTES)

    def is_full(self) -> bool:
        """Whether a file of any size to speak of is refused."""
        probe = self.folder / "probe"
        try:
            probe.write_bytes(b"0" * 4 * SLACK)
        except OSError:
            return True
        finally:
            probe.unlink(missing_ok=True)
        return False

    @property
    def used(self) -> int:
        """Bytes on it."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _resize(self, size: int) -> None:
        _mount("-o", f"remount,size={size}", str(self.folder))


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(
            ["mount", *arguments], check=True, capture_output=True, text=True, timeout=MOUNT_SECONDS
        )
    except FileNotFoundError as exc:
        raise NoDisk("there is no mount command here") from exc
    except subprocess.CalledProcessError as exc:
        raise NoDisk(f"mount refuses: {exc.stderr.strip()}") from exc
