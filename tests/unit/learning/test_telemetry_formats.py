"""Any known format is read to the same laps, and anything else is refused with a reason."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.errors import InvalidTelemetry, LearningError, TelemetryTooLarge, UnknownFormat
from learning.laps import encode
from learning.telemetry import Limits
from tests.unit.learning.telemetry_sessions import (
    FRAMES,
    as_csv,
    as_json,
    as_json_lines,
    as_parquet,
    changed,
    read,
    session,
)

Writer = Callable[[pl.DataFrame], bytes]
WRITERS: dict[str, Writer] = {"csv": as_csv, "json": as_json, "jsonl": as_json_lines, "parquet": as_parquet}


def gzip_members(data: bytes) -> bytes:
    return gzip.compress(data[:1000]) + gzip.compress(data[1000:])


def zstd_frames(data: bytes) -> bytes:
    return zstandard.compress(data[:1000]) + zstandard.compress(data[1000:])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), ("+gzip", gzip_members), ("+zstd", zstd_frames)])
def test_each_format_gives_the_same_laps(
    name: str, suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    recording = read(pack(WRITERS[name](session())), tmp_path)
    assert recording.format == name + suffix
    assert encode(recording.session) == encode(read(session(), tmp_path).session)
    assert [lap.number for lap in recording.session.valid_laps] == [1, 2, 3]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_common_separator_byte_order_mark_and_line_end_is_read(separator: str, tmp_path: Path) -> None:
    text = session().write_csv(separator=separator, line_terminator="\r\n")
    assert len(read(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n", tmp_path).session.valid_laps) == 3


def test_decimal_commas_and_quoted_line_ends_are_read(tmp_path: Path) -> None:
    rows = session(note=['a "b";\nc'] * (3 * FRAMES)).with_columns(
        pl.col("speed").cast(pl.String).str.replace(".", ",", literal=True)
    )
    lap = read(rows.write_csv(separator=";").encode(), tmp_path).session.laps[0]
    assert lap.channels["speed"][0] == pytest.approx(150)


def test_json_rows_may_differ_in_their_names_and_nest_unknown_ones(tmp_path: Path) -> None:
    rows = session().to_dicts()
    rows[0] |= {"cars": [{"x": 1, "speed": "fast"}], "note": 'back\\slash, "quoted", NaN and } ]'}
    del rows[1]["speed"]
    rows[2] |= {"speed": float("nan"), "Fuel Level": 31.5}
    lap = read(json.dumps(rows).encode(), tmp_path).session.laps[0]
    assert np.isnan(lap.channels["speed"][:4]).tolist() == [False, True, True, False]
    assert np.flatnonzero(~np.isnan(lap.channels["fuel"])).tolist() == [2]


def test_a_canonical_name_wins_over_its_alias_and_unknown_names_do_not_disturb(tmp_path: Path) -> None:
    rows = session(Physics_speed_kmh=["?"] * (3 * FRAMES), mood=["good"] * (3 * FRAMES))
    lap = read(rows, tmp_path).session.laps[0]
    assert set(lap.channels) == {"speed"}
    assert lap.channels["speed"][0] == pytest.approx(150)


@pytest.mark.parametrize(
    ("name", "raw", "channel", "value"),
    [
        ("Ground Speed [m/s]", 50.0, "speed", 180.0),
        ("Throttle Pos %", 50.0, "throttle", 0.5),
        ("Physics_gear", 1, "gear", 0.0),
        ("Physics_wheel_pressure_front_left", 27.0, "tyre_pressure_fl", 186.158),
        ("tyreTempRR", 88.0, "tyre_temp_rr", 88.0),
        ("OnPitRoad", False, "in_pit", 0.0),
        ("TrackTemp", 31.0, "road_temp", 31.0),
    ],
)
def test_aliases_are_converted_to_canonical_units(
    name: str, raw: Any, channel: str, value: float, tmp_path: Path
) -> None:
    rows = session(speed=None, **{name: [raw] * (3 * FRAMES)})
    assert read(rows, tmp_path).session.laps[0].channels[channel][5] == pytest.approx(value, abs=1e-3)


def test_rows_of_assetto_corsa_competizione_are_read_with_names_in_any_order(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "Physics_gas": 1.0,
            "Graphics_normalized_car_position": session()["trackPosition"],
            "Graphics_car_coordinates": [[{"x": 1.0, "y": 2.0}]] * (3 * FRAMES),
            "Graphics_current_time": (session()["currentLapTime"] * 1000).cast(pl.Int64),
            "Graphics_current_time_str": "1:02:003",
            "Graphics_is_valid_lap": True,
            "Physics_speed_kmh": 210.0,
            "Graphics_last_time": np.repeat([2_147_483_647, 80_123, 80_456], FRAMES),
            "Graphics_completed_lap": session()["lap"] - 1,
        }
    ).to_dicts()
    rows[1::2] = [dict(reversed(row.items())) for row in rows[1::2]]
    laps = read(json.dumps(rows).encode(), tmp_path).session.valid_laps
    assert [lap.number for lap in laps] == [0, 1, 2]
    assert [lap.lap_time for lap in laps] == pytest.approx([80.123, 80.456, 80.0])
    assert laps[0].channels["throttle"][0] == 1
    assert set(laps[0].channels) == {"throttle", "speed", "lap_valid"}


def test_iracing_speed_is_in_metres_a_second(tmp_path: Path) -> None:
    rows = session().rename({"lap": "Lap", "trackPosition": "LapDistPct"}).drop("speed")
    rows = rows.with_columns(Speed=pl.lit(50.0))
    assert read(rows, tmp_path).session.laps[0].channels["speed"][0] == pytest.approx(180)


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02" * 100, b"%PDF-1.7 speed", b"a,b\n1,2\n", b"just words", b"[1]", b"{}"]
)
def test_what_is_not_telemetry_is_an_unknown_format(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat):
        read(data, tmp_path)


GOOD = as_csv(session())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (gzip.compress(b"", mtime=0), "holds nothing"),
        (gzip.compress(GOOD)[:-20], "cut short"),
        (zstandard.compress(GOOD)[:-20], "cut short"),
        (gzip.compress(GOOD)[:100] + b"?" * 100, "damaged"),
        (zstandard.compress(GOOD) + b"rest", "damaged"),
        (GOOD.splitlines()[0] + b"\n", "no rows"),
        (as_parquet(session())[:-100], "damaged"),
        (as_json(session())[:-100], "cut short"),
        (as_json(session()) + b"[]", "after the end"),
        (as_json_lines(session())[:-30], "cut short"),
        (b'[{"lap": 1}, 2]', "Row 2 is not a JSON object"),
        (as_json_lines(session()) + b"{oops}\n", "Row 601 is not a JSON object"),
        (b'[{"lap": ' + b"[" * 100_000, "levels deep"),
        (GOOD + b"3,4\n", "Row 601 has 2 fields"),
        (GOOD + b"3,4,5,6,7\n", "Row 601 has 5 fields"),
        (GOOD + b'3,"4,5,6\n', "quotes do not pair"),
        (GOOD + b"3,4,0.5,fast\n", "Row 601: 'speed' must be a number, not 'fast'"),
        (as_csv(session(lap=None)), "no lap channel"),
        (as_csv(session(currentLapTime=None)), "no current_lap_time or session_time"),
        (as_csv(session(trackPosition=None)), "no track_position or lap_distance"),
        (as_parquet(session(trackPosition=["x"] * 600)), "must hold numbers"),
        (b"lap,speed," + b"x" * 300 + b"\n", "longer than 200"),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, None])
@pytest.mark.parametrize("writer", [as_csv, as_json, as_parquet])
def test_an_impossible_time_is_refused_naming_row_lap_and_column(
    value: float | None, writer: Writer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidTelemetry) as refused:
        read(writer(changed("currentLapTime", {250: value})), tmp_path)
    details = refused.value.details
    assert (details["row"], details["lap"], details["column"]) == (250, 2.0, "current_lap_time")


@pytest.mark.parametrize(
    ("column", "value"), [("lap", 1.5), ("lap", None), ("trackPosition", 75.0), ("trackPosition", np.inf)]
)
def test_an_impossible_lap_or_position_is_refused_naming_its_row(
    column: str, value: float | None, tmp_path: Path
) -> None:
    with pytest.raises(InvalidTelemetry) as refused:
        read(changed(column, {250: value}, lap=np.repeat([1.0, 2.0, 3.0], FRAMES)), tmp_path)
    assert refused.value.details["row"] == 250


@pytest.mark.parametrize("value", [9999.0, np.inf, np.nan, None])
def test_a_spike_in_another_channel_is_a_missing_value(value: float | None, tmp_path: Path) -> None:
    lap = read(changed("speed", {50: value}), tmp_path).session.laps[0]
    assert np.flatnonzero(np.isnan(lap.channels["speed"])).tolist() == [49]


def test_a_channel_in_a_wrong_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="throttle must be from 0 to 1 share; 599 values are not"):
        read(session(throttle=np.arange(600) + 1.0), tmp_path)


def test_a_bomb_is_stopped_while_decoding(tmp_path: Path) -> None:
    zeros = b"0" * (1 << 20)
    for bomb in (gzip.compress(zeros) * 200, zstandard.compress(zeros) * 200):
        with pytest.raises(TelemetryTooLarge, match="larger than 3,000,000 bytes"):
            read(bomb, tmp_path, limits=Limits(decoded_bytes=3_000_000))


@pytest.mark.parametrize("writer", WRITERS.values())
@pytest.mark.parametrize("limits", [Limits(rows=599), Limits(columns=3), Limits(laps=2)])
def test_rows_columns_and_laps_are_limited(writer: Writer, limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(TelemetryTooLarge):
        read(writer(session()), tmp_path, limits=limits)
    assert read(writer(session()), tmp_path, limits=Limits(rows=600, columns=4, laps=3))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", b"[", b"{", b"lap,speed\n", b"PAR1", b"\x1f\x8b"]),
    rest=st.binary(max_size=200),
)
def test_random_bytes_are_refused(head: bytes, rest: bytes, tmp_path: Path) -> None:
    with pytest.raises(LearningError):
        read(head + rest, tmp_path)
