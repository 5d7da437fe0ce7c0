"""Counts failed sign-ins, so that passwords cannot be guessed and nobody can lock another out.

Three rules together do that; they are the same for an address that has an account and one that has none.

- Of one account from one network: a few failures, then a pause.
- Of one account from all networks: after more failures than a driver makes, one guess an hour from each
  network that never signed in to it. A driver's own first try from a new place is that one, so it is always
  heard, and networks that they have signed in from are not held up by it.
- Sign-ins of all accounts from one address: limited before anything is looked up (`app.api.limits`).
"""

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, Storage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

KNOWN_SECONDS = 90 * 24 * 3600
OF_ACCOUNT = RateLimitItemPerHour(50, namespace="account")
KNOWN = (RateLimitItemPerMinute(5, namespace="known"),)
NEW = (RateLimitItemPerMinute(5, namespace="new"), RateLimitItemPerHour(20, namespace="new"))
ATTACKED = (RateLimitItemPerHour(1, namespace="attacked"),)
T = TypeVar("T")


class Guesses:
    """Failed sign-ins by account and network; while Redis is away, those of this process.

    Parameters
    ----------
    storage
        Redis, whose loss forgets what was counted, or the memory of a test.
    """

    def __init__(self, storage: Storage) -> None:
        self._storages = (storage, MemoryStorage())

    def wait(self, email: str, network: str) -> int:
        """Seconds until a password may be tried, 0 for now."""
        return self._counted(lambda storage: _wait(storage, email, network))

    def failed(self, email: str, network: str) -> None:
        """Counts a wrong password."""

        def count(storage: Storage) -> None:
            limiter = FixedWindowRateLimiter(storage)
            for limit in _limits(storage, email, network):
                limiter.hit(limit, _key(email, network))
            limiter.hit(OF_ACCOUNT, _key(email))

        self._counted(count)

    def succeeded(self, email: str, network: str) -> None:
        """Remembers the network as one the account's driver signs in from."""
        self._counted(lambda storage: storage.incr(_known(email, network), KNOWN_SECONDS))

    def _counted(self, count: Callable[[Storage], T]) -> T:
        try:
            return count(self._storages[0])
        except RedisError:
            return count(self._storages[1])


def _wait(storage: Storage, email: str, network: str) -> int:
    limiter, pair = FixedWindowRateLimiter(storage), _key(email, network)
    spent = [limit for limit in _limits(storage, email, network) if not limiter.test(limit, pair)]
    ends = [limiter.get_window_stats(limit, pair).reset_time for limit in spent]
    return max(1, round(max(ends) - time.time())) if ends else 0


def _limits(storage: Storage, email: str, network: str) -> Sequence[RateLimitItem]:
    if storage.get(_known(email, network)):
        return KNOWN
    is_attacked = not FixedWindowRateLimiter(storage).test(OF_ACCOUNT, _key(email))
    return ATTACKED if is_attacked else NEW


def _key(*parts: str) -> str:
    """Of bounded length, and without what was typed."""
    return sha256("\n".join(parts).encode()).hexdigest()


def _known(email: str, network: str) -> str:
    return f"known/{_key(email, network)}"
