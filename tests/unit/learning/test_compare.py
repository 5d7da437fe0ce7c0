"""Comparing errors: verdicts, intervals and evidence on data whose truth is known."""

import numpy as np
import pytest

from learning.compare import Verdict, compare, holm, paired_difference
from learning.laps import Floats
from learning.sequential import evidence

SEED = 1


def noise(*sessions: int, seed: int = SEED) -> list[Floats]:
    random = np.random.default_rng(seed)
    return [random.normal(0, 0.3, laps) for laps in sessions]


def shifted(by: float, *sessions: int, seed: int = SEED) -> list[Floats]:
    return [one + by for one in noise(*sessions, seed=seed)]


def test_a_model_that_errs_more_on_most_laps_is_the_worse_one() -> None:
    errors = [np.abs(np.stack([one + 1.0, one], axis=1)) for one in noise(30, 30)]
    (pair,) = compare(errors, level=0.95, seed=SEED)
    assert pair.verdict is Verdict.B_BETTER
    (turned,) = compare([one[:, ::-1] for one in errors], level=0.95, seed=SEED)
    assert turned.verdict is Verdict.A_BETTER
    assert turned.difference.mean == -pair.difference.mean


def test_a_model_does_not_differ_from_itself() -> None:
    errors = [np.abs(np.stack([one, one], axis=1)) for one in noise(40)]
    (pair,) = compare(errors, level=0.95, seed=SEED)
    assert (pair.verdict, pair.difference.mean, pair.difference.p) == (Verdict.NO_DIFFERENCE, 0.0, 1.0)


def test_an_interval_holds_the_mean_and_leaves_out_zero_just_when_the_difference_is_no_chance() -> None:
    clear = paired_difference(shifted(0.4, 30, 30), level=0.95, seed=SEED)
    assert clear.lower is not None
    assert clear.upper is not None
    assert 0 < clear.lower < clear.mean < clear.upper < 0.7
    assert clear.p <= 0.05
    none = paired_difference(shifted(0.01, 30, 30), level=0.95, seed=SEED)
    assert none.lower is not None
    assert none.upper is not None
    assert none.lower < 0 < none.upper
    assert none.p > 0.05


def test_a_higher_level_makes_the_interval_wider() -> None:
    narrow, wide = (paired_difference(noise(60), level=level, seed=SEED) for level in (0.8, 0.99))
    assert narrow.lower is not None
    assert wide.lower is not None
    assert wide.lower < narrow.lower


@pytest.mark.parametrize("laps", [1, 2, 5])
def test_a_handful_of_laps_says_nothing(laps: int) -> None:
    found = paired_difference([np.full(laps, 5.0)], level=0.95, seed=SEED)
    assert (found.mean, found.lower, found.upper, found.p) == (5.0, None, None, 1.0)


def test_laps_that_hang_together_say_less_than_laps_on_their_own() -> None:
    drifting = np.cumsum(noise(40)[0]) / 5 + 0.5
    alone = np.random.default_rng(SEED).permutation(drifting)
    assert paired_difference([alone], level=0.95, seed=SEED).p < 0.01
    assert paired_difference([drifting], level=0.95, seed=SEED).p > 0.05


def test_many_sessions_are_exchanged_as_a_whole_and_at_random() -> None:
    found = paired_difference(shifted(0.5, *[5] * 40), level=0.95, seed=SEED)
    assert found == paired_difference(shifted(0.5, *[5] * 40), level=0.95, seed=SEED)
    assert found.p == pytest.approx(1 / 4097)


def test_several_pairs_need_more_than_one_does() -> None:
    assert holm([0.03, 0.5, 0.04]) == [pytest.approx(0.09), 0.5, pytest.approx(0.09)]
    errors = [np.abs(np.stack([one + 2.0, one + 1.0, one], axis=1)) for one in noise(60)]
    pairs = compare(errors, level=0.95, seed=SEED)
    assert [(pair.a, pair.b) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    assert {pair.verdict for pair in pairs} == {Verdict.B_BETTER}
    assert all(pair.p_adjusted > pair.difference.p for pair in pairs[:2])


def test_evidence_grows_for_a_better_challenger_and_turns_for_a_worse_one() -> None:
    better, worse = (evidence(shifted(by, *[15] * 12), level=0.95) for by in (0.5, -0.5))
    assert better is not None
    assert worse is not None
    assert better.is_decisive
    assert worse.is_decisive
    assert better.lower is not None
    assert worse.upper is not None
    assert better.lower > 0 > worse.upper
    assert better.against_equality == pytest.approx(worse.against_equality, rel=0.9)


def test_evidence_of_the_first_sessions_decides_nothing() -> None:
    early = evidence(shifted(5.0, 15, 15, 15), level=0.95)
    assert early is not None
    assert not early.is_decisive
    assert (early.lower, early.upper) == (None, None)
    assert evidence([], level=0.95) is None
    assert evidence([np.empty(0)], level=0.95) is None


def test_one_wild_session_does_not_end_all_hope() -> None:
    wild = [*shifted(0.5, *[15] * 5), np.full(15, -5.0), *shifted(0.5, *[15] * 15, seed=2)]
    found = evidence(wild, level=0.95)
    assert found is not None
    assert found.is_decisive
    assert found.for_challenger


def test_nothing_is_decided_while_most_laps_say_one_thing_and_the_mean_another() -> None:
    found = evidence([*shifted(0.5, *[15] * 5), np.full(15, -500.0), *shifted(0.5, *[15] * 15)], level=0.95)
    assert found is not None
    assert found.against_equality > 20
    assert found.for_challenger
    assert found.mean < 0
    assert not found.is_decisive


def test_evidence_stays_a_finite_number_however_long_an_experiment_runs() -> None:
    found = evidence(shifted(5.0, *[15] * 2_000), level=0.95)
    assert found is not None
    assert np.isfinite(found.against_equality)
