"""Rate limits counted in Redis a few requests at a time, so that most requests cost no round trip."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from limits import RateLimitItem
from limits.storage import Storage, StorageTypes
from limits.strategies import FixedWindowRateLimiter
from limits.util import WindowStats

LEASES = 100  # a limit is taken in so many parts at least, so one below 100 is counted request by request
MOST_WINDOWS = 50_000


@dataclass(slots=True)
class _Window:
    """Of one caller: what of the count in Redis this process may still give away, until the window ends."""

    end: float
    counted: int
    size: int = 0
    left: int = 0


class LeasedWindowRateLimiter(FixedWindowRateLimiter):
    """A fixed window of which each process takes small parts in advance.

    A part doubles as a caller goes on, up to a hundredth of the limit. All processes together never let more
    through than the limit; a caller is refused early by at most what the other processes have taken and not
    used. A refusal is remembered until its window ends.
    """

    def __init__(self, storage: StorageTypes, clock: Callable[[], float] = time.time) -> None:
        super().__init__(storage)
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._lock = Lock()

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        key, now = item.key_for(*identifiers), self._clock()
        with self._lock:
            window = self._windows.get(key)
            if window and now < window.end:
                if window.left >= cost:
                    window.left -= cost
                    return True
                if window.counted >= item.amount:
                    return False
        return self._take(item, key, window if window and now < window.end else None, cost)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        key, now = item.key_for(*identifiers), self._clock()
        window = self._windows.get(key)
        if window is None or now >= window.end:
            return super().get_window_stats(item, *identifiers)
        return WindowStats(window.end, max(0, item.amount - window.counted) + window.left)

    def _take(self, item: RateLimitItem, key: str, before: _Window | None, cost: int) -> bool:
        """Counts the next part in Redis, outside the lock: other callers do not wait for it."""
        wished = min(2 * before.size, item.amount // LEASES) if before else 0
        size = max(cost, wished)
        storage: Storage = self.storage
        counted = storage.incr(key, item.get_expiry(), amount=size)
        granted = max(0, size - max(0, counted - item.amount))
        is_new = before is None or counted == size
        end = before.end if before and not is_new else storage.get_expiry(key)
        with self._lock:
            if len(self._windows) >= MOST_WINDOWS:
                self._windows.clear()
            window = self._windows.get(key)
            if is_new or window is None:
                window = self._windows[key] = _Window(end=end, counted=counted)
            window.counted, window.size = counted, size
            if granted < cost:
                return False
            window.left += granted - cost
        return True
