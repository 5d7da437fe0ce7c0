"""A log of a real car at Calder is read as the logger itself saw it."""

from pathlib import Path

import numpy as np
import pytest

from learning.laps import decode, encode
from learning.telemetry import Limits, Recording, read_session
from learning.telemetry.motec_ld import Logged, crossings, logged

LOG = Path(__file__).parents[3] / "shared" / "data" / "formats" / "Sample1.ld"

pytestmark = pytest.mark.skipif(not LOG.is_file(), reason="the real log is not beside the project")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_session(LOG)


@pytest.fixture(scope="module")
def channels() -> dict[str, Logged]:
    return {channel.name: channel for channel in logged(LOG, Limits())}


def test_all_channels_are_there_with_their_units_rates_and_counts(channels: dict[str, Logged]) -> None:
    assert len(channels) == 78
    seen = [
        (channels[name].unit, channels[name].rate, len(channels[name].raw))
        for name in ("Air Temp Inlet", "Ground Speed", "Engine RPM", "Susp Pos RR", "Steered Angle", "Beacon")
    ]
    assert seen == [
        ("C", 2, 908),
        ("km/h", 10, 4540),
        ("rpm", 10, 4540),
        ("mm", 100, 45400),
        ("deg", 20, 9080),
        ("", 1, 454),
    ]


def test_values_are_those_other_readers_of_the_format_give(channels: dict[str, Logged]) -> None:
    assert channels["Air Temp Inlet"].values()[:5] == pytest.approx([19.9, 19.9, 20.1, 19.9, 19.9])
    assert channels["Ground Speed"].values()[:3] == pytest.approx([34.3, 34.8, 35.2])
    assert channels["Ground Speed"].values().max() == pytest.approx(244.6)
    assert channels["Engine RPM"].values().max() == pytest.approx(6846)
    assert channels["Gyro Yaw Velocity"].values().min() == pytest.approx(-45.0)
    assert channels["Lambda 1"].values().max() == pytest.approx(1.485)


def test_beacons_are_where_the_running_lap_time_started(channels: dict[str, Logged]) -> None:
    line, splits = crossings(channels["Beacon"])
    timer = channels["Running Lap Time"].values()
    started = [second - timer[second] for second in (96, 162, 225, 290, 354)]
    assert line == pytest.approx(started, abs=0.02)
    assert len(splits) == 12


def test_laps_have_the_times_the_logger_showed(recording: Recording) -> None:
    laps = recording.session.laps
    assert [lap.lap_time for lap in laps] == [None, 65.15, 63.68, 65.18, 63.75, None]
    assert [lap.reason for lap in laps] == ["no_position", None, None, None, None, "not_timed"]


def test_sectors_are_the_split_times_the_logger_showed(recording: Recording) -> None:
    shown = [(18.89, 32.84, 13.41), (18.28, 31.88, 13.49), (19.02, 32.8, 13.35), (18.33, 31.66, 13.75)]
    for lap, times in zip(recording.session.valid_laps, shown, strict=True):
        assert lap.sector_times == pytest.approx(times, abs=0.06)


def test_positions_agree_with_the_loggers_own_distance(
    recording: Recording, channels: dict[str, Logged]
) -> None:
    lap, distance = recording.session.laps[2], channels["Lap Distance"].values()
    seconds = np.arange(168, 220)  # within the second lap, which began at 159.299
    position = np.interp(seconds - 159.299, lap.time, lap.position)
    assert position == pytest.approx(distance[seconds] / 2276, abs=0.012)


def test_channels_track_and_car_are_named(recording: Recording, channels: dict[str, Logged]) -> None:
    lap = recording.session.laps[1]
    assert (recording.format, recording.track_name, recording.car_model) == ("motec_ld", "Calder", "11A")
    assert {"speed", "throttle", "gear", "rpm", "steering", "fuel", "g_lat", "g_lon", "brake_temp_fl"} < set(
        lap.channels
    )
    whole = slice(942, 1593)  # of 10 Hz, the first lap, from 94.136 to 159.299 s
    assert lap.channels["speed"].max() == pytest.approx(channels["Ground Speed"].values()[whole].max())
    throttle = channels["Throttle Pos"].values()[471:797].max() / 100
    assert lap.channels["throttle"].max() == pytest.approx(throttle)
    stored = encode(recording.session)
    assert encode(decode(stored)) == stored
