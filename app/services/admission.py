"""Bounds on what may wait: beyond them new work is refused, before anything of it is stored.

What has been taken stays taken; a repeat of a request that was answered is answered again and not counted.
The bounds are looked at before work is recorded, not locked, so requests at the same moment may go over them
by as many as there are threads.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from app.errors import Overloaded, TooMuchWaiting
from app.stores.turns import Turns
from app.stores.uploads import UploadStore

LOOK_SECONDS = 1.0  # between two counts of what waits
TALLIES = 10_000  # drivers whose counts are kept for so long


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much may wait at most, of one driver and in all.

    `jobs` are queued ones, `bytes` those of uploads in chunks that are not complete, and `reading` is how
    many uploads of a process are read or wait to be.
    """

    driver_jobs: int
    jobs: int
    driver_bytes: int
    bytes: int
    reading: int


class Admission:
    """Lets work in, or refuses it."""

    def __init__(self, turns: Turns, uploads: UploadStore, bounds: Bounds) -> None:
        self._uploads = uploads
        self._bounds = bounds
        most = bounds.driver_jobs
        self._driver_jobs = _Tally(lambda user_id: turns.waiting_of(user_id, most), near=most // 2)
        self._jobs = _Glance(lambda: turns.waiting(bounds.jobs))
        self._bytes = _Glance(uploads.waiting_bytes)
        self._reading = BoundedSemaphore(bounds.reading)

    def is_full(self) -> bool:
        """Whether as many jobs are queued as the platform takes."""
        return self._jobs.count() >= self._bounds.jobs

    def check_jobs(self, user_id: str, *, besides: int = 0) -> None:
        """For a driver's request that makes a job, `besides` others of the driver that are let in with it.

        Raises
        ------
        TooMuchWaiting
            Its driver has as many queued as one may have.
        Overloaded
            So has the platform.
        """
        most = self._bounds.driver_jobs
        if self._driver_jobs.count(user_id, besides) >= most:
            raise TooMuchWaiting(
                f"you have {most} jobs waiting, as many as a driver may have; go on when some are done",
                limit=most,
            )
        if self.is_full():
            raise Overloaded("as many jobs are waiting as the platform takes; try again later")

    def check_bytes(self, user_id: str, size: int) -> None:
        """For rows of an upload in chunks.

        Raises
        ------
        TooMuchWaiting, Overloaded
        """
        most = self._bounds.driver_bytes
        if self._uploads.waiting_bytes(user_id) + size > most:
            raise TooMuchWaiting(
                f"your unfinished uploads hold {most} bytes, as many as a driver's may; complete some first",
                limit=most,
            )
        if self._bytes.count() + size > self._bounds.bytes:
            raise Overloaded("as many uploads are unfinished as the platform takes; try again later")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One of the few uploads that a process reads, or has waiting for it.

        Raises
        ------
        Overloaded
            There are as many already; the threads that are left are for other requests.
        """
        with one_of_few(self._reading):
            yield


@contextmanager
def one_of_few(places: BoundedSemaphore) -> Iterator[None]:
    """A place for as long as the context lasts, or `Overloaded` at once."""
    if not places.acquire(blocking=False):
        raise Overloaded
    try:
        yield
    finally:
        places.release()


class _Glance:
    """A count that is looked up now and then."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._count = 0
        self._until = 0.0

    def count(self) -> int:
        if time.monotonic() >= self._until:
            self._count = self._look()
            self._until = time.monotonic() + LOOK_SECONDS
        return self._count


class _Tally:
    """Of each driver a count that is looked up now and then, and each time once it is near its bound.

    In between it goes on by one for each time that it is asked for. What other processes let in meanwhile is
    not in it, so each of them but one may let in as many as are near the bound beyond it.
    """

    def __init__(self, look: Callable[[str], int], near: int) -> None:
        self._look = look
        self._near = near
        self._known: dict[str, tuple[int, float]] = {}  # the count, and until when it is good

    def count(self, user_id: str, besides: int) -> int:
        """The count, and `besides` others that are not to be looked up yet."""
        count, until = self._known.get(user_id, (0, 0.0))
        if count >= self._near or time.monotonic() >= until:
            count, until = self._look(user_id) + besides, time.monotonic() + LOOK_SECONDS
        if len(self._known) >= TALLIES:
            self._known.clear()
        self._known[user_id] = count + 1, until
        return count
