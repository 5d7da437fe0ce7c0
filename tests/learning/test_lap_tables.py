"""Models learn from laps of which only times and conditions are known."""

from pathlib import Path

import pytest

from learning.laps import SessionLaps, decode, encode
from learning.telemetry import read_session
from learning.zoo import create_model
from tests.learning.driven import session

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "f1_testing" / "laps.csv"


def table(folder: Path, laps: int = 30) -> SessionLaps:
    """Laps in which the second sector is the one where most is lost."""
    rows = ["lap,lapTime,sector1Time,sector2Time,sector3Time,tyreLife"]
    for number in range(1, laps + 1):
        first, second, third = 30 + number % 3 / 10, 35 + number % 5, 25.0
        rows.append(f"{number},{first + second + third:.3f},{first:.3f},{second:.3f},{third:.3f},{number}")
    path = folder / "laps.csv"
    path.write_text("\n".join(rows))
    return read_session(path).session


def test_sector_analysis_learns_from_a_table_of_laps(tmp_path: Path) -> None:
    model = create_model("sector_analysis")
    report = model.learn_session(table(tmp_path))
    assert (model.laps_learned, report.laps, report.scored) == (30, 30, 29)
    [prediction] = model.predict([{}])
    sectors = prediction.values["sectors"]
    assert [sector["best"] for sector in sectors] == [30.0, 35.0, 25.0]
    assert prediction.values["focus"] == 2
    assert prediction.values["theoretical_best"] == 90.0


def test_a_stored_table_teaches_the_same_as_a_fresh_one(tmp_path: Path) -> None:
    fresh, stored = create_model("sector_analysis"), create_model("sector_analysis")
    fresh.learn_session(table(tmp_path))
    stored.learn_session(decode(encode(table(tmp_path))))
    assert fresh.predict([{}])[0].values == stored.predict([{}])[0].values


@pytest.mark.parametrize("model_type", ["lap_time_prediction", "setup_optimization"])
def test_other_models_take_laps_without_telemetry_among_others(model_type: str, tmp_path: Path) -> None:
    model = create_model(model_type)
    model.learn_session(session(laps=12))
    before = model.laps_learned
    laps = SessionLaps(laps=table(tmp_path).laps, setup={"wing": 5.0, "ride_height": 60.0})
    model.learn_session(laps)
    assert model.laps_learned == before + 30


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the real sessions are not beside the project")
def test_official_times_of_real_drivers_are_a_table_of_laps() -> None:
    recording = read_session(OFFICIAL, driver="SAI")
    laps = recording.session.valid_laps
    assert (recording.driver, len(recording.session.laps), len(laps)) == ("SAI", 183, 150)
    whole = [lap for lap in laps if lap.sector_times]
    assert len(whole) == 149  # of one lap a sector time is missing
    assert max(abs(sum(lap.sector_times) - (lap.lap_time or 0)) for lap in whole) < 0.0015
    model = create_model("sector_analysis")
    model.learn_session(recording.session)
    assert model.laps_learned == len(whole)
