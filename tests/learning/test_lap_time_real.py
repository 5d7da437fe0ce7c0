"""Lap times of real drivers are predicted better than by what drivers use today, with honest intervals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from learning.evaluate import Row, follow
from learning.history import AT_PACE
from learning.laps import Lap, SessionLaps
from learning.moments import moment_of
from learning.telemetry import read_session
from learning.zoo import create_model
from tests.learning.driven import session

REAL = Path(__file__).parents[3] / "shared" / "data" / "f1_testing"
POSITIONS = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0)
DRIVERS = ("ALB", "BEA", "BOR", "PIA", "SAI")
FRAME = ("track_position", "current_lap_time", "speed", "throttle", "brake", "gear")
Histories = dict[str, list[tuple[str, SessionLaps]]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not REAL.is_dir(), reason="the real sessions are not beside the project"),
]


@pytest.fixture(scope="module")
def histories() -> Histories:
    return {
        driver: [(path.name, read_session(path).session) for path in sorted(REAL.glob(f"{driver}_p*.csv.gz"))]
        for driver in DRIVERS
    }


@pytest.fixture(scope="module")
def rows(histories: Histories) -> list[Row]:
    return scored(histories)


def scored(histories: Histories, level: float = 0.9) -> list[Row]:
    """The predictions of the laps within 107 % of their driver's best."""
    found: list[Row] = []
    for sessions in histories.values():
        model = create_model("lap_time_prediction")
        own = [row for row in follow(model, sessions, positions=POSITIONS, level=level) if row.references]
        best = min(row.actual for row in own if row.learned and row.actual)
        found += [row for row in own if row.learned and row.actual and row.actual <= AT_PACE * best]
    return found


def mean_error(rows: list[Row], answer: Callable[[Row], float | None]) -> float:
    return fmean(abs((answer(row) or 0.0) - (row.actual or 0.0)) for row in rows)


def share_of_the_best_reference(rows: list[Row], position: float) -> float:
    here = [row for row in rows if row.part == position]
    names = here[0].references
    references = [mean_error(here, lambda row, name=name: row.references[name]) for name in names]
    return mean_error(here, lambda row: row.predicted) / min(references)


@pytest.mark.parametrize(
    ("position", "most"), [(0.0, 0.90), (10.0, 0.88), (25.0, 0.85), (50.0, 0.77), (75.0, 0.76), (90.0, 0.68)]
)
def test_errors_are_clearly_below_those_of_the_best_reference(
    rows: list[Row], position: float, most: float
) -> None:
    assert share_of_the_best_reference(rows, position) <= most


def test_one_frame_without_splits_still_beats_the_references(
    histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frame_of(lap: Lap, share: float) -> dict[object, object]:
        return {name: value for name, value in moment_of(lap, share).items() if name in FRAME}

    monkeypatch.setattr("learning.evaluate.moment_of", frame_of)
    rows = scored(histories)
    shares = [share_of_the_best_reference(rows, position) for position in POSITIONS[1:]]
    assert max(shares) <= 0.93


@pytest.mark.parametrize(
    ("level", "least", "most"), [(0.5, 0.47, 0.535), (0.9, 0.87, 0.93), (0.99, 0.96, 1.0)]
)
def test_intervals_hold_what_they_promise(
    histories: Histories, level: float, least: float, most: float
) -> None:
    rows = scored(histories, level)
    inside = [
        fmean(row.interval is not None and row.actual in row.interval for row in rows if row.part == position)
        for position in POSITIONS
    ]
    assert least <= min(inside)
    assert max(inside) <= most


def test_intervals_grow_narrower_along_the_lap(rows: list[Row]) -> None:
    widths = [
        fmean(
            row.interval.upper - row.interval.lower for row in rows if row.part == position and row.interval
        )
        for position in POSITIONS
    ]
    assert widths == sorted(widths, reverse=True)


def test_a_slower_second_car_changes_nothing_for_the_first(histories: Histories) -> None:
    own = [(name, replace(one, car_model="one")) for name, one in histories["BOR"]]
    other = session(20, pace=104.0, car_model="two")
    mixed = [pair for name, one in own for pair in ((name, one), (f"other {name}", other))]
    alone = scored({"BOR": own})
    beside = [row for row in scored({"BOR": mixed}) if not row.session.startswith("other")]
    errors = [mean_error(rows, lambda row: row.predicted) for rows in (alone, beside)]
    assert errors[1] == pytest.approx(errors[0], rel=0.03)
