"""Real files of other programs are read to the channel, unit, value and lap."""

import gzip
from pathlib import Path

import pytest

from learning.errors import InvalidTelemetry, UnknownFormat
from learning.telemetry import Limits, iracing, read_session
from learning.telemetry.frames import check

FORMATS = Path(__file__).parents[3] / "shared" / "data" / "formats"

pytestmark = pytest.mark.skipif(not FORMATS.is_dir(), reason="the real files are not beside the project")


def test_a_real_recording_of_iracing_has_every_record_of_known_channels() -> None:
    frames = check(iracing.read(FORMATS / "amg.ibt", Limits()))
    assert frames.height == 3371
    assert frames["lap"].unique().to_list() == [0]
    wheels = [f"tyre_{what}_{wheel}" for what in ("pressure", "temp") for wheel in ("fl", "fr", "rl", "rr")]
    assert set(frames.columns) == {
        *("lap", "current_lap_time", "track_position", "sector_index", "in_pit", "latitude", "longitude"),
        *("speed", "throttle", "brake", "clutch", "gear", "steering", "rpm", "fuel", "g_lat", "g_lon"),
        *("air_temp", "road_temp", *wheels),
    }
    assert (frames["track_position"][0], frames["track_position"][-1]) == pytest.approx(
        (0.0552196, 0.3318225)
    )
    assert frames["speed"].max() == pytest.approx(3.6 * 57.07215)
    assert (frames["fuel"][0], frames["fuel"][-1]) == pytest.approx((48.996525, 48.130154))
    assert (frames["gear"].min(), frames["gear"].max()) == (0, 5)
    assert (frames["rpm"].min(), frames["rpm"].max()) == pytest.approx((802.0435, 6914.675))
    assert frames["g_lon"].min() == pytest.approx(-31.417414 / 9.80665)
    assert frames["air_temp"][0] == pytest.approx(24.523302)
    assert frames["tyre_pressure_fl"][-1] == pytest.approx(162.36763)
    assert frames["in_pit"].sum() == 600
    assert frames["sector_index"].value_counts(sort=True).rows() == [(0.0, 2440), (1.0, 931)]
    assert iracing.names(FORMATS / "amg.ibt") == ("Red Bull Ring Grand Prix", "Mercedes AMG GT4")


def test_another_real_recording_of_iracing_says_how_wet_the_track_was() -> None:
    path = FORMATS / "valid_test_file.ibt"
    frames = check(iracing.read(path, Limits()))
    assert (frames.height, frames["lap"].unique().to_list()) == (390, [9])
    assert (frames["current_lap_time"][0], frames["current_lap_time"][-1]) == pytest.approx(
        (37.6619, 44.145233)
    )
    assert frames["wetness"].unique().to_list() == [0.0]
    assert frames["steering"][0] == pytest.approx(-3.8045986)
    assert iracing.names(path) == ("Red Bull Ring Grand Prix", "Mercedes-AMG W13 E Performance")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("amg.ibt", InvalidTelemetry, "No lap is complete"),
        ("valid_test_file.ibt", InvalidTelemetry, "No lap is complete"),
        ("live_test_file.ibt", InvalidTelemetry, "copy of iRacing's live memory with 3 buffers"),
        ("invalid_test_file.ibt", UnknownFormat, "it begins with b' state"),
    ],
)
def test_a_real_file_without_a_whole_lap_is_refused_with_what_is_wrong(
    name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        read_session(FORMATS / name)


@pytest.mark.parametrize(
    ("name", "number", "lap_time", "rows", "length"),
    [
        ("session_20251231_111318_tianma_lap9_v3.csv.gz", 9, 76.32888, 3_387, 2_006.31337),
        ("session_20251231_111959_tianma_lap13_v3.csv.gz", 13, 75.93405, 5_854, 1_993.03337),
    ],
)
def test_a_real_session_of_racechrono_has_one_whole_lap(
    name: str, number: int, lap_time: float, rows: int, length: float
) -> None:
    path = FORMATS / name
    recording = read_session(path)
    assert (recording.format, recording.track_name) == ("racechrono+gzip", "Tianma")
    [lap] = recording.session.valid_laps
    assert (lap.number, lap.lap_time) == (number, pytest.approx(lap_time, abs=1e-6))
    assert [lap.reason for lap in recording.session.laps] == ["incomplete", None, "incomplete"]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    own = [line.split(",") for line in lines if line.split(",")[2:3] == [str(number)]]
    assert len(own) == rows
    start = float(own[0][4])
    frame = lap.frame_at(0.5)
    assert frame is not None
    row = min(own, key=lambda row: abs((float(row[4]) - start) / length - lap.position[frame]))
    assert (float(row[4]) - start) / length == pytest.approx(lap.position[frame], abs=1e-9)
    assert float(row[3]) - float(own[0][3]) == pytest.approx(lap.time[frame], abs=1e-9)
    assert lap.channels["speed"][frame] == pytest.approx(3.6 * float(row[14]))
    assert lap.channels["throttle"][frame] == pytest.approx(float(row[21]) / 100)
    assert lap.channels["g_lat"][frame] == pytest.approx(float(row[17]))
    assert set(lap.channels) == {"speed", "throttle", "rpm", "latitude", "longitude", "g_lat", "g_lon"}
