"""Models exported as ONNX answer as the platform does, whatever is known, and run without Lapwise."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from learning.errors import ExportNotSupported, InvalidInput, NothingToLearn
from learning.export_onnx import EXPORTABLE, onnx_of
from learning.history import Features
from learning.laps import Lap, SessionLaps
from learning.model import RacingModel
from learning.moments import moment_of
from learning.telemetry import read_session
from learning.zoo import algorithms, create_model
from tests.factories import session_file
from tests.learning.driven import lap, session

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "f1_testing"
CLOSE = 1e-4  # seconds
Row = Features
ABOUT = {"modelId": "6655f0c2a4b1c2d3e4f50617"}


def run(graph: bytes | onnxruntime.InferenceSession, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """The answers of onnxruntime; what a row does not say is NaN, and lists are padded with it."""
    model = onnxruntime.InferenceSession(graph) if isinstance(graph, bytes) else graph
    feed = {}
    for wanted in model.get_inputs():
        values = [np.ravel(_number(row.get(wanted.name, np.nan))) for row in rows]
        width = max([1, *map(len, values)]) if isinstance(wanted.shape[-1], str) else wanted.shape[-1]
        padded = np.array([np.append(value, np.full(width - len(value), np.nan)) for value in values])
        feed[wanted.name] = padded if len(wanted.shape) > 1 else padded[:, 0]
    answers: np.ndarray[Any, Any] = model.run(["lap_time"], feed)[0]
    return answers


def _number(value: Any) -> Any:
    return float(zlib.crc32(value.encode())) if isinstance(value, str) else value


def furthest(model: RacingModel[Any], rows: Sequence[Row], **options: Any) -> float:
    """The largest difference between graph and platform, in seconds."""
    named = [row | {"car_model": car} if (car := options.get("car_model")) else row for row in rows]
    answers = run(onnx_of(model, ABOUT, **options), rows)
    expected = [model.predict([row])[0].values["lap_time"] for row in named]  # as a client that drives asks
    assert np.isfinite(answers).all()
    return float(np.abs(answers - expected).max())


def frames(session: SessionLaps, count: int, *, seed: int = 0) -> list[Row]:
    """Moments of a session's laps as a client would send them, some with less known than others."""
    random = np.random.default_rng(seed)
    laps = [one for one in session.laps if one.lap_time and len(one.position)]
    rows = []
    for _ in range(count):
        one = laps[random.integers(len(laps))]
        row = {"throttle": 1.0, "brake": 0.0, "gear": 5.0, "speed": 200.0, "track_position": 0.0}
        row |= {name: value for name, value in moment_of(one, random.random()).items() if name in KNOWN}
        row |= {"outing_lap": float(random.integers(9))}
        rows.append(without(row, OMITTED[random.integers(len(OMITTED))]))
    return rows


KNOWN = ("track_position", "current_lap_time", "splits", "speeds", "speed", "tyre_life", "compound")
OMITTED: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("speeds",),
    ("splits",),
    ("splits", "speeds"),
    ("current_lap_time", "splits", "speeds"),
    ("tyre_life", "outing_lap"),
    ("compound",),
)


def without(row: Row, names: Sequence[str]) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def learned(*sessions: SessionLaps, algorithm: str | None = None) -> RacingModel[Any]:
    model = create_model("lap_time_prediction", algorithm)
    for one in sessions:
        model.learn_session(one)
    return model


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> list[SessionLaps]:
    """Four days of one driver."""
    folder = tmp_path_factory.mktemp("laps")
    days = (read_session(session_file(folder, index=day, laps=14)).session for day in range(1, 5))
    return [replace(day, car_model="gt3", laps=tuple(map(on_two_compounds, day.laps))) for day in days]


def on_two_compounds(one: Lap) -> Lap:
    return replace(one, context={**one.context, "compound": "HARD" if one.number % 3 else "SOFT"})


@pytest.fixture(scope="module")
def model(simulated: list[SessionLaps]) -> RacingModel[Any]:
    """Has learned three of them."""
    return learned(*simulated[:3])


@pytest.mark.parametrize("algorithm", EXPORTABLE)
def test_a_graph_agrees_with_the_platform_on_a_thousand_simulated_frames(
    simulated: list[SessionLaps], algorithm: str
) -> None:
    model = learned(*simulated[:3], algorithm=algorithm)
    assert furthest(model, frames(simulated[3], 1000)) < CLOSE


@pytest.mark.skipif(not REAL.is_dir(), reason="the real sessions are not beside the project")
@pytest.mark.parametrize("algorithm", EXPORTABLE)
@pytest.mark.parametrize("driver", ["ALB", "BEA", "BOR", "PIA", "SAI"])
def test_a_graph_agrees_with_the_platform_on_a_thousand_real_frames(driver: str, algorithm: str) -> None:
    days = [read_session(path).session for path in sorted(REAL.glob(f"{driver}_p*.csv.gz"))]
    model = learned(*days[:-1], algorithm=algorithm)
    rows = frames(days[-1], 1000)
    assert furthest(model, rows) < CLOSE


def test_slow_laps_are_answered_from_slow_laps_by_both(model: RacingModel[Any]) -> None:
    slow = [
        {"track_position": share, "current_lap_time": share * seconds, **REST}
        for seconds in (130.0, 160.0, 250.0, 600.0)
        for share in (0.02, 0.3, 0.5, 0.95, 1.0)
    ]
    ((_, context),) = model._contexts.items()
    best = context.references.best
    answers = run(onnx_of(model, ABOUT), slow)
    assert (answers > 1.07 * best).sum() >= 15, "the slow path was not taken"
    assert furthest(model, slow) < CLOSE


REST: Row = {"speed": 120.0, "throttle": 0.2, "brake": 0.0, "gear": 3.0}


MANY = [90.0 + number / 9 for number in range(40)]


@pytest.mark.parametrize("recent", [[88.0], [91.0, 90.5, 94.0], [140.0], [60.0, 90.0], MANY])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.48, 0.999])
def test_recent_laps_move_the_graph_as_they_move_the_platform(
    model: RacingModel[Any], simulated: list[SessionLaps], recent: list[float], share: float
) -> None:
    one = simulated[3].laps[4]
    known = {name: value for name, value in moment_of(one, share).items() if name in KNOWN}
    rows = [REST | {"track_position": 0.0} | known | {"recent_laps": recent, "outing_lap": 6.0}]
    assert furthest(model, rows) < CLOSE


def test_rows_are_answered_one_by_one_whatever_stands_beside_them(
    model: RacingModel[Any], simulated: list[SessionLaps]
) -> None:
    graph = onnxruntime.InferenceSession(onnx_of(model, ABOUT))
    rows = frames(simulated[3], 40)
    rows[10:20] = [row | {"recent_laps": MANY[: len(row)]} for row in rows[10:20]]
    together = run(graph, rows)
    alone = np.concatenate([run(graph, [row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-9


def test_it_does_not_matter_where_recent_laps_are_padded(model: RacingModel[Any]) -> None:
    graph = onnxruntime.InferenceSession(onnx_of(model, ABOUT))
    row = REST | {"track_position": 0.3, "current_lap_time": 27.0}
    padded = [[90.0, 91.0], [np.nan, 90.0, 91.0], [90.0, np.nan, 91.0, np.nan]]
    first, *others = (float(run(graph, [row | {"recent_laps": laps}])[0]) for laps in padded)
    assert others == [pytest.approx(first, abs=1e-9)] * 2


def test_laps_without_telemetry_are_treated_alike() -> None:
    shapeless = [
        replace(one, position=np.empty(0), time=np.empty(0), channels={}) for one in session(10, seed=1).laps
    ]
    table = SessionLaps(laps=tuple(shapeless))
    for days in ((table,), (table, session(6, seed=2)), (session(6, seed=2), table)):
        assert furthest(learned(*days), frames(session(8, seed=3), 100)) < CLOSE


def test_a_model_of_a_single_lap_is_exported(simulated: list[SessionLaps]) -> None:
    single = learned(SessionLaps(laps=(lap(1, 90.0),)))
    assert furthest(single, frames(simulated[3], 50)) < CLOSE


@pytest.mark.parametrize("options", [{"window": 10}, {"rate": 0.0, "correction": 0.0}, {"memory": 0.5}])
def test_hyperparameters_stand_in_the_graph(simulated: list[SessionLaps], options: dict[str, float]) -> None:
    model = create_model("lap_time_prediction", "expert_mixture", options)
    for day in simulated[:2]:
        model.learn_session(day)
    assert furthest(model, frames(simulated[2], 200)) < CLOSE


def test_a_graph_is_of_the_car_learned_last_or_of_the_one_named() -> None:
    model = learned(session(8, car_model="gt3"), session(8, pace=94.0, seed=1, car_model="gt4"))
    rows = [row for row in frames(session(8, seed=2), 50) if "compound" in row]
    assert furthest(model, rows, car_model="gt3") < CLOSE
    assert furthest(model, rows, car_model="gt4") < CLOSE
    assert (
        onnx_of(model, ABOUT)
        == onnx_of(model, ABOUT, car_model="gt4")
        != onnx_of(model, ABOUT, car_model="gt3")
    )
    with pytest.raises(InvalidInput) as refused:
        onnx_of(model, ABOUT, car_model="gt2")
    assert refused.value.details == {"carModel": ["must be one of gt3, gt4"]}


def test_a_file_says_what_it_is_and_how_it_is_asked(model: RacingModel[Any]) -> None:
    loaded = onnxruntime.InferenceSession(onnx_of(model, ABOUT))
    told = loaded.get_modelmeta().custom_metadata_map
    assert (told["modelId"], told["carModel"], told["wet"]) == (ABOUT["modelId"], "gt3", "false")
    assert int(told["lapsLearned"]) == model.laps_learned
    assert json.loads(told["inputs"]).keys() == {"unknown", "compound", "recent_laps", "unused"}
    inputs = {one.name: (one.type, one.shape) for one in loaded.get_inputs()}
    assert inputs.keys() <= model.fields.keys(), "inputs have the names of the contract"
    assert {kind for kind, _ in inputs.values()} == {"tensor(double)"}
    smallest = {"speed", "throttle", "brake", "gear", "track_position", "current_lap_time"}
    assert all(inputs[name][1] == ["batch"] for name in smallest)
    assert inputs["splits"][1] == ["batch", 19]
    assert inputs["speeds"][1] == ["batch", 20]
    assert [(one.name, one.shape) for one in loaded.get_outputs()] == [("lap_time", ["batch"])]


def test_the_graph_uses_standard_operators_only(model: RacingModel[Any]) -> None:
    graph = onnx.load_from_string(onnx_of(model, ABOUT))
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 17)]
    assert {node.domain for node in graph.graph.node} == {""}


def test_exporting_changes_no_model(model: RacingModel[Any], simulated: list[SessionLaps]) -> None:
    rows = frames(simulated[3], 20)
    before = model.predict(rows)
    first, again = onnx_of(model, ABOUT), onnx_of(model, ABOUT)
    assert first == again
    assert model.predict(rows) == before


NOT_EXPORTABLE = [
    (entry.model_type, entry.name)
    for kind in ("lap_time_prediction", "sector_analysis", "setup_optimization")
    for entry in algorithms(kind)
    if kind != "lap_time_prediction" or entry.name not in EXPORTABLE
]


@pytest.mark.parametrize(("model_type", "algorithm"), NOT_EXPORTABLE)
def test_what_cannot_be_exported_says_what_can(model_type: str, algorithm: str) -> None:
    with pytest.raises(
        ExportNotSupported, match="only lap_time_prediction by expert_mixture and linear"
    ) as refused:
        onnx_of(create_model(model_type, algorithm), ABOUT)
    assert f"not {model_type} by {algorithm}" in refused.value.message


def test_every_algorithm_that_is_named_exportable_is_in_the_zoo() -> None:
    assert set(EXPORTABLE) <= {entry.name for entry in algorithms("lap_time_prediction")}


def test_a_model_that_learned_nothing_is_not_exported() -> None:
    with pytest.raises(NothingToLearn, match="learned no lap"):
        onnx_of(create_model("lap_time_prediction"), ABOUT)


EdgeRun = Callable[..., list[float]]
BLOCKED = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"app", "learning", "models_store", "workers", "river", "onnx", "polars"}:
            raise ImportError(f"{name} is not on this machine")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def edge(model: RacingModel[Any], tmp_path: Path) -> EdgeRun:
    """Runs the example of `edge/` where nothing of the platform can be imported."""
    (tmp_path / "model.onnx").write_bytes(onnx_of(model, ABOUT))

    def running(name: str, text: str) -> list[float]:
        source = tmp_path / name
        source.write_text(text)
        named = "-" if name == "-" else str(source)
        command = [sys.executable, "-I", "-c", BLOCKED, str(ROOT / "edge" / "predict.py")]
        done = subprocess.run(  # our own example
            [*command, str(tmp_path / "model.onnx"), named],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [float(line) for line in done.stdout.split()]

    return running


def test_the_edge_example_predicts_from_frames_without_the_platform(
    edge: EdgeRun, model: RacingModel[Any], simulated: list[SessionLaps]
) -> None:
    rows = frames(simulated[3], 10)
    expected = [answer.values["lap_time"] for answer in model.predict(rows)]
    near = partial(pytest.approx, abs=CLOSE)
    assert edge("frames.json", json.dumps(rows)) == near(expected)
    assert edge("-", json.dumps(rows[0])) == near(expected[:1])
    camel = {"trackPosition": 0.0, "tyreCompound": "SOFT", "recentLaps": [], **REST}
    snake = {"track_position": 0.0, "compound": "SOFT", **REST}
    assert edge("frame.json", json.dumps(camel)) == near([model.predict([snake])[0].values["lap_time"]])


def test_the_edge_example_gathers_what_was_passed_of_a_lap_from_a_csv(
    edge: EdgeRun, model: RacingModel[Any], simulated: list[SessionLaps]
) -> None:
    one = simulated[3].laps[4]
    assert one.position[0] < 0.01
    speed = one.channels["speed"]
    lines = [f"{p},{t},{v},1,0,5" for p, t, v in zip(one.position, one.time, speed, strict=True)]
    header = "track_position,currentLapTime,speed,throttle,brake,gear"
    answers = edge("frames.csv", "\n".join([header, *lines]))
    passed = np.arange(1, 15) / 20
    at = int(np.searchsorted(one.position, 0.7001))
    row = REST | {
        "throttle": 1.0,
        "gear": 5.0,
        "track_position": float(one.position[at]),
        "current_lap_time": float(one.time[at]),
        "speed": float(speed[at]),
        "splits": np.interp(passed, one.position, one.time).tolist(),
        "speeds": [float(speed[0]), *np.interp(passed, one.position, speed).tolist()],
    }
    assert answers[at] == pytest.approx(model.predict([row])[0].values["lap_time"], abs=1e-3)
    assert abs(answers[-1] - one.lap_time) < abs(answers[0] - one.lap_time)
