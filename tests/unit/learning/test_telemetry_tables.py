"""A table with one row a lap gives laps with official times and no telemetry."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.laps import decode, encode
from learning.telemetry import Limits
from tests.unit.learning.telemetry_sessions import as_csv, as_json, as_json_lines, as_parquet, read

TIMES = [110.5, 90.25, 91.5, None, 92.75]


def table(**columns: Any) -> pl.DataFrame:
    """Five laps, the fourth not timed; a column given replaces one of that name, None drops it."""
    rows = {
        "lap": [1, 2, 3, 4, 5],
        "lapTime": TIMES,
        "sector1Time": [40.5, 30.0, 30.5, None, 31.0],
        "sector2Time": [40.0, 35.25, 36.0, None, 36.5],
        "sector3Time": [30.0, 25.0, 25.0, None, 25.25],
        "compound": ["soft", "soft", "soft", "hard", "hard"],
        "tyreLife": [1, 2, 3, 1, 2],
    }
    return pl.DataFrame({name: values for name, values in (rows | columns).items() if values is not None})


@pytest.mark.parametrize(
    ("name", "writer"),
    [("csv", as_csv), ("json", as_json), ("jsonl", as_json_lines), ("parquet", as_parquet)],
)
def test_each_format_of_rows_may_hold_a_table_of_laps(
    name: str, writer: Callable[[pl.DataFrame], bytes], tmp_path: Path
) -> None:
    recording = read(gzip.compress(writer(table())), tmp_path)
    assert recording.format == f"{name}+gzip"
    laps = recording.session.laps
    assert [lap.number for lap in laps] == [1, 2, 3, 4, 5]
    assert [lap.lap_time for lap in laps] == TIMES
    assert [lap.reason for lap in laps] == [None, None, None, "not_timed", None]
    assert laps[1].sector_times == (30.0, 35.25, 25.0)
    assert laps[3].sector_times == ()
    assert laps[1].context == {"compound": "SOFT", "tyre_life": 2.0}
    assert [lap.outing for lap in laps] == [0, 0, 0, 1, 1]
    assert {len(lap.position) for lap in laps} == {0}


def test_laps_without_telemetry_survive_being_stored(tmp_path: Path) -> None:
    stored = encode(read(as_csv(table()), tmp_path).session)
    assert encode(decode(stored)) == stored
    assert decode(stored).laps[1].sector_times == (30.0, 35.25, 25.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90.25", 90.25),
        ("1:30.250", 90.25),
        ("1:30,250", 90.25),
        ("0:01:30.25", 90.25),
        ("0 days 00:01:30.250000", 90.25),
        ("", None),
        ("NaT", None),
        ("n/a", None),
        ("0", None),
        ("-1.0", None),
    ],
)
def test_times_may_be_written_as_seconds_or_as_clocks_do(
    text: str, seconds: float | None, tmp_path: Path
) -> None:
    rows = table(lapTime=[text, "1:31.5", "", "", ""], sector1Time=None, sector2Time=None, sector3Time=None)
    assert read(as_csv(rows), tmp_path).session.laps[0].lap_time == seconds


@pytest.mark.parametrize(
    "columns",
    [
        {"lapTime": None, "lap_time_ms": [90_250] * 5},
        {"lapTime": None, "Lap Time [ms]": [90_250] * 5},
        {"lapTime": None, "lap_duration": [90.25] * 5},
        {"lapTime": [timedelta(seconds=90.25)] * 5},
    ],
)
def test_lap_times_may_have_other_names_and_units(columns: dict[str, Any], tmp_path: Path) -> None:
    assert read(as_parquet(table(**columns)), tmp_path).session.laps[2].lap_time == pytest.approx(90.25)


@pytest.mark.parametrize(
    ("columns", "writer"),
    [
        ({"sectorTimes": [[30.0, 35.25, 25.0]] * 5}, as_json),
        ({"sectorTimes": [[30.0, 35.25, 25.0]] * 5}, as_parquet),
        ({"splits": ["30.0;35.25;0:25"] * 5}, as_csv),
        ({"S1": [30.0] * 5, "S2": [35.25] * 5, "S3": [25.0] * 5}, as_csv),
        (
            {
                "duration_sector_3": [25.0] * 5,
                "duration_sector_1": [30] * 5,
                "duration_sector_2": [35.25] * 5,
            },
            as_csv,
        ),
    ],
)
def test_sector_times_may_come_as_columns_or_as_a_list(
    columns: dict[str, Any], writer: Callable[[pl.DataFrame], bytes], tmp_path: Path
) -> None:
    own = dict.fromkeys(["sector1Time", "sector2Time", "sector3Time"])
    assert read(writer(table(**own, **columns)), tmp_path).session.laps[1].sector_times == (30.0, 35.25, 25.0)


@pytest.mark.parametrize("sector", [None, 0.0, 29.9])
def test_sector_times_that_do_not_add_up_are_left_out(sector: float | None, tmp_path: Path) -> None:
    lap = read(as_csv(table(sector1Time=[40.5, sector, 30.5, 1, 1])), tmp_path).session.laps[1]
    assert (lap.valid, lap.sector_times) == (True, ())


@pytest.mark.parametrize(
    ("columns", "reasons"),
    [
        ({"valid": [True, False, True, True, True]}, [None, "cut", None, "not_timed", None]),
        ({"isValidForBest": [1, 0, 1, 1, 1]}, [None, "cut", None, "not_timed", None]),
        ({"Deleted": [False, True, False, False, False]}, [None, "cut", None, "not_timed", None]),
        ({"is_pit_out_lap": ["true", "", "", "", ""]}, ["out_lap", None, None, "not_timed", None]),
        ({"inLap": [0, 0, 1, 0, 0]}, [None, None, "in_lap", "not_timed", None]),
        ({"lapTime": [110, 3, 91, 5000, 92]}, [None, "implausible_time", None, "implausible_time", None]),
    ],
)
def test_a_lap_says_why_it_cannot_be_learned_from(
    columns: dict[str, Any], reasons: list[str | None], tmp_path: Path
) -> None:
    assert [lap.reason for lap in read(as_csv(table(**columns)), tmp_path).session.laps] == reasons


def test_conditions_are_converted_to_canonical_units(tmp_path: Path) -> None:
    rows = table(
        **{"Air Temp [F]": [68.0] * 5, "fuel": [40.5] * 5, "wetness": [0.5] * 5, "trackTemp": [31] * 5}
    )
    context = read(as_csv(rows), tmp_path).session.laps[0].context
    assert {
        name: round(float(context[name]), 3) for name in ("air_temp", "fuel", "wetness", "road_temp")
    } == {
        "air_temp": 20.0,
        "fuel": 40.5,
        "wetness": 0.5,
        "road_temp": 31.0,
    }


def test_laps_come_in_the_order_of_their_numbers_and_without_numbers_in_that_of_the_rows(
    tmp_path: Path,
) -> None:
    turned = read(as_csv(table().reverse()), tmp_path).session
    assert encode(turned) == encode(read(as_csv(table()), tmp_path).session)
    assert [lap.number for lap in read(as_json(table(lap=None)), tmp_path).session.laps] == [1, 2, 3, 4, 5]


def test_one_driver_is_taken_from_a_table_of_several(tmp_path: Path) -> None:
    rows = as_csv(table(driver=["ANN", "BO", "ANN", "BO", "ANN"]))
    recording = read(rows, tmp_path, driver="ann")
    assert recording.driver == "ANN"
    assert [lap.lap_time for lap in recording.session.laps] == [110.5, 91.5, 92.75]
    with pytest.raises(InvalidTelemetry, match="laps of 2 drivers") as refused:
        read(rows, tmp_path)
    assert refused.value.details["choices"] == ["ANN", "BO"]


def test_half_a_surrogate_pair_in_a_text_is_left_out_for_it_cannot_be_stored(tmp_path: Path) -> None:
    rows = [{"lap": lap, "lapTime": 90.0, "driver": "AN\ud800N", "compound": "so\ud800ft"} for lap in (1, 2)]
    recording = read(json.dumps(rows).encode(), tmp_path)
    assert recording.driver == "ANN"
    assert [lap.context["compound"] for lap in recording.session.laps] == ["SOFT", "SOFT"]


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ([1, 2, 1, 2, 3], [1, 2, 3, 4, 5]),
        ([0, 1, 0, 1, 2], [0, 1, 2, 3, 4]),
        ([1, 2, 4, 5, 6], [1, 2, 4, 5, 6]),
    ],
)
def test_sessions_in_one_table_follow_on_each_other(
    given: list[int], numbers: list[int], tmp_path: Path
) -> None:
    rows = table(session_no=["P1", "P1", "P2", "P2", "P2"], lap=given, tyreLife=[1, 2, 3, 4, 5])
    laps = read(as_csv(rows.with_columns(compound=pl.lit("soft"))), tmp_path).session.laps
    assert [lap.number for lap in laps] == numbers
    assert [lap.outing for lap in laps] == [0, 0, 1, 1, 2]  # the fourth lap was not timed


def test_a_new_stint_is_a_new_outing(tmp_path: Path) -> None:
    rows = table(stint=[1.0, 1.0, 2.0, 2.0, 2.0], lapTime=[90, 91, 92, 93, 94], compound=None, tyreLife=None)
    assert [lap.outing for lap in read(as_csv(rows), tmp_path).session.laps] == [0, 0, 1, 1, 1]


def test_a_driver_named_for_a_file_of_one_driver_does_not_disturb(tmp_path: Path) -> None:
    assert read(as_csv(table()), tmp_path, driver="ANN").driver is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"lapTime": [None] * 5}, "No lap has a time"),
        ({"lap": [1, 2, 3, 3, 4]}, "Lap 3 comes in several rows"),
        ({"lap": [1.0, 2.5, 3.0, 4.0, 5.0]}, "Row 2: 'lap' must be a whole number, not '2.5'"),
        ({"lap": [1, 2, 10**9, 4, 5]}, "Row 3: 'lap' must be from -1 to 1e[+]06"),
        ({"lapTime": ["fast", "", "", "", ""]}, "Row 1: 'lapTime' must be a number or a time, not 'fast'"),
        ({"lapTime": [float("inf")] * 5}, "Row 1: 'lapTime' must be a number or a time"),
        ({"airTemp": [20, 20, 293, 20, 20]}, "Row 3: 'airTemp' must be from -60 to 70 degC, not '293'"),
    ],
)
def test_a_broken_table_is_refused_with_what_is_wrong(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(as_csv(table(**columns)), tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"lap,lapTime\n", "has no rows"),
        (b"lap,lapTime\n1,90\n2\n", "Row 2 has 1 fields"),
        (b'lap,lapTime\n1,"90\n' + b"x" * 200_000, "do not pair"),
        (b"lap,lapTime\n1," + b"9" * 2_000_000, "longer than a megabyte"),
        (b'[{"lap": 1, "lapTime": 90}, 3]', "Row 2 is not a JSON object"),
        (b'{"lap": 1, "lapTime": 90}\n{"lap"}', "Row 2 is not a JSON object"),
        (json.dumps([{"lap": 1, "lapTime": 90}]).encode()[:-3], "cut short"),
        (as_parquet(table())[:-100], "damaged"),
    ],
)
def test_a_damaged_table_is_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.parametrize("limits", [Limits(laps=4), Limits(columns=6)])
def test_laps_and_columns_of_a_table_are_limited(limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(TelemetryTooLarge):
        read(as_csv(table()), tmp_path, limits=limits)
    assert read(as_csv(table()), tmp_path, limits=Limits(laps=5, columns=7))


def test_rows_of_other_drivers_are_limited_too(tmp_path: Path) -> None:
    lines = io.StringIO("driver,lap,lapTime\n")
    data = lines.getvalue().encode() + b"ANN,1,90\n" * 201
    with pytest.raises(TelemetryTooLarge, match="too many rows"):
        read(data, tmp_path, limits=Limits(laps=2))
