"""What is gathered of a car frame by frame is what an uploaded session tells of the same laps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.services.frames import FrameReader
from app.services.gathering import Gatherer
from learning.lap_time import LapTimeModel
from learning.moments import moment_of, situation_of
from learning.telemetry import read_session
from tests.factories import acc_chunks, session_file

Row = dict[str, Any]
OUT_LAP, IN_LAP = 1, 5


def driven(*parts: tuple[float, float, float], lap_time: float = 100.0, **fields: Any) -> list[Row]:
    """Frames every 0.5 % of stretches: from a share of the lap to another, with the clock at the first."""
    return [
        {
            "track_position": step / 200,
            "current_lap_time": clock + (step / 200 - start) * lap_time,
            "speed": 100.0,
            **fields,
        }
        for start, end, clock in parts
        for step in range(round(start * 200), round(end * 200))
    ]


def lap(lap_time: float = 100.0, **fields: Any) -> list[Row]:
    return driven((0.0, 1.0, 0.0), lap_time=lap_time, **fields)


def gathered(rows: list[Row]) -> Row:
    """What is known at the last of the frames."""
    gatherer = Gatherer()
    return [gatherer.update(row) for row in rows][-1]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An out lap, three timed laps and an in lap."""
    return session_file(tmp_path_factory.mktemp("session"), laps=5)


@pytest.fixture(scope="module")
def replayed(recorded: Path) -> Mapping[int, list[Row]]:
    """What was gathered at each frame of each lap of that session."""
    reader, gatherer = FrameReader(LapTimeModel.fields), Gatherer()
    by_lap: dict[int, list[Row]] = {}
    for row in pl.read_csv(recorded).to_dicts():
        by_lap.setdefault(row["lap"], []).append(gatherer.update(reader.read(row)))
    return by_lap


@pytest.mark.parametrize("number", range(OUT_LAP, IN_LAP + 1))
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_splits_speeds_and_conditions_are_those_that_models_learn(
    recorded: Path, replayed: Mapping[int, list[Row]], number: int, share: float
) -> None:
    session = read_session(recorded).session
    learned = moment_of(session.laps[number - 1], share)
    live = next(x for x in reversed(replayed[number]) if x["track_position"] <= share)
    assert live["splits"] == pytest.approx(learned["splits"], abs=0.005)
    assert live["speeds"] == pytest.approx(learned["speeds"], abs=0.2)
    assert live["compound"] == learned["compound"]
    conditions = {name: live[name] for name in ("fuel", "tyre_life", "air_temp", "road_temp")}
    assert conditions == pytest.approx({name: learned[name] for name in conditions}, rel=1e-6)


def test_laps_are_counted_in_their_outing_as_in_a_session(
    recorded: Path, replayed: Mapping[int, list[Row]]
) -> None:
    session = read_session(recorded).session
    learned = [situation_of(session, lap)["outing_lap"] for lap in session.laps]
    assert [replayed[lap.number][-1]["outing_lap"] for lap in session.laps] == learned


def test_recent_laps_are_the_valid_ones_of_this_outing(
    recorded: Path, replayed: Mapping[int, list[Row]]
) -> None:
    times = [lap.lap_time for lap in read_session(recorded).session.valid_laps]
    assert len(times) == 3
    assert replayed[IN_LAP][-1]["recent_laps"] == pytest.approx(times, abs=0.01)


def test_acc_shared_memory_gathers_the_same(recorded: Path, replayed: Mapping[int, list[Row]]) -> None:
    reader, gatherer = FrameReader(LapTimeModel.fields), Gatherer()
    rows = [row for chunk in acc_chunks(recorded) for row in chunk]
    last = [gatherer.update(reader.read(row)) for row in rows][-1]
    assert last["speeds"] == pytest.approx(replayed[IN_LAP][-1]["speeds"], abs=0.2)
    assert last["gear"] == replayed[IN_LAP][-1]["gear"]


def test_a_lap_joined_in_its_midst_gets_no_splits_and_its_time_does_not_count() -> None:
    first = driven((0.3, 1.0, 30.0))
    assert "splits" not in gathered(first)
    second = gathered(first + lap())
    assert len(second["splits"]) == 19
    assert "recent_laps" not in second


def test_a_lap_time_comes_from_the_pace_of_the_last_stretch_until_the_official_one_is_shown() -> None:
    before, after = lap(last_lap_time=99.0), driven((0.0, 0.01, 0.0), last_lap_time=99.0)
    assert gathered(before + after)["recent_laps"] == pytest.approx([100.0])
    official = driven((0.01, 0.02, 1.0), last_lap_time=100.3)
    assert gathered(before + after + official)["recent_laps"] == [100.3]


def test_an_official_time_that_is_another_laps_is_not_believed() -> None:
    rows = lap(last_lap_time=99.0) + driven((0.0, 0.1, 0.0), last_lap_time=93.0)
    assert gathered(rows)["recent_laps"] == pytest.approx([100.0])


def test_a_clock_that_is_reset_after_the_line_is_not_taken_for_the_new_laps() -> None:
    late = driven((0.0, 0.015, 100.0)) + driven((0.015, 0.3, 1.5))
    assert "current_lap_time" not in gathered(lap() + late[:2])
    assert gathered(lap() + late)["splits"] == pytest.approx([5, 10, 15, 20, 25])


def test_a_clock_that_is_reset_before_the_line_does_not_fall() -> None:
    early = driven((0.0, 0.99, 0.0)) + driven((0.99, 1.0, 0.0))
    assert gathered(early)["current_lap_time"] == pytest.approx(98.5)
    assert gathered(early + driven((0.0, 0.3, 0.5)))["recent_laps"] == pytest.approx([100.0])


def test_a_jump_ahead_leaves_nothing_known_of_what_was_jumped_over() -> None:
    row = gathered(driven((0.0, 0.3, 0.0), (0.5, 1.0, 50.0)))
    assert "splits" not in row
    assert "speeds" not in row
    assert "recent_laps" not in gathered(driven((0.0, 0.3, 0.0), (0.5, 1.0, 50.0)) + lap())


def test_a_car_put_back_on_the_track_is_in_the_same_lap_without_its_splits() -> None:
    gatherer = Gatherer()
    rows = [gatherer.update(row) for row in driven((0.0, 0.4, 0.0), (0.35, 0.6, 45.0))]
    assert gatherer.laps == 1
    assert "splits" not in rows[-1]
    assert rows[-1]["track_position"] == pytest.approx(0.595)


def test_a_car_put_back_to_the_line_begins_a_lap() -> None:
    gatherer = Gatherer()
    rows = [gatherer.update(row) for row in driven((0.0, 0.3, 0.0), (0.0, 0.3, 0.0))]
    assert gatherer.laps == 2
    assert len(rows[-1]["splits"]) == 5


def test_a_session_that_starts_again_begins_a_lap_wherever_the_car_is() -> None:
    gatherer = Gatherer()
    rows = [gatherer.update(row) for row in driven((0.0, 0.3, 0.0), (0.31, 0.5, 0.0))]
    assert gatherer.laps == 2
    assert "splits" not in rows[-1]


def test_small_steps_back_are_held_still() -> None:
    back = driven((0.0, 0.31, 0.0)) + driven((0.3, 0.305, 31.0))
    row = gathered(back)
    assert row["track_position"] == pytest.approx(0.305)
    assert len(row["splits"]) == 6


def test_a_car_that_rolls_back_over_the_line_stays_in_its_lap() -> None:
    gatherer = Gatherer()
    rows = lap() + driven((0.0, 0.005, 0.0)) + driven((0.995, 1.0, 0.5)) + driven((0.005, 0.3, 1.0))
    last = [gatherer.update(row) for row in rows][-1]
    assert gatherer.laps == 2
    assert len(last["splits"]) == 5


def test_a_stop_in_the_pits_begins_an_outing() -> None:
    stint = lap(in_pit=0) + lap(in_pit=0)
    into_pits = driven((0.0, 0.97, 0.0), in_pit=0) + driven((0.97, 1.0, 97.0), in_pit=1)
    out = driven((0.0, 0.03, 0.0), in_pit=1) + driven((0.03, 1.0, 3.0), in_pit=0)
    assert gathered(stint + into_pits)["recent_laps"] == pytest.approx([100.0, 100.0])
    after = gathered(stint + into_pits + out)
    assert "recent_laps" not in after
    assert after["outing_lap"] == 0
    again = gathered(stint + into_pits + out + lap(in_pit=0) + driven((0.0, 0.1, 0.0), in_pit=0))
    assert again["recent_laps"] == pytest.approx([100.0])
    assert again["outing_lap"] == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"compound": "SOFT"}, {"compound": "HARD"}),
        ({"tyre_life": 12.0}, {"tyre_life": 1.0}),
        ({"lap": 7}, {"lap": 1}),
    ],
)
def test_other_tyres_or_another_session_begin_an_outing(before: Row, after: Row) -> None:
    assert "recent_laps" in gathered(lap(**before) + lap(**before))
    assert "recent_laps" not in gathered(lap(**before) + lap(**after))


def test_a_cut_lap_does_not_count() -> None:
    rows = lap(lap_valid=1) + driven((0.0, 0.5, 0.0), lap_valid=1) + driven((0.5, 1.0, 50.0), lap_valid=0)
    assert gathered(rows + lap(lap_valid=1))["recent_laps"] == pytest.approx([100.0])


def test_how_many_laps_an_outing_has_is_not_guessed_when_it_is_joined_late() -> None:
    assert "outing_lap" not in gathered(driven((0.3, 0.5, 30.0), lap=9))
    assert gathered(driven((0.3, 0.5, 30.0), lap=9, in_pit=1))["outing_lap"] == 0


def test_a_clock_of_the_session_is_enough() -> None:
    rows = [{**row, "session_time": 1000.0 + index / 2} for index, row in enumerate(lap() + lap())]
    without = [{name: row[name] for name in row if name != "current_lap_time"} for row in rows]
    assert gathered(without)["splits"] == pytest.approx([5.0 * mark for mark in range(1, 20)])


def test_conditions_are_those_that_held_at_the_line() -> None:
    rows = [{**row, "fuel": 40.0 - index / 100} for index, row in enumerate(lap())]
    assert gathered(rows)["fuel"] == 40.0


def test_what_a_frame_says_itself_counts() -> None:
    rows = [*lap(), {**driven((0.0, 0.005, 0.0))[0], "recent_laps": [91.0], "outing_lap": 4}]
    row = gathered(rows)
    assert (row["recent_laps"], row["outing_lap"]) == ([91.0], 4)


def read(frame: Row) -> Row:
    return FrameReader(LapTimeModel.fields).read(frame)


def test_frames_may_use_any_name_that_sessions_and_predictions_know() -> None:
    assert read({"trackPosition": 0.5, "Ground Speed [m/s]": 50.0, "recentLaps": [91.0]}) == {
        "track_position": 0.5,
        "speed": 180.0,
        "recent_laps": [91.0],
    }
    assert read({"Physics_gear": 3, "Physics_gas": 0.5, "Graphics_current_time": 1500}) == {
        "gear": 2.0,
        "throttle": 0.5,
        "current_lap_time": 1.5,
    }
    assert read({"tyre_compound": " soft ", "carModel": "gt3", "Graphics_is_in_pit_lane": True}) == {
        "compound": "SOFT",
        "car_model": "gt3",
        "in_pit": 1.0,
    }


def test_values_a_sensor_may_give_are_brought_into_range_and_others_left_to_be_refused() -> None:
    assert read({"throttle": 1.0004, "speed": -3.0, "brake": 7.0, "gear": None}) == {
        "throttle": 1.0,
        "speed": 0.0,
        "brake": 7.0,
    }


def test_names_that_mean_nothing_are_told() -> None:
    reader = FrameReader(LapTimeModel.fields)
    reader.read({"trak_position": 0.5, "speed": 100.0, "tyre_temp_fl": 80.0})
    assert reader.unknown == ("trak_position",)
