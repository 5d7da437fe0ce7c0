"""Tells every process, at once, what it must no longer believe of what it keeps in memory."""

import select
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar, cast

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

V = TypeVar("V")
CHANNEL = "lapwise:changes"
REOPEN_SECONDS = 1.0  # between two attempts to listen
MOST_IDS = 100_000
log = structlog.get_logger()


class Changes:
    """What has changed, by the ids of what it belongs to; safe to use from many threads.

    A change is published after it was made. Each process listens on a connection that it empties before it
    relies on its memory, so a change that was told is known as soon as its message has arrived.

    Parameters
    ----------
    redis
        Publishes.
    listener
        Makes the client whose connection is listened on. It must not reconnect by itself, for what was
        published in between would be missed unnoticed; see `listening`.
    """

    def __init__(
        self, redis: "Redis", listener: Callable[[], "Redis"], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._listener = listener
        self._clock = clock
        self._channel: PubSub | None = None
        self._poll = select.poll()
        self._reopen_at = 0.0
        self._moment = 0
        self._unsure_until = 0  # moments before this one may have missed a change
        self._changed: dict[str, int] = {}
        self._lock = Lock()

    def tell(self, *ids: str) -> None:
        """Publishes that something of each has changed. Without Redis memories end by their time.

        This process knows at once, for a message takes a moment to come back.
        """
        with self._lock:
            self._note(ids)
        try:
            for one in ids:
                self._redis.publish(CHANNEL, one)
        except RedisError as exc:
            log.warning("change_not_told", error=str(exc))

    def now(self) -> int | None:
        """The present moment, all changes that have arrived being known; None while nothing can be heard."""
        with self._lock:
            if self._channel is None and not self._open():
                return None
            try:
                self._hear(self._channel)
            except RedisError as exc:
                self._close(exc)
                return None
            return self._moment

    def since(self, moment: int, ids: Iterable[str]) -> bool:
        """Whether any of the ids has changed after a moment, or may have."""
        return moment < self._unsure_until or any(self._changed.get(one, 0) > moment for one in ids)

    def close(self) -> None:
        with self._lock:
            self._close(None)

    def _hear(self, channel: Any) -> None:
        if not self._poll.poll(0):  # much cheaper than to try to read, and mostly there is nothing
            return
        while (message := channel.get_message(timeout=0)) is not None:
            if message["type"] == "message":
                self._note([message["data"].decode()])
        if len(self._changed) > MOST_IDS:
            self._forget()

    def _note(self, ids: Iterable[str]) -> None:
        self._moment += 1
        self._changed.update(dict.fromkeys(ids, self._moment))

    def _open(self) -> bool:
        if self._clock() < self._reopen_at:
            return False
        self._reopen_at = self._clock() + REOPEN_SECONDS
        try:
            channel = self._listener().pubsub()  # type: ignore[no-untyped-call]
            channel.subscribe(CHANNEL)
            channel.get_message(timeout=REOPEN_SECONDS)
        except RedisError as exc:
            log.warning("changes_not_heard", error=str(exc))
            return False
        self._channel = channel
        self._poll = select.poll()
        self._poll.register(cast(Any, channel.connection)._sock, select.POLLIN)
        self._forget()
        return True

    def _close(self, cause: RedisError | None) -> None:
        if cause:
            log.warning("changes_not_heard", error=str(cause))
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _forget(self) -> None:
        self._changed.clear()
        self._moment += 1
        self._unsure_until = self._moment


def listening(url: str, seconds: float) -> "Redis":
    """A client that says when its connection is lost rather than making a new one."""
    return Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    value: V
    ids: tuple[str, ...]
    moment: int
    until: float


class Remembered(Generic[V]):
    """Answers kept in memory for a moment, and not once a change of theirs was told.

    Parameters
    ----------
    seconds
        How long an answer counts if nothing is heard of a change: a lost message or connection costs so much.
        One that counts no more goes with the next that comes, for a version weighs 30 kB.
    most
        Answers kept.
    """

    def __init__(
        self,
        changes: Changes,
        *,
        seconds: float,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._kept: dict[Hashable, _Kept[V]] = {}  # in the order in which they end
        self._lock = Lock()

    def get(self, key: Hashable, load: Callable[[], V], ids_of: Callable[[V], tuple[str, ...]]) -> V:
        """The answer to `key`, by `load` unless it is known; `ids_of` says whose changes end it."""
        moment = self._changes.now()
        if moment is None:
            return load()
        kept, now = self._kept.get(key), self._clock()
        if kept and now < kept.until and not self._changes.since(kept.moment, kept.ids):
            return kept.value
        value = load()
        with self._lock:
            self._kept.pop(key, None)
            self._forget(now)
            self._kept[key] = _Kept(value, ids_of(value), moment, now + self._seconds)
        return value

    def _forget(self, now: float) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if now < self._kept[oldest].until and len(self._kept) < self._most:
                return
            del self._kept[oldest]
