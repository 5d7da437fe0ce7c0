"""Passwords cannot be guessed, and nobody can lock a driver out by guessing."""

from unittest.mock import Mock

import pytest
from limits.storage import MemoryStorage, Storage
from redis.exceptions import ConnectionError as RedisDown

from app.stores.guesses import Guesses

MAX, HOME = "max@example.org", "10.0.0.1"


@pytest.fixture
def guesses() -> Guesses:
    return Guesses(MemoryStorage())


def guess(guesses: Guesses, network: str, times: int) -> int:
    """How many of so many wrong passwords were looked at."""
    heard = 0
    for _ in range(times):
        if not guesses.wait(MAX, network):
            guesses.failed(MAX, network)
            heard += 1
    return heard


def test_a_few_typing_errors_do_not_matter_and_more_have_to_wait(guesses: Guesses) -> None:
    assert guess(guesses, HOME, 4) == 4
    assert guesses.wait(MAX, HOME) == 0
    assert guess(guesses, HOME, 10) == 1
    assert 1 <= guesses.wait(MAX, HOME) <= 60
    assert guesses.wait("lewis@example.org", HOME) == 0, "another account from there is not held up"


def test_a_thousand_guesses_from_one_network_do_not_keep_the_driver_out_elsewhere(guesses: Guesses) -> None:
    assert guess(guesses, "203.0.113.7", 1_000) == 5
    assert guesses.wait(MAX, HOME) == 0


def test_guesses_from_many_networks_become_one_from_each(guesses: Guesses) -> None:
    heard = [guess(guesses, f"198.51.100.{number}", 10) for number in range(100)]
    assert heard == [5] * 9 + [6] + [1] * 90


def test_while_many_networks_guess_the_driver_signs_in_from_where_they_did_before_and_from_anywhere_new(
    guesses: Guesses,
) -> None:
    guesses.succeeded(MAX, HOME)
    for number in range(100):
        guess(guesses, f"198.51.100.{number}", 10)
    assert guess(guesses, HOME, 4) == 4, "mistypes, and is heard all the same"
    assert guesses.wait(MAX, HOME) == 0
    assert guesses.wait(MAX, "192.0.2.1") == 0, "on the road, for the first time"


def test_while_redis_is_away_each_process_counts_by_itself() -> None:
    away = Mock(Storage)
    away.get.side_effect = away.incr.side_effect = RedisDown("away")
    guesses = Guesses(away)
    assert guess(guesses, HOME, 10) == 5
    assert guesses.wait(MAX, HOME) > 0
