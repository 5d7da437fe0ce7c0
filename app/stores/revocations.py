"""Remembers revoked token families for as long as an access token of theirs could live."""

from redis import Redis

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
        self._remembered: Remembered[bool | None] = Remembered(changes, seconds=SEEN_SECONDS)
        self.seconds = access_token_seconds + MINTING_SECONDS

    def add(self, family_id: str) -> None:
        with errors_translated():
            self._redis.set(_key(family_id), "1", ex=self.seconds)
        self._changes.tell(family_id)

    def find(self, family_id: str) -> bool | None:
        """Whether the family is revoked; None when Redis was emptied and cannot know."""
        return self._remembered.get(family_id, lambda: self._read(family_id), lambda _: (family_id,))

    def _read(self, family_id: str) -> bool | None:
        with errors_translated():
            revoked, remembers = self._redis.mget(_key(family_id), EPOCH)
        return True if revoked else False if remembers else None


def _key(family_id: str) -> str:
    return f"lapwise:revoked:{family_id}"
