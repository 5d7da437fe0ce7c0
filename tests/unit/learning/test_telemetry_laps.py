"""Laps are cut where they were driven, timed as officially, and say why they cannot be learned from."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from learning.errors import InvalidTelemetry
from learning.laps import GRID, Lap
from tests.unit.learning.telemetry_sessions import FRAMES, LAP_TIME, changed, read, session

ROWS = 3 * FRAMES
SHARE = np.tile(np.arange(FRAMES) / FRAMES, 3)


def laps(rows: pl.DataFrame, folder: Path) -> tuple[Lap, ...]:
    return read(rows, folder).session.laps


def each_lap(*values: Any) -> list[Any]:
    """One value for all frames of each lap."""
    return [value for value in values for _ in range(FRAMES)]


def test_a_lap_without_official_time_ends_where_its_pace_leads(tmp_path: Path) -> None:
    assert [lap.lap_time for lap in laps(session(), tmp_path)] == pytest.approx([LAP_TIME] * 3)


def test_the_official_time_is_the_label_and_a_lap_without_one_is_not_timed(tmp_path: Path) -> None:
    cut = laps(session(lapTime=each_lap(80.25, None, 79.9)), tmp_path)
    assert [lap.lap_time for lap in cut] == [80.25, None, 79.9]
    assert [lap.reason for lap in cut] == [None, "not_timed", None]


def test_a_running_clock_named_lap_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="lap_time changes within lap 1"):
        laps(session(lapTime=SHARE * LAP_TIME + 1), tmp_path)


def test_the_last_lap_time_labels_the_lap_before(tmp_path: Path) -> None:
    last = np.array(each_lap(2_147_483_647, 80_100, 80_200))
    last[2 * FRAMES : 2 * FRAMES + 5] = 80_100  # the simulator shows it five frames late
    cut = laps(session(Graphics_last_time=last), tmp_path)
    assert [lap.lap_time for lap in cut] == pytest.approx([80.1, 80.2, LAP_TIME])


@pytest.mark.parametrize("late", [-7, 7])
def test_frames_at_the_line_go_to_the_lap_they_were_driven_in(late: int, tmp_path: Path) -> None:
    counter = np.repeat([1, 2, 3], [FRAMES + late, FRAMES, FRAMES - late])
    cut = laps(session(lap=counter), tmp_path)
    assert [(lap.position[0], lap.position[-1]) for lap in cut] == [(0.0, 1 - 1 / FRAMES)] * 3
    assert all(lap.valid and (np.diff(lap.time) > 0).all() for lap in cut)


@pytest.mark.parametrize("late", [-2, 2])
def test_frames_on_the_clock_of_the_lap_beside_are_left_out(late: int, tmp_path: Path) -> None:
    clock = np.concatenate([np.roll(SHARE[: 2 * FRAMES], late), SHARE[2 * FRAMES :]]) * LAP_TIME
    clock[: max(late, 0)] = 0
    clock[2 * FRAMES + min(late, 0) : 2 * FRAMES] = LAP_TIME
    cut = laps(session(currentLapTime=clock), tmp_path)
    assert [len(lap.time) for lap in cut] == ([198, 200, 200] if late < 0 else [200, 198, 200])
    assert all(lap.valid for lap in cut)


def test_a_run_up_to_the_line_is_left_out_of_the_first_lap(tmp_path: Path) -> None:
    position = SHARE.copy()
    position[:10] = 0.95 + np.arange(10) / FRAMES
    first = laps(session(trackPosition=position), tmp_path)[0]
    assert (first.position[0], len(first.position)) == (10 / FRAMES, FRAMES - 10)


def test_laps_without_position_or_clock_get_them_from_distance_and_session_time(tmp_path: Path) -> None:
    rows = session(
        laps=4,
        currentLapTime=None,
        trackPosition=None,
        sessionTime=1000 + np.arange(4 * FRAMES) * LAP_TIME / FRAMES,
        lapDistance=np.tile(np.arange(FRAMES) * 25.0 + 5, 4),
    )
    lap = laps(rows, tmp_path)[2]
    assert lap.position[-1] == 1
    assert lap.time[100] == pytest.approx(lap.position[100] * LAP_TIME, abs=0.5)
    assert lap.lap_time == pytest.approx(LAP_TIME, abs=0.5)


def test_a_lap_keeps_the_last_frame_of_each_grid_cell_and_its_ends(tmp_path: Path) -> None:
    dense = np.arange(5 * GRID) / (5 * GRID) + 0.00007
    rows = pl.DataFrame({"lap": 1, "trackPosition": dense, "currentLapTime": dense * LAP_TIME})
    lap = laps(rows, tmp_path)[0]
    assert lap.position[0] == dense[0]
    assert lap.position[-1] == dense[-1]
    assert lap.position[1:-1] == pytest.approx(dense[4:-1:5])


def test_nothing_after_a_point_changes_what_is_kept_before_it(tmp_path: Path) -> None:
    kept = laps(session(), tmp_path)
    clock, position = SHARE * LAP_TIME, SHARE.copy()
    later = slice(FRAMES + 120, 2 * FRAMES)
    clock[later] += np.arange(80) * 0.3
    position[later] = np.minimum(position[later] * 1.3, 1)
    other = laps(session(currentLapTime=clock, trackPosition=position, speed=SHARE * 99), tmp_path)
    assert (other[1].position[:120] == kept[1].position[:120]).all()
    assert (other[1].time[:120] == kept[1].time[:120]).all()
    assert (other[0].time == kept[0].time).all()


def test_a_lap_distance_is_shared_out_by_the_length_that_is_known_when_a_lap_begins(tmp_path: Path) -> None:
    distance = SHARE * np.repeat([900.0, 1000.0, 1010.0], FRAMES)
    rows = session(trackPosition=None, lapDistance=distance)
    cut = laps(rows, tmp_path)
    assert cut[2].position[100] == pytest.approx(
        distance[2 * FRAMES + 100] / distance[2 * FRAMES - 1], abs=1e-9
    )
    assert cut[1].position[100] == pytest.approx(distance[FRAMES + 100] / distance[2 * FRAMES - 1], abs=1e-9)
    distance[2 * FRAMES :] *= 0.99
    later = laps(session(trackPosition=None, lapDistance=distance), tmp_path)
    assert (later[0].position == cut[0].position).all()
    assert (later[1].position == cut[1].position).all()
    assert later[2].position[-1] == pytest.approx(0.99 * 1.01)


def test_a_lap_that_ends_on_the_way_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    rows = session(trackPosition=None, lapDistance=SHARE * 1000)
    assert [lap.reason for lap in laps(rows[: 2 * FRAMES - 80], tmp_path)] == [None, "incomplete"]


def without(rows: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    return pl.concat([rows[: first - 1], rows[last:]])


FRAME = np.arange(ROWS)
SECOND_LAP = pl.Series(FRAME // FRAMES == 1)


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        (without(session(), FRAMES + 1, FRAMES + 50), [None, "incomplete", None]),
        (without(session(), 2 * FRAMES - 50, 2 * FRAMES), [None, "incomplete", None]),
        (session(inPit=(FRAME >= 390) & (FRAME < 450)), [None, "in_lap", "out_lap"]),
        (session(lapValid=(FRAME < 300) | (FRAME > 402)), [None, "cut", None]),
        (session(lapTime=each_lap(80.0, 85.0, 80.9)), [None, "clock_mismatch", None]),
        (session(currentLapTime=SHARE * 5), ["implausible_time"] * 3),
        (session(trackPosition=pl.Series(SHARE).set(SECOND_LAP, None)), [None, "no_position", None]),
    ],
)
def test_a_lap_that_cannot_be_learned_from_says_why(
    rows: pl.DataFrame, reasons: list[str | None], tmp_path: Path
) -> None:
    cut = laps(rows, tmp_path)
    assert [lap.reason for lap in cut] == reasons
    assert [lap.valid for lap in cut] == [reason is None for reason in reasons]


def test_small_steps_back_are_held_still(tmp_path: Path) -> None:
    lap = laps(changed("trackPosition", {101: 0.49}), tmp_path)[0]
    assert lap.position[98:101].tolist() == [0.49, 0.495, 0.505]
    assert lap.time[98:101].tolist() == pytest.approx([39.2, 40.0, 40.4])  # the last frame at 0.495


def test_a_position_that_runs_backwards_is_refused_naming_where(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTelemetry, match=r"Row 205: in lap 2 the track position runs backwards"
    ) as refused:
        laps(session(trackPosition=np.where(FRAME // FRAMES == 1, 1 - SHARE, SHARE)), tmp_path)
    assert (refused.value.details["row"], refused.value.details["lap"]) == (205, 2)


def test_a_position_outside_the_lap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=r"is outside 0\.\.1"):
        laps(session(trackPosition=SHARE * 1.2), tmp_path)


def test_one_wrong_lap_among_many_is_marked_instead(tmp_path: Path) -> None:
    share = np.tile(SHARE[:FRAMES], 25)
    share[5 * FRAMES + 100 : 5 * FRAMES + 120] -= 0.3
    cut = laps(session(laps=25, trackPosition=share), tmp_path)
    assert [lap.number for lap in cut if lap.reason == "position_backwards"] == [6]
    assert sum(lap.valid for lap in cut) == 24


def test_a_clock_that_runs_backwards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTelemetry, match=r"Row 301: in lap 2 the time runs backwards, from 39\.6 to 1 s"
    ):
        laps(changed("currentLapTime", {301: 1.0}), tmp_path)


def test_a_lap_number_that_comes_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="Row 401: lap 1 comes back after lap 2"):
        laps(session(lap=each_lap(1, 2, 1)), tmp_path)


def test_a_session_without_a_complete_lap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="No lap is complete"):
        laps(session(trackPosition=SHARE * 0.9), tmp_path)


def test_sectors_come_from_the_sector_number_or_are_thirds(tmp_path: Path) -> None:
    sector = np.repeat([0, 1, 2], [50, 100, 50])
    sector[:2] = 2  # still that of the lap before
    one = laps(session(sectorIndex=np.tile(sector, 3), lapTime=80.5), tmp_path)[1]
    assert one.sector_times == pytest.approx([19.8, 40.0, 20.7])
    assert laps(session(), tmp_path)[1].sector_times == pytest.approx([LAP_TIME / 3] * 3)


def test_an_outing_begins_after_the_pits_or_with_other_tyres(tmp_path: Path) -> None:
    frames = np.arange(7 * FRAMES) // FRAMES
    rows = session(
        laps=7,
        lapTime=pl.Series([80.0, 80.0, None, 80.0, 80.0, 80.0, 80.0]).gather(frames),
        tyreLife=pl.Series([5, 6, 7, 8, 1, 2, 3]).gather(frames),
        tyreCompound=pl.Series(["soft", "soft", "soft", "soft", "soft", "hard", "hard"]).gather(frames),
    )
    cut = laps(rows, tmp_path)
    assert [lap.outing for lap in cut] == [0, 0, 0, 1, 2, 3, 3]
    assert cut[5].context == {"compound": "HARD", "tyre_life": 2.0}


def test_what_the_driver_told_of_the_car_is_kept(tmp_path: Path) -> None:
    kept = read(session(), tmp_path, car_model="GT3", setup={"wing": 4.0}).session
    assert (kept.car_model, kept.setup) == ("GT3", {"wing": 4.0})
