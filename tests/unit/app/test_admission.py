"""Bounds on what may wait are looked at as seldom as they can be."""

import pytest

from app.services import admission


def test_a_drivers_jobs_are_counted_once_a_second_and_each_time_from_near_the_bound_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(admission.time, "monotonic", lambda: now[0])
    found = iter([0, 1, 5, 2, 3])
    tally = admission._Tally(lambda _: next(found), near=3)
    assert [tally.count("ann", 0) for _ in range(3)] == [0, 1, 2], "looked up, and gone on from there"
    assert [tally.count("ann", 0) for _ in range(3)] == [1, 2, 5], "near the bound it is looked up"
    assert tally.count("ann", 0) == 2
    now[0] += 1.0
    assert tally.count("ann", 0) == 3


def test_jobs_let_in_together_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission.time, "monotonic", lambda: 100.0)
    tally = admission._Tally(lambda _: 0, near=3)
    assert [tally.count("ann", besides) for besides in range(6)] == [0, 1, 2, 3, 4, 5]
