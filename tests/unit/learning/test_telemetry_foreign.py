"""Files of iRacing, RaceChrono and ACC servers are read to the channel, unit and lap."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from learning.errors import InvalidTelemetry, TelemetryTooLarge, UnknownFormat
from learning.telemetry import Limits
from tests.unit.learning.foreign_files import (
    IBT_TEXT,
    acc_results,
    ibt,
    lap,
    racechrono,
)
from tests.unit.learning.telemetry_sessions import read


def test_a_recording_of_iracing_gives_whole_laps_with_their_official_times(tmp_path: Path) -> None:
    recording = read(gzip.compress(ibt()), tmp_path)
    assert (recording.format, recording.track_name) == ("ibt+gzip", "Red Bull Ring Grand Prix")
    assert recording.car_model == recording.session.car_model == "Mercedes AMG GT4"
    laps = recording.session.laps
    assert [lap.number for lap in laps] == [1, 2, 3, 4]
    assert [lap.lap_time for lap in laps] == pytest.approx([60.01, 60.02, 60.03, None])
    assert [lap.reason for lap in laps] == [None, None, None, "incomplete"]


def test_iracing_variables_become_channels_in_our_units(tmp_path: Path) -> None:
    lap = read(ibt(), tmp_path).session.laps[1]
    assert {name: round(float(values[0]), 4) for name, values in lap.channels.items()} == {
        "speed": 180.0,  # 50 m/s
        "throttle": 1.0,
        "clutch": 0.75,  # iRacing counts how far it is engaged
        "in_pit": 0.0,
        "tyre_pressure_fl": 165.5,
        "wetness": 0.5,  # the fourth of seven steps
        "sector_index": 0.0,
    }
    assert lap.context["wetness"] == pytest.approx(0.5)


def test_sectors_of_iracing_are_those_of_the_track(tmp_path: Path) -> None:
    lap = read(ibt(), tmp_path).session.laps[1]
    assert lap.sector_times == pytest.approx([0.25 * 60 - 0.1, 0.35 * 60, 0.4 * 60 + 0.12], abs=0.011)


def test_a_car_that_the_driver_names_wins_over_the_files(tmp_path: Path) -> None:
    recording = read(ibt(), tmp_path, car_model="mine")
    assert (recording.session.car_model, recording.car_model) == ("mine", "Mercedes AMG GT4")


def test_a_recording_that_names_neither_track_nor_car_is_read_all_the_same(tmp_path: Path) -> None:
    recording = read(ibt(text="---\n...\n"), tmp_path)
    assert (recording.track_name, recording.car_model) == (None, None)
    assert len(recording.session.valid_laps) == 3


def test_a_name_from_a_file_can_stand_in_a_path(tmp_path: Path) -> None:
    text = IBT_TEXT.replace("Red Bull Ring", "/../\x07  Red").replace("Grand Prix", "G" * 200)
    assert read(ibt(text=text), tmp_path).track_name == ("Red " + "G" * 200)[:100]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ibt(buffers=3), "copy of iRacing's live memory with 3 buffers"),
        (ibt(records=0), "did not finish this file: its header counts no records"),
        (ibt(records=2_000_000_000), "cut short: its header counts 2,000,000,000 records"),
        (ibt()[:-1], "cut short: its header counts 910 records of 45 bytes, there are 909"),
        (ibt()[:100], "cut short: its header points to byte 144, it ends at 100"),
        (ibt(record_bytes=0), "damaged: its header points to nowhere"),
        (ibt(record_bytes=20), "damaged: variable 'LapDistPct' lies outside its records"),
        (ibt(laps=0), "No lap is complete"),
    ],
)
def test_a_broken_recording_is_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.parametrize("limits", [Limits(rows=909), Limits(columns=10), Limits(laps=3)])
def test_records_variables_and_laps_of_a_recording_are_limited(limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(TelemetryTooLarge):
        read(ibt(), tmp_path, limits=limits)
    assert read(ibt(), tmp_path, limits=Limits(rows=910, columns=11, laps=4))


def test_what_only_resembles_a_recording_is_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"it begins with b'.x03"):
        read(ibt(version=3), tmp_path)


@pytest.mark.parametrize("without", [(), ("distance_traveled",)])
def test_a_session_of_racechrono_gives_the_laps_between_crossings(
    without: tuple[str, ...], tmp_path: Path
) -> None:
    recording = read(racechrono(without=without), tmp_path)
    assert (recording.format, recording.track_name, recording.car_model) == ("racechrono", "Tianma", None)
    laps = recording.session.laps
    assert [(lap.number, lap.lap_time, lap.reason) for lap in laps] == [
        (3, None, "incomplete"),
        (4, 70.0, None),
        (5, 70.0, None),
        (6, 70.0, None),
        (7, None, "incomplete"),
    ]
    assert laps[0].position[[0, -1]] == pytest.approx([1 - 1 / 7, 1 - 0.25 / 70], abs=1e-4)
    assert laps[1].position[[0, 140, -1]] == pytest.approx([0, 0.5, 1 - 0.25 / 70], abs=1e-4)
    assert laps[4].position[-1] == pytest.approx(9.75 / 70, abs=1e-4)
    assert laps[1].time[[0, 140]] == pytest.approx([0, 35])


def test_of_repeated_names_the_better_source_counts_and_units_are_converted(tmp_path: Path) -> None:
    channels = read(racechrono(), tmp_path).session.laps[1].channels
    assert set(channels) == {"speed", "throttle", "latitude", "longitude", "g_lat"}
    assert channels["speed"][3] == pytest.approx(3.6 * 28)  # of the GPS, not calculated
    assert channels["throttle"][3] == pytest.approx(0.75)  # the pedal, from the CAN bus


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (racechrono(version="2"), "RaceChrono's CSV format 2"),
        (racechrono(without=("lap_number",)), "no row of column names with lap_number"),
        (racechrono(without=("elapsed_time",)), "no session_time in the file"),
        (racechrono(without=("distance_traveled", "latitude")), "neither distance_traveled nor latitude"),
        (racechrono(laps=0), "No lap is complete"),
        (racechrono() + b"\r\n1,2,3", "has 3 fields"),
        (racechrono().replace(b",28,10,", b",fast,10,", 1), "'speed .m/s.' must be a number, not 'fast'"),
    ],
)
def test_a_broken_session_of_racechrono_is_refused_with_what_is_wrong(
    data: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b""),
        ("utf-16-be", b"\xfe\xff"),
    ],
)
def test_results_of_a_server_give_one_drivers_laps_in_any_encoding(
    encoding: str, mark: bytes, tmp_path: Path
) -> None:
    recording = read(acc_results(encoding, mark), tmp_path, driver="Ann Archer")
    assert (recording.format, recording.track_name, recording.car_model) == (
        "acc_results",
        "monza",
        "Ferrari 296 GT3",
    )
    laps = recording.session.laps
    assert [lap.number for lap in laps] == [1, 2, 4]  # her team mate drove the third
    assert [lap.lap_time for lap in laps] == pytest.approx([118.25, 107.512, None])
    assert [lap.reason for lap in laps] == ["cut", None, "not_timed"]
    assert [lap.sector_times for lap in laps] == [(), pytest.approx((35.275, 36.327, 35.91)), ()]


@pytest.mark.parametrize("name", ["Bo Berg", " bo  BERG", "ber", "S76562", "Bo Berg (car 1001)"])
def test_a_driver_answers_to_names_and_player_id_in_any_case(name: str, tmp_path: Path) -> None:
    recording = read(acc_results(), tmp_path, driver=name)
    assert [lap.number for lap in recording.session.laps] == [3]
    assert recording.driver == "Bo Berg (car 1001)"


def test_a_driver_alone_in_a_car_answers_to_its_number(tmp_path: Path) -> None:
    recording = read(acc_results(), tmp_path, driver="1002")
    assert (recording.driver, recording.car_model) == ("Cy Cole (car 1002)", "Car model 99")


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        (None, ["Ann Archer (car 1001)", "Cy Cole (car 1002)", "Bo Berg (car 1001)"]),
        ("Lewis", ["Ann Archer (car 1001)", "Cy Cole (car 1002)", "Bo Berg (car 1001)"]),
        ("1001", ["Ann Archer (car 1001)", "Bo Berg (car 1001)"]),
    ],
)
def test_an_unknown_or_missing_driver_is_refused_with_the_choices(
    name: str | None, choices: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InvalidTelemetry) as refused:
        read(acc_results(), tmp_path, driver=name)
    assert refused.value.details == {"driver": [f"One of: {', '.join(choices)}."], "choices": choices}


def test_the_only_driver_of_results_need_not_be_named_and_a_wet_session_is_wet(tmp_path: Path) -> None:
    data = acc_results(sessionResult={"isWetSession": 1}, laps=[lap(7, 0, 120_000)])
    recording = read(data, tmp_path)
    assert (recording.driver, recording.car_model) == ("driver (car 7)", None)
    assert recording.session.laps[0].context == {"wetness": 1.0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (acc_results()[:-40], "not valid JSON, or are cut short"),
        (acc_results(laps=None), "no list of laps"),
        (acc_results(laps=[]), "hold no laps"),
        (acc_results(laps=[lap(7, 0, 0)]), "No lap has a time"),
        (
            acc_results(laps=[{"carId": 7, "laptime": "1:40"}]),
            "Lap 1 of the list: laptime must be milliseconds",
        ),
        (acc_results(laps=[3]), "Lap 1 of the list: carId must be a whole number, not None"),
        (acc_results(laps=[{"carId": 7, "laptime": 1e300}]), "laptime must be milliseconds, not 1e[+]300"),
        (b'{"sessionResult":' + b"[" * 100_000, "not valid JSON"),
    ],
)
def test_broken_results_are_refused_with_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match=message):
        read(data, tmp_path)


def test_laps_without_telemetry_have_no_frames(tmp_path: Path) -> None:
    [first, *_] = read(acc_results(), tmp_path, driver="ARC").session.laps
    assert (len(first.position), len(first.time), dict(first.channels)) == (0, 0, {})
    assert first.elapsed(np.array([0.5])) == pytest.approx([118.25 / 2])
