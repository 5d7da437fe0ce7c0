"""What processes keep in memory, and how they learn that it has changed."""

from collections.abc import Iterator
from contextlib import suppress
from unittest.mock import Mock

import pytest
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from redis import Redis

from app.stores.changes import CHANNEL, REOPEN_SECONDS, Changes, Remembered, listening
from app.stores.leases import LeasedWindowRateLimiter

LIMIT = RateLimitItemPerMinute(1_000)
SMALL = RateLimitItemPerMinute(5)


class Clock:
    """Seconds, as the test sets them."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A truth that counts how often it was asked."""

    def __init__(self) -> None:
        self.value, self.asked = "old", 0

    def load(self) -> str:
        self.asked += 1
        return self.value


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes(redis: Redis, redis_url: str, clock: Clock) -> Iterator[Changes]:
    made = Changes(redis, lambda: listening(redis_url, 3.0), clock)
    yield made
    made.close()


@pytest.fixture
def remembered(changes: Changes, clock: Clock) -> Remembered[str]:
    return Remembered(changes, seconds=0.5, clock=clock)


def ask(remembered: Remembered[str], source: Source) -> str:
    return remembered.get("key", source.load, lambda _: ("ann", "bob"))


def drop_listeners(redis: Redis) -> None:
    for client in redis.client_list(_type="pubsub"):
        with suppress(ConnectionError):
            redis.client_kill(client["addr"])


def test_a_thousand_questions_cost_one_answer(remembered: Remembered[str]) -> None:
    source = Source()
    assert {ask(remembered, source) for _ in range(1_000)} == {"old"}
    assert source.asked == 1


@pytest.mark.parametrize("whose", ["ann", "bob"])
def test_a_change_is_known_to_every_process_at_once(
    remembered: Remembered[str], redis: Redis, whose: str
) -> None:
    source = Source()
    ask(remembered, source)
    source.value = "new"
    Changes(redis, lambda: redis).tell(whose)  # another process
    assert ask(remembered, source) == "new"


def test_a_process_knows_what_it_has_told_before_it_hears_of_it(
    remembered: Remembered[str], changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    ask(remembered, source)
    source.value = "new"
    monkeypatch.setattr(changes, "_redis", Mock())  # what it publishes comes back late, or never
    changes.tell("ann")
    assert ask(remembered, source) == "new"


def test_a_change_of_others_ends_nothing(remembered: Remembered[str], changes: Changes) -> None:
    source = Source()
    ask(remembered, source)
    changes.tell("cid")
    ask(remembered, source)
    assert source.asked == 1


def test_what_was_read_before_a_change_is_not_kept_after_it(
    remembered: Remembered[str], changes: Changes
) -> None:
    source = Source()

    def read_slowly() -> str:
        value = source.load()
        source.value = "new"
        changes.tell("ann")
        return value

    assert remembered.get("key", read_slowly, lambda _: ("ann",)) == "old"
    assert ask(remembered, source) == "new"


def test_an_answer_ends_by_its_time_if_nothing_is_told(remembered: Remembered[str], clock: Clock) -> None:
    source = Source()
    ask(remembered, source)
    source.value = "new"
    clock.now += 0.5
    assert ask(remembered, source) == "new"


def test_without_a_connection_nothing_is_answered_from_memory(
    remembered: Remembered[str], redis: Redis, clock: Clock
) -> None:
    source = Source()
    ask(remembered, source)
    drop_listeners(redis)
    source.value = "new"
    redis.publish(CHANNEL, "ann")  # unheard
    assert ask(remembered, source) == "new"
    assert ask(remembered, source) == "new"
    clock.now += REOPEN_SECONDS
    assert ask(remembered, source) == "new"
    asked = source.asked
    assert ask(remembered, source) == "new"
    assert source.asked == asked  # heard again, so remembered again


def test_what_counts_no_more_takes_no_memory(remembered: Remembered[str], clock: Clock) -> None:
    for number in range(5):
        remembered.get(number, lambda: "answer", lambda _: ())
    clock.now += 0.4
    remembered.get("later", lambda: "answer", lambda _: ())
    assert len(remembered._kept) == 6
    clock.now += 0.2
    remembered.get("last", lambda: "answer", lambda _: ())
    assert list(remembered._kept) == ["later", "last"]


def test_no_more_answers_are_kept_than_there_may_be(changes: Changes) -> None:
    few: Remembered[str] = Remembered(changes, seconds=60.0, most=3)
    for number in range(10):
        few.get(number, lambda: "answer", lambda _: ())
    assert list(few._kept) == [7, 8, 9]


def test_a_failing_answer_is_not_remembered(remembered: Remembered[str]) -> None:
    def fail() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        remembered.get("key", fail, lambda _: ())
    assert ask(remembered, Source()) == "old"


@pytest.fixture
def storage(redis: Redis, redis_url: str) -> RedisStorage:
    return RedisStorage(redis_url)


def counted(redis: Redis) -> int:
    return int(redis.get(next(redis.scan_iter("LIMITS:*"))) or 0)


def test_a_small_limit_is_exact_over_all_processes(storage: RedisStorage) -> None:
    processes = [LeasedWindowRateLimiter(storage), LeasedWindowRateLimiter(storage)]
    answers = [processes[number % 2].hit(SMALL, "ann") for number in range(8)]
    assert answers == [True] * 5 + [False] * 3
    assert processes[0].get_window_stats(SMALL, "ann").remaining == 0
    assert processes[0].hit(SMALL, "bob")


def test_a_large_limit_is_never_passed_and_takes_a_tenth_of_the_round_trips(
    storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = []
    count = storage.incr
    monkeypatch.setattr(storage, "incr", lambda *args, **kwargs: trips.append(1) or count(*args, **kwargs))
    processes = [LeasedWindowRateLimiter(storage), LeasedWindowRateLimiter(storage)]
    let_through = sum(processes[number % 3 == 0].hit(LIMIT, "ann") for number in range(1_200))
    assert 980 <= let_through <= 1_000
    assert len(trips) < 130


def test_what_remains_goes_down_by_one_each_time(storage: RedisStorage) -> None:
    limiter = LeasedWindowRateLimiter(storage)
    seen = []
    for _ in range(30):
        limiter.hit(LIMIT, "ann")
        seen.append(limiter.get_window_stats(LIMIT, "ann").remaining)
    assert seen == list(range(999, 969, -1))


def test_a_new_window_begins_when_the_old_one_ends(storage: RedisStorage, redis: Redis, clock: Clock) -> None:
    limiter = LeasedWindowRateLimiter(storage, clock)
    clock.now = storage.get_expiry("nobody") - 1
    assert [limiter.hit(SMALL, "ann") for _ in range(6)] == [True] * 5 + [False]
    before = counted(redis)
    assert not limiter.hit(SMALL, "ann")
    assert counted(redis) == before  # a refusal is remembered
    redis.flushall()
    clock.now += 120
    assert limiter.hit(SMALL, "ann")
