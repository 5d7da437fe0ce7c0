"""Remembers revoked token families for as long as an access token of theirs could live."""

from redis import Redis
from redis.exceptions import RedisError

from app.stores.job_status import EPOCH, errors_translated

MINTING_SECONDS = 60  # a token that was being made while its family was revoked lives longer by less


class Revocations:
    """Looked up at every request, so in Redis; MongoDB's token families are the truth behind it.

    Parameters
    ----------
    access_token_seconds
        How long an access token lives.
    """

    def __init__(self, redis: "Redis", access_token_seconds: int) -> None:
        self._redis = redis
        self.seconds = access_token_seconds + MINTING_SECONDS

    def add(self, family_id: str) -> None:
        with errors_translated():
            self._redis.set(_key(family_id), "1", ex=self.seconds)

    def find(self, family_id: str) -> bool | None:
        """Whether the family is revoked; None when Redis was emptied or is away and cannot know."""
        try:
            revoked, remembers = self._redis.mget(_key(family_id), EPOCH)
        except RedisError:
            return None
        return True if revoked else False if remembers else None


def _key(family_id: str) -> str:
    return f"lapwise:revoked:{family_id}"
