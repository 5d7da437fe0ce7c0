"""When a notification that did not arrive is tried again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from app.services.deliveries import next_attempt

START = datetime(2026, 2, 11, tzinfo=UTC)


def schedule(chance: float) -> list[datetime]:
    """The times of all attempts after the first, if every one fails at once."""
    times, now = [], START
    while (again := next_attempt(START, len(times) + 1, now, chance)) is not None:
        times.append(again)
        now = again
    return times


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_delivery_is_tried_for_a_day_and_no_longer(chance: float) -> None:
    times = schedule(chance)
    assert timedelta(hours=22) < times[-1] - START <= timedelta(days=1)
    assert 20 < len(times) < 40


def test_waits_double_up_to_an_hour() -> None:
    times = [START, *schedule(0.0)]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert waits[:5] == [5, 10, 20, 40, 80]
    assert max(waits) == 3600


def test_chance_lengthens_a_wait_by_up_to_a_half() -> None:
    waits = [next_attempt(START, 3, START, chance) for chance in (0.0, 1.0)]
    assert waits == [START + timedelta(seconds=20), START + timedelta(seconds=30)]


def test_many_failures_do_not_overflow() -> None:
    assert next_attempt(START, 10**6, START, 1.0) == START + timedelta(minutes=90)
