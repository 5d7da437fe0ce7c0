"""MoTeC logs and exports are read to the channel, unit and lap, and broken ones say what is wrong."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry import Limits, Recording
from learning.telemetry.motec_ld import logged
from tests.unit.learning import motec_files as motec
from tests.unit.learning.telemetry_sessions import read

LINE, LAP_TIMES = motec.LINE, motec.LAP_TIMES
MARKERS = ("Beacon Markers", " ".join(f"{second:.3f}" for second in LINE))
SECONDS = motec.at(20)


def times(recording: Recording) -> list[float | None]:
    return [lap.lap_time for lap in recording.session.laps]


def reasons(recording: Recording) -> list[str | None]:
    return [lap.reason for lap in recording.session.laps]


@pytest.mark.parametrize(
    ("known_by", "within"),
    [
        ([motec.beacon_words()], 0.001),
        ([motec.timer()], 0.011),
        ([motec.timer(), motec.last_times(late=2.0)], 0.001),
        ([motec.distance()], 0.02),
        ([motec.distance(), motec.counter()], 0.02),
        ([motec.pulses()], 0.11),
        ([motec.pulses(), motec.timer()], 0.011),
        ([motec.counter()], 0.11),
        ([motec.distance(rate=1)], 0.06),
    ],
)
def test_laps_are_found_by_whatever_knows_the_line(
    known_by: list[motec.LogChannel], within: float, tmp_path: Path
) -> None:
    recording = read(motec.log([*motec.car(), *known_by]), tmp_path)
    assert times(recording) == [None, *(pytest.approx(time, abs=within) for time in LAP_TIMES), None]
    assert [lap.valid for lap in recording.session.laps] == [False, True, True, True, False]


def test_a_counter_that_counts_laps_one_by_one_numbers_them(tmp_path: Path) -> None:
    counted = read(motec.log([*motec.car(), motec.timer(), motec.counter()]), tmp_path)
    assert [lap.number for lap in counted.session.laps] == [3, 4, 5, 6, 7]
    late = motec.counter(rate=1)
    late.raw = np.maximum(late.raw - 4, 0)  # counts completed laps
    completed = read(motec.log([*motec.car(), motec.timer(), late]), tmp_path)
    assert [lap.number for lap in completed.session.laps] == [0, 1, 2, 3, 4]


def test_a_shown_lap_time_that_is_not_of_this_lap_is_not_believed(tmp_path: Path) -> None:
    recording = read(motec.log([*motec.car(), motec.timer(), motec.last_times(wrong=0.5)]), tmp_path)
    assert times(recording)[1:4] == pytest.approx(LAP_TIMES, abs=0.011)


def test_splits_between_beacons_are_sectors(tmp_path: Path) -> None:
    splits = tuple(float(second) for line in LINE[:-1] for second in (line + 8.25, line + 20.5))
    lap = read(motec.log([*motec.car(), motec.beacon_words(splits)]), tmp_path).session.laps[1]
    assert lap.sector_times == pytest.approx([8.25, 12.25, 9.5], abs=0.03)


def test_channels_come_in_canonical_units_each_value_the_last_known_by_then(tmp_path: Path) -> None:
    lap = read(motec.log([*motec.car(), motec.beacon_words()]), tmp_path).session.laps[1]
    assert set(lap.channels) == {"speed", "throttle", "gear"}
    assert (lap.channels["speed"] == 144.0).all()
    assert (lap.channels["gear"] == 4).all()
    expected = (lap.time + motec.OUT) / (len(SECONDS) - 1) * 20
    assert lap.channels["throttle"] == pytest.approx(expected, abs=1e-3)


def test_a_slow_channel_holds_its_value_until_the_next(tmp_path: Path) -> None:
    steps = motec.LogChannel("Gear", "", 1, (np.arange(len(motec.at(1))) % 7).astype("<i2"))
    lap = read(motec.log([motec.car()[0], steps, motec.timer()]), tmp_path).session.laps[2]
    assert lap.channels["gear"].tolist() == (np.floor(lap.time + LINE[1] + 1e-6) % 7).tolist()


def test_values_are_scaled_as_their_channel_says(tmp_path: Path) -> None:
    path = tmp_path / "log.ld"
    rpm = motec.LogChannel("Engine RPM", "rpm", 1, np.array([100], "<i2"), (0, 6, 10, -1))
    shifted = motec.LogChannel("T", "C", 1, np.array([250], "<i2"), (-40, 2, 5, 1))
    path.write_bytes(motec.log([rpm, shifted]))
    values = [channel.values()[0] for channel in logged(path, Limits())]
    assert values == pytest.approx([600.0, (250 / 5 / 10 - 40) * 2])


def test_positions_are_the_distance_driven_over_the_length_of_the_laps_before(tmp_path: Path) -> None:
    laps = read(motec.log([*motec.car(), motec.beacon_words()]), tmp_path).session.laps
    assert len(laps[0].position) == 0  # where it began is not known
    assert laps[1].position[-1] == pytest.approx(1, abs=0.005)
    assert laps[2].position[100] == pytest.approx(laps[2].time[100] / LAP_TIMES[1], abs=0.002)
    assert laps[4].position[-1] == pytest.approx(12 / 30, abs=0.005)


def test_nothing_after_a_lap_changes_where_it_was(tmp_path: Path) -> None:
    channels = [*motec.car(), motec.beacon_words()]
    before = read(motec.log(channels), tmp_path).session.laps[1]
    channels[0].raw = channels[0].raw.copy()
    channels[0].raw[int((LINE[1] + 1) * 10) :] = 900
    after = read(motec.log(channels), tmp_path).session.laps[1]
    assert (after.position == before.position).all()


def test_track_and_car_are_named_by_the_header_or_the_blocks_it_points_to(tmp_path: Path) -> None:
    channels = [*motec.car(), motec.timer()]
    named = read(gzip.compress(motec.log(channels)), tmp_path)
    assert (named.format, named.track_name, named.car_model) == ("motec_ld+gzip", "Calder", "11A")
    data = bytearray(motec.log(channels, venue="", vehicle=""))
    assert (read(bytes(data), tmp_path).track_name, read(bytes(data), tmp_path).car_model) == (None, None)
    data[0x24:0x28] = (0x280).to_bytes(4, "little")
    event = 0x280
    data[event + 1152 : event + 1154] = (0x200).to_bytes(2, "little")
    data[0x200:0x206] = b"Monza\0"
    pointed = read(bytes(data), tmp_path)
    assert (pointed.track_name, pointed.car_model) == ("Monza", None)


def test_a_sensor_that_shows_impossible_values_does_not_spoil_the_log(tmp_path: Path) -> None:
    fuel = motec.LogChannel(
        "Fuel Level", "l", 2, np.where(np.arange(len(motec.at(2))) % 2, 30, -3).astype("<i2")
    )
    lap = read(motec.log([*motec.car(), fuel, motec.timer()]), tmp_path).session.laps[1]
    assert set(np.unique(lap.channels["fuel"][~np.isnan(lap.channels["fuel"])])) == {30.0}


def speed(**written: Any) -> list[motec.LogChannel]:
    """The car's channels, with something else written for the speed."""
    channels = [*motec.car(), motec.timer()]
    own = {name: written.pop(name) for name in ("unit", "conversion", "kind") if name in written}
    for name, value in own.items():
        setattr(channels[0], name, value)
    channels[0].written = written
    return channels


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (motec.log(speed())[:100], "its header has 100 of"),
        (motec.log(speed())[:-10], "values of channel 'Running Lap Time' reach beyond its end"),
        (motec.log(speed(), first=1 << 31), "the list of channels leaves the file after 0"),
        (motec.log(speed(next=1 << 30)), "the list of channels leaves the file after 1"),
        (motec.log(speed(next=motec.HEADER)), "the list of channels runs in a circle after 1"),
        (motec.log([]), "it has no channels"),
        (motec.log(speed(data=1 << 31)), "of channel 'Ground Speed' reach beyond"),
        (motec.log(speed(count=4_000_000_000)), "4,000,000,000 values of channel 'Ground Speed'"),
        (motec.log(speed(rate=0)), "channel 'Ground Speed' has the rate 0"),
        (motec.log(speed(conversion=(0, 1, 0, 1))), "channel 'Ground Speed' has the scale 0"),
        (motec.log(speed(conversion=(0, 1, 1, -300))), "channel 'Ground Speed' has -300 decimals"),
        (motec.log(speed(kind=9)), "channel 'Ground Speed' is of an unknown type"),
        (
            motec.log(speed(unit="furlong/h")),
            "'Ground Speed' is in 'furlong/h', which cannot be turned into km/h",
        ),
        (motec.log(motec.car()), "Nothing shows where laps begin"),
        (motec.log([motec.car()[1], motec.timer()]), "no track_position or lap_distance"),
    ],
)
def test_a_broken_log_is_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.parametrize(
    "limits", [Limits(columns=3), Limits(rows=2000), Limits(decoded_bytes=50_000), Limits(laps=4)]
)
def test_channels_rows_and_laps_of_a_log_are_limited(limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(TelemetryTooLarge):
        read(motec.log([*motec.car(), motec.timer()]), tmp_path, limits=limits)


def test_a_log_of_more_than_a_day_is_too_large(tmp_path: Path) -> None:
    slow = motec.LogChannel("Gear", "", 1, np.zeros(400_000, "<i2"))
    with pytest.raises(TelemetryTooLarge, match="lasts 111 hours"):
        read(motec.log([motec.car()[0], slow]), tmp_path)


def test_a_fast_channel_that_soon_ends_does_not_unfold_the_others(tmp_path: Path) -> None:
    fast = motec.LogChannel("Steered Angle", "deg", 60, np.zeros(600, "<i2"))
    channels = [motec.car()[0], motec.timer(), fast]
    assert read(motec.log(channels), tmp_path, limits=Limits(rows=len(motec.at(10)))).session.valid_laps
    with pytest.raises(TelemetryTooLarge):
        read(motec.log(channels), tmp_path, limits=Limits(rows=len(motec.at(10)) - 1))


@pytest.mark.parametrize(
    ("more", "about", "within"),
    [
        ({}, (MARKERS,), 0.001),
        ({}, (("Beacon Markers", *(f"{second:.3f}" for second in LINE)),), 0.001),
        ({("Lap Number", ""): motec.laps_driven(SECONDS)}, (), 0.051),
        ({("Running Lap Time", "s"): np.where(SECONDS < LINE[0], 0, motec.since_line(SECONDS))}, (), 0.001),
        ({("Lap Distance", "km"): motec.share(SECONDS) * 1.2}, (), 0.02),
    ],
)
def test_laps_of_an_export_are_found_by_whatever_knows_the_line(
    more: dict[tuple[str, str], Any], about: tuple[tuple[str, ...], ...], within: float, tmp_path: Path
) -> None:
    recording = read(motec.export(motec.exported_car() | more, about), tmp_path)
    assert (recording.format, recording.track_name, recording.car_model) == ("motec_csv", "Calder", "11A")
    assert times(recording) == [None, *(pytest.approx(time, abs=within) for time in LAP_TIMES), None]
    assert [lap.valid for lap in recording.session.laps] == [False, True, True, True, False]


def test_an_export_of_one_lap_is_that_lap(tmp_path: Path) -> None:
    inside = (SECONDS >= LINE[0]) & (SECONDS < LINE[1])
    columns = {name: values[inside] for name, values in motec.exported_car().items()}
    about = (("Duration", "30.000", "s", "", "Start Distance", "0", "m"), ("Range", "Lap 2"))
    recording = read(motec.export(columns, about), tmp_path)
    assert (times(recording), reasons(recording)) == ([30.0], [None])


@pytest.mark.parametrize(
    ("name", "unit", "raw", "channel", "value"),
    [
        ("Ground Speed", "mph", 90.0, "speed", 144.841),
        ("Ground Speed", "m/s", 40.0, "speed", 144.0),
        ("Throttle Pos", "ratio", 0.5, "throttle", 0.5),
        ("Brake Pos", "%", 25.0, "brake", 0.25),
        ("Tyre Temp FL Centre", "F", 176.0, "tyre_temp_fl", 80.0),
        ("Tyre Temp RR", "°C", 88.0, "tyre_temp_rr", 88.0),
        ("Tyre Pres RL", "psi", 27.0, "tyre_pressure_rl", 186.158),
        ("Tyre Pres FL", "bar", 1.9, "tyre_pressure_fl", 190.0),
        ("TYRE_PRESS_RF", "psi", 27.0, "tyre_pressure_fr", 186.158),
        ("G Force Lat", "m/s/s", 9.80665, "g_lat", 1.0),
        ("Fuel Remaining", "usgal", 10.0, "fuel", 37.854),
        ("Engine RPM", "rpm", 6000.0, "rpm", 6000.0),
        ("Steered Angle", "deg", -31.0, "steering", -31.0),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_units_of_an_export_are_converted(
    name: str, unit: str, raw: float, channel: str, value: float, encoding: str, tmp_path: Path
) -> None:
    columns = {key: v for key, v in motec.exported_car().items() if key[0] != name}
    columns[name, unit] = np.full(len(SECONDS), raw)
    laps = read(
        motec.export(columns, (MARKERS, ("Range", "entire outing")), encoding=encoding), tmp_path
    ).session.laps
    assert laps[1].channels[channel][5] == pytest.approx(value, abs=1e-3)


def test_a_channel_that_can_be_done_without_is_left_out_if_nobody_knows_its_unit(tmp_path: Path) -> None:
    columns = motec.exported_car() | {("Fuel Level", "bushel"): np.ones(len(SECONDS))}
    assert set(read(motec.export(columns, (MARKERS,)), tmp_path).session.laps[1].channels) == {
        "speed",
        "throttle",
    }


def test_rows_of_short_names_and_of_numbers_around_the_units_are_passed_over(tmp_path: Path) -> None:
    lines = motec.export(motec.exported_car(), (MARKERS,)).splitlines(keepends=True)
    named = next(i for i, line in enumerate(lines) if line.startswith(b'"Time"'))
    lines[named:named] = [b'"","Speed","Throttle"\r\n']
    lines[named + 2 : named + 2] = lines[named + 2 : named + 3]
    lines[named + 3] = b'"","7","8"\r\n'
    assert times(read(b"".join(lines), tmp_path))[1:4] == pytest.approx(LAP_TIMES, abs=0.001)


EXPORT = motec.export(motec.exported_car(), (MARKERS,))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EXPORT.replace(b'"Time"', b'"When"'), "no row of channel names with a Time"),
        (EXPORT[: EXPORT.index(b'"Time"')], "no row of channel names with a Time"),
        (EXPORT[: EXPORT.index(b'"0.0000"')], "no rows"),
        (EXPORT.replace(b'"Beacon Markers"', b'"Comment"'), "Nothing shows where laps begin"),
        (EXPORT.replace(b'"km/h"', b'"parsec"'), "'Ground Speed' is in 'parsec'"),
        (
            EXPORT.replace(b'"9.5000","172.8000"', b'"9.5000","fast"'),
            "Row 191: 'Ground Speed' must be a number, not 'fast'",
        ),
        (EXPORT.replace(b'"9.5000","172.8000"', b'"9.5000"'), "Row 191 has 2 fields"),
        (
            EXPORT.replace(b'"9.5000","172.8000"', b'"8.5000","172.8000"'),
            "Row 191: the time is missing, impossible or runs backwards",
        ),
    ],
)
def test_a_broken_export_is_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.filterwarnings("error")
def test_floats_that_are_no_numbers_are_missing_values(tmp_path: Path) -> None:
    raw = np.full(len(SECONDS), 0x7F800001, "<u4").view("<f4")  # a NaN that signals
    raw[::2] = 50.0
    wrong = motec.LogChannel("Throttle Pos", "%", 20, raw, kind=7)
    lap = read(motec.log([motec.car()[0], wrong, motec.timer()]), tmp_path).session.laps[1]
    assert set(lap.channels["throttle"][~np.isnan(lap.channels["throttle"])]) == {0.5}
