"""How often comparisons and experiments are wrong when models are equal: a bounded `bench.compare`."""

from functools import partial

import pytest

from bench.compare import (
    KINDS,
    LEVEL,
    false_decisions,
    false_verdicts,
    false_verdicts_of_several,
    times_to_decide,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROUNDS = 300
AT_MOST = 1 - LEVEL + 3 * (0.05 * 0.95 / ROUNDS) ** 0.5  # three standard errors of the simulation


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("laps", "sessions"), [(20, 1), (40, 2), (200, 5)])
def test_equal_models_are_seldom_told_apart(kind: str, laps: int, sessions: int) -> None:
    rate = partial(false_verdicts, KINDS[kind], laps=laps, sessions=sessions, rounds=ROUNDS, seed=laps)
    assert rate(0.0) <= AT_MOST
    assert rate(0.8) <= AT_MOST


def test_of_five_equal_models_any_pair_is_seldom_told_apart() -> None:
    assert false_verdicts_of_several(5, 0.5, laps=60, rounds=100, seed=7) <= 0.05 + 3 * 0.022


@pytest.mark.parametrize("kind", KINDS)
def test_looking_after_every_session_does_not_decide_between_equal_models(kind: str) -> None:
    assert false_decisions(KINDS[kind], 0.8, laps=15, sessions=30, rounds=100, seed=3) <= 0.05 + 3 * 0.022


def test_a_much_better_challenger_is_found_within_ten_sessions() -> None:
    times = times_to_decide(1.0, laps=15, sessions=20, rounds=20, seed=5)
    assert times[10] <= 10
