"""Remembers revoked token families for as long as an access token of theirs could live."""

from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from app.stores.changes import Changes, Remembered
from app.stores.job_status import EPOCH, errors_translated

MINTING_SECONDS = 60  # a token that was being made while its family was revoked lives longer by less
SEEN_SECONDS = 1.0  # how long an answer counts where the revocation is not heard of


class Revocations:
    """Looked up at every request, so in Redis and for a moment in memory; MongoDB's families are the truth.

    Parameters
    ----------
    access_token_seconds
        How long an access token lives.
    """

    def __init__(self, redis: "Redis", changes: Changes, access_token_seconds: int) -> None:
        self._redis = redis
        self._changes = changes
        self._remembered: Remembered[bool] = Remembered(changes, seconds=SEEN_SECONDS)
        self.seconds = access_token_seconds + MINTING_SECONDS

    def add(self, family_id: str) -> None:
        with errors_translated():
            self._redis.set(_key(family_id), "1", ex=self.seconds)
        self._changes.tell(family_id)

    def has(self, family_id: str, ask: Callable[[], bool]) -> bool:
        """Whether the family is revoked; `ask` tells when Redis was emptied or is away and cannot know."""

        def load() -> bool:
            known = self._read(family_id)
            return ask() if known is None else known

        return self._remembered.get(family_id, load, lambda _: (family_id,))

    def _read(self, family_id: str) -> bool | None:
        try:
            revoked, remembers = self._redis.mget(_key(family_id), EPOCH)
        except RedisError:
            return None
        return True if revoked else False if remembers else None


def _key(family_id: str) -> str:
    return f"lapwise:revoked:{family_id}"
