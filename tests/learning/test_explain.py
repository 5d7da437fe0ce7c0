"""A lap that is known to differ from another in one thing is explained by that thing, where it happened."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.corners import Kind
from learning.errors import InvalidInput
from learning.explain import MINI_SECTORS, Explanation, Part, explain
from learning.laps import Lap
from tests.learning.changed_laps import apex, drive, track

RATES = (60.0, 20.0, 5.0, 1.0)


def worst(explanation: Explanation) -> Part:
    return max(explanation.mini_sectors, key=lambda part: part.loss)


def assert_adds_up(explanation: Explanation) -> None:
    assert len(explanation.mini_sectors) == MINI_SECTORS
    for parts in (explanation.sectors, explanation.mini_sectors):
        assert sum(part.loss for part in parts) == pytest.approx(explanation.gap, abs=1e-6)
        for part in parts:
            assert sum(finding.loss for finding in part.findings) == pytest.approx(part.loss, abs=0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laps")


@pytest.mark.parametrize("sample_rate", RATES)
def test_braking_earlier_for_one_corner_is_found(folder: Path, sample_rate: float) -> None:
    corner = apex(4)
    lap, reference = drive(folder, corner - 0.04, corner - 0.01, braking=0.6, sample_rate=sample_rate)
    explanation = explain(lap, reference)
    assert_adds_up(explanation)
    found = worst(explanation)
    assert (found.start, found.end) == (0.3, 0.35)
    assert found.explained_by is Kind.BRAKING_POINT
    assert found.loss > 0.9 * explanation.gap
    braking = found.findings[0]
    assert (braking.unit, braking.corner) == ("m", 4)
    assert braking.difference == pytest.approx(-45, abs=5 if sample_rate >= 20 else 30)


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_lower_minimum_speed_is_found(folder: Path, sample_rate: float) -> None:
    corner = apex(7)
    lap, reference = drive(folder, corner - 0.008, corner + 0.008, grip=0.85, sample_rate=sample_rate)
    explanation = explain(lap, reference)
    assert_adds_up(explanation)
    found = worst(explanation)
    assert found.number == 1 + int(corner * MINI_SECTORS)
    assert found.explained_by is Kind.MINIMUM_SPEED
    assert found.findings[0].difference == pytest.approx(-7.9, abs=0.3)
    assert found.findings[0].unit == "km/h"


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_lift_on_one_straight_is_found(folder: Path, sample_rate: float) -> None:
    corner = apex(4)
    lap, reference = drive(folder, corner - 0.12, corner - 0.09, power=0.1, sample_rate=sample_rate)
    explanation = explain(lap, reference)
    assert_adds_up(explanation)
    found = worst(explanation)
    assert (found.start, found.end) == (0.25, 0.3)
    assert found.explained_by is Kind.LIFT
    assert found.findings[0].difference == pytest.approx(0.03 * track().length, rel=0.1)


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_late_throttle_is_found(folder: Path, sample_rate: float) -> None:
    corner = apex(7)
    lap, reference = drive(folder, corner + 0.01, corner + 0.04, power=0.5, sample_rate=sample_rate)
    explanation = explain(lap, reference)
    assert_adds_up(explanation)
    found = worst(explanation)
    assert found.start == 0.65
    assert found.explained_by is Kind.THROTTLE_PICKUP
    assert found.findings[0].difference == pytest.approx(100, abs=5 if sample_rate >= 5 else 40)


def test_the_other_way_round_the_same_is_a_gain(folder: Path) -> None:
    lap, reference = drive(folder, apex(4) - 0.04, apex(4) - 0.01, braking=0.6)
    explanation = explain(reference, lap)
    assert explanation.gap == -explain(lap, reference).gap
    best = min(explanation.mini_sectors, key=lambda part: part.loss)
    assert best.explained_by is Kind.BRAKING_POINT
    assert best.findings[0].difference == pytest.approx(45, abs=5)


def test_the_length_of_the_lap_is_that_of_the_track(folder: Path) -> None:
    explanation = explain(*drive(folder, 0.3, 0.4))
    assert explanation.length == pytest.approx(track().length, rel=0.001)
    assert explanation.resolution == pytest.approx(4.5, abs=1)


def test_a_lap_explains_itself_by_nothing(folder: Path) -> None:
    lap, _ = drive(folder, 0.3, 0.4)
    explanation = explain(lap, lap)
    assert explanation.gap == 0
    assert [part.findings for part in explanation.mini_sectors] == [()] * MINI_SECTORS
    assert {part.explained_by for part in explanation.mini_sectors} == {None}


def without(lap: Lap, *names: str) -> Lap:
    return replace(lap, channels={name: values for name, values in lap.channels.items() if name not in names})


def test_what_no_channel_tells_is_not_made_up(folder: Path) -> None:
    lap, reference = drive(folder, apex(4) - 0.04, apex(4) - 0.01, braking=0.6)
    explanation = explain(without(lap, "brake", "throttle"), reference)
    assert_adds_up(explanation)
    kinds = {finding.kind for part in explanation.mini_sectors for finding in part.findings}
    assert not kinds & {Kind.BRAKING_POINT, Kind.THROTTLE_PICKUP, Kind.LIFT}
    slowing = worst(explanation).findings[0]
    assert (slowing.kind, slowing.difference, slowing.unit) == (Kind.SLOWING, None, None)
    assert [told.split(":")[0] for told in explanation.untold[:2]] == [
        "braking points",
        "throttle pick-up and lifts",
    ]


def test_without_speeds_there_are_losses_and_no_causes(folder: Path) -> None:
    lap, reference = drive(folder, apex(4) - 0.04, apex(4) - 0.01, braking=0.6)
    blank = replace(lap, channels=lap.channels | {"speed": np.full(len(lap.position), np.nan, np.float32)})
    explanation = explain(blank, reference)
    assert sum(part.loss for part in explanation.mini_sectors) == pytest.approx(explanation.gap, abs=1e-6)
    assert {part.findings for part in (*explanation.mini_sectors, *explanation.sectors)} == {()}
    assert explanation.length is None
    assert explanation.untold == ("causes: a lap has no speed, or too few frames with one",)


def bare(lap_time: float, *sector_times: float) -> Lap:
    """A lap of a table, without a frame."""
    return Lap(
        number=1, lap_time=lap_time, valid=True, reason=None, sector_times=sector_times, outing=0,
        position=np.empty(0), time=np.empty(0), channels={}, context={},
    )  # fmt: skip


def test_laps_of_a_table_are_compared_by_their_sectors() -> None:
    explanation = explain(bare(97.5, 30.2, 42.1, 25.2), bare(97.0, 30.0, 42.0, 25.0))
    assert [part.loss for part in explanation.sectors] == pytest.approx([0.2, 0.1, 0.2])
    assert explanation.mini_sectors == ()
    assert explanation.untold == ("mini-sectors and causes: a lap has no telemetry",)


def test_sectors_that_do_not_add_up_are_not_compared() -> None:
    explanation = explain(bare(97.5, 30.2, 42.1), bare(97.0, 30.0, 42.0, 25.0))
    assert explanation.sectors == ()
    assert explanation.untold[0].startswith("sectors: ")


def test_a_lap_without_a_time_is_refused() -> None:
    with pytest.raises(InvalidInput, match="reference 1 was not timed"):
        explain(bare(97.0), replace(bare(97.0), lap_time=None))
