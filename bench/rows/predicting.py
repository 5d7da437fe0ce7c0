"""How many predictions web answers, against what Flask answers at all, and what a list of rows saves."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, interleaved, ratios
from bench.load import Call, Load
from bench.stage import FRAME, LAP_TIME, TRACK, Driver, Stage, learn

ROWS = 100
LAPS = 60


def predict(stage: Stage) -> list[Figure]:
    """One frame, by track and type and by version, against a Flask app that sends back the JSON it gets."""
    driver = stage.driver()
    model_id = learn(driver, stage.session(0, laps=LAPS))["modelId"]
    by_track = call(stage, driver, {"trackName": TRACK, "modelType": LAP_TIME}, FRAME)
    by_version = call(stage, driver, {"modelId": model_id}, FRAME)
    pickled = _pickled(stage, driver, model_id)
    with (
        stage.serving("bench.bare_flask:echo()") as echoing,
        stage.serving(f"bench.bare_flask:predictor({str(pickled)!r})") as predicting,
    ):
        bare, floor = Call(echoing, by_track.body), Call(predicting, by_track.body)
        loads = _loads(stage, bare, by_track, by_version, floor)
        slower = _loads(stage, bare, by_track, by_httpx=True)
    echo, track, version, model_alone = zip(*loads, strict=True)
    echo_by_httpx, by_httpx = zip(*slower, strict=True)
    return [
        *_against_echo("POST /model/predict, one frame, by track and type", track, echo),
        *_against_echo("the same by modelId", version, echo),
        *_against_echo("the same by track and type, clients of httpx", by_httpx, echo_by_httpx),
        *_against_echo("a bare Flask app with the same model and nothing else", model_alone, echo, bar=False),
    ]


def hundred_rows(stage: Stage) -> list[Figure]:
    """A hundred rows in one request, against one row in each."""
    driver = stage.driver()
    learn(driver, stage.session(0, laps=LAPS))
    lineage = {"trackName": TRACK, "modelType": LAP_TIME}
    frames = [FRAME | {"track_position": 0.5 + 0.001 * number} for number in range(ROWS)]
    found = _loads(stage, call(stage, driver, lineage, FRAME), call(stage, driver, lineage, frames))
    one, many = zip(*found, strict=True)
    rows = [ROWS * load.rate for load in many]
    return [
        Figure(
            what=f"{ROWS} rows in one request, rows/s",
            against="one row in a request",
            values=ratios(rows, [load.rate for load in one]),
            bar=30,
            details={"rows_a_second": rows, "single_rows_a_second": [load.rate for load in one]},
        )
    ]


def call(stage: Stage, driver: Driver, which: Mapping[str, str], rows: Any) -> Call:
    """A request for predictions."""
    body = json.dumps({**which, "inputData": rows}).encode()
    return Call(f"{stage.api}/model/predict", body, driver.token)


def _loads(stage: Stage, *calls: Call, by_httpx: bool = False) -> list[tuple[Load, ...]]:
    for one in calls:
        stage.clients.offer([one], min(stage.seconds, 1.0))  # each process has what it needs in memory then
    works = [lambda one=one: stage.clients.offer([one], stage.seconds, by_httpx=by_httpx) for one in calls]
    return interleaved(stage.rounds, *works)


def _pickled(stage: Stage, driver: Driver, model_id: str) -> Path:
    """The model of a version, in a file."""
    models = stage.container.models
    path = stage.folder / f"{model_id}.pickle"
    path.write_bytes(pickle.dumps(models._store.load_copy(models.get(driver.user_id, model_id))))
    return path


def _against_echo(
    what: str, loads: Sequence[Load], echo: Sequence[Load], *, bar: bool = True
) -> list[Figure]:
    rates, bare = [[load.rate for load in series] for series in (loads, echo)]
    slow, bare_slow = [[1000 * load.quantile(0.99) for load in series] for series in (loads, echo)]
    return [
        Figure(
            what=f"{what}: requests/s",
            against="a bare Flask JSON echo",
            values=ratios(rates, bare),
            bar=0.6 if bar else None,
            details={"requests_a_second": rates, "echo_requests_a_second": bare},
        ),
        Figure(
            what=f"{what}: p99",
            against="a bare Flask JSON echo",
            values=ratios(slow, bare_slow),
            bar=2 if bar else None,
            at_most=True,
            details={"p99_ms": slow, "echo_p99_ms": bare_slow},
        ),
    ]
