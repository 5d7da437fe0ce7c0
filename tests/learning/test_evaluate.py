"""The evaluation predicts nothing from the future, on made-up laps and on real ones."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.evaluate import Row, follow, main
from learning.laps import SessionLaps
from learning.telemetry.reading import read_session
from learning.zoo import algorithms, create_model
from tests.learning.driven import invalid, session

REAL = Path(__file__).parents[3] / "shared" / "data" / "f1_testing"
POSITIONS = (10.0, 33.33, 50.0, 75.0)
ALGORITHMS = [algorithm.name for algorithm in algorithms("lap_time_prediction")]


def predictions(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.lap, row.part, row.predicted, row.interval) for row in rows]


def rows_of(driven: SessionLaps, algorithm: str | None = None) -> list[Row]:
    model = create_model("lap_time_prediction", algorithm)
    return list(follow(model, [("one", driven)], positions=POSITIONS))


def changed_after(driven: SessionLaps, index: int, share: float) -> SessionLaps:
    """The session with every frame after a point of one lap, and every later lap, made another."""
    cut = driven.laps[index]
    later = cut.position > share
    changed = replace(
        cut,
        lap_time=(cut.lap_time or 0.0) + 7,
        time=np.where(later, cut.time + 3, cut.time),
        channels={name: np.where(later, values * 0.5, values) for name, values in cut.channels.items()},
        sector_times=(),
    )
    rest = invalid(replace(driven, laps=driven.laps[index + 1 :]), "cut").laps
    return replace(driven, laps=(*driven.laps[:index], changed, *rest))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("share", "known"), [(0.12, 1), (0.5, 3)])
def test_frames_and_laps_to_come_change_no_prediction(algorithm: str, share: float, known: int) -> None:
    driven, index = session(10), 7
    before, after = (
        predictions(rows_of(laps, algorithm)) for laps in (driven, changed_after(driven, index, share))
    )
    unchanged = index * len(POSITIONS) + known
    assert after[:unchanged] == before[:unchanged]
    assert after[unchanged:] != before[unchanged:]


def test_laps_that_are_not_learned_are_predicted_all_the_same() -> None:
    driven = session(6)
    broken = invalid(replace(driven, laps=driven.laps[3:4]), "incomplete").laps
    rows = rows_of(replace(driven, laps=(*driven.laps[:3], *broken, *driven.laps[4:])))
    own = [row for row in rows if row.lap == 4]
    assert [row.learned for row in own] == [False] * len(POSITIONS)
    assert [row.actual for row in own] == [None] * len(POSITIONS)
    assert all(row.predicted and 85 < row.predicted < 125 for row in own)


def test_only_the_first_lap_has_no_prediction() -> None:
    rows = rows_of(session(4))
    assert [row.lap for row in rows if row.predicted is None] == [1] * len(POSITIONS)


def test_sectors_are_predicted_before_their_lap_starts() -> None:
    model = create_model("sector_analysis")
    rows = list(follow(model, [("one", session(4))]))
    assert [row.part for row in rows] == [1, 2, 3] * 4
    assert all(row.predicted == pytest.approx(row.actual, rel=0.05) for row in rows if row.lap == 4)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real telemetry in ../shared/data")
def test_the_command_beats_the_mean_lap_time_on_real_laps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions.csv"
    files = [str(REAL / "SAI_p3.csv.gz")]
    options = [
        "--model-type",
        "lap_time_prediction",
        "--positions",
        "25,75",
        "--level",
        "0.8",
        "--out",
        str(out),
    ]
    assert main([*files, *options]) == 0
    assert "mean_of_five" in capsys.readouterr().out
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["session", "lap", "position", "predicted", "lower", "upper", "actual", "learned"]
    laps = read_session(REAL / "SAI_p3.csv.gz").session.laps
    assert len(rows) == 2 * len(laps)
    times = {lap.number: lap.lap_time for lap in laps if lap.valid}
    mean = np.mean([t for t in times.values() if t is not None])
    late = [row for row in rows if row["position"] == "75" and row["learned"] == "1" and row["predicted"]]
    model_error = np.mean([abs(float(row["predicted"]) - float(row["actual"])) for row in late])
    mean_error = np.mean([abs(mean - float(row["actual"])) for row in late])
    assert model_error < 0.5 * mean_error


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real telemetry in ../shared/data")
def test_on_real_laps_too_nothing_comes_from_the_future() -> None:
    whole = read_session(REAL / "SAI_p3.csv.gz").session
    driven = replace(whole, laps=whole.laps[:20])
    index = next(i for i in range(19, 0, -1) if driven.laps[i].valid)
    before, after = (predictions(rows_of(laps)) for laps in (driven, changed_after(driven, index, 0.5)))
    unchanged = index * len(POSITIONS) + 3
    assert after[:unchanged] == before[:unchanged]
    assert after[unchanged:] != before[unchanged:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--positions", "10,100"], "from 0 to below 100"),
        (["--level", "1"], "between 0 and 1"),
        (["--model-type", "tyres"], "invalid choice"),
    ],
)
def test_options_that_will_not_do_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["a.csv", "--model-type", "sector_analysis", "--out", "b.csv", *arguments])
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_telemetry_is_named_as_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("dear driver")
    out = tmp_path / "out.csv"
    assert main([str(file), "--model-type", "lap_time_prediction", "--out", str(out)]) == 1
    assert "cannot evaluate" in capsys.readouterr().err
    assert not out.exists()
