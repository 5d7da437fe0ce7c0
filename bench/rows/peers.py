"""Predictions a second of web, against MLflow's scoring server and chantilly, each serving a River model.

They live in an environment of their own (`make bench-peers`), for nothing of the platform may come to need
them. Their model is River's StandardScaler | LinearRegression of the same fields, far smaller than ours.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.local.probes import LOOPBACK, free_port
from app.settings import LocalSettings
from bench.figures import Figure, Skipped, interleaved, ratios
from bench.load import Call
from bench.rows.predicting import LAPS, call
from bench.stage import FRAME, LAP_TIME, TRACK, Stage, learn, listening, running

BIN = Path(".lapwise/bench-peers/bin").absolute()
PROGRAM = Path(__file__).parents[1] / "peer_programs.py"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
CHANTILLY_DATABASE = 9  # of the platform's Redis


def peers(stage: Stage) -> list[Figure]:
    """One frame in a request, against an MLflow scoring server with a River pyfunc, and chantilly."""
    if not (BIN / "mlflow").exists():
        raise Skipped("MLflow and chantilly are not installed: `make bench-peers` does it")
    driver = stage.driver()
    learn(driver, stage.session(0, laps=LAPS))
    ours = call(stage, driver, {"trackName": TRACK, "modelType": LAP_TIME}, FRAME)
    with _mlflow(stage) as mlflow, _chantilly(stage) as chantilly:
        calls = (ours, mlflow, chantilly)
        for one in calls:
            stage.clients.offer([one], 1.0)
        loads = interleaved(
            stage.rounds, *[lambda one=one: stage.clients.offer([one], stage.seconds) for one in calls]
        )
    rates = [[load.rate for load in series] for series in zip(*loads, strict=True)]
    return [
        Figure(
            what="POST /model/predict, one frame: requests/s",
            against=peer,
            values=ratios(rates[0], rates[place]),
            bar=bar,
            details={"requests_a_second": rates[0], "peer_requests_a_second": rates[place]},
        )
        for place, peer, bar in ((1, "MLflow's scoring server", 10), (2, "chantilly's /api/predict", 5))
    ]


@contextmanager
def _mlflow(stage: Stage) -> Iterator[Call]:
    folder, port = stage.folder / "mlflow", free_port()
    environment = QUIET | {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(stage.folder)}
    with running(
        [str(BIN / "python"), str(PROGRAM), str(folder)], stage.folder / "mlflow.log", environment
    ) as saving:
        if saving.wait():
            raise Skipped(f"MLflow cannot keep a River model: {(stage.folder / 'mlflow.log').read_text()}")
    serve = f"models serve -m {folder} --env-manager local -h {LOOPBACK} -p {port}"
    processes = ["-w", str(LocalSettings().web_processes)]
    with running(
        [str(BIN / "mlflow"), *serve.split(), *processes], stage.folder / "mlflow.log", environment
    ) as server:
        listening(port, server)
        yield Call(
            f"http://{LOOPBACK}:{port}/invocations", json.dumps({"dataframe_records": [FRAME]}).encode()
        )


@contextmanager
def _chantilly(stage: Stage) -> Iterator[Call]:
    redis = httpx.URL(stage.platform.servers()["LAPWISE_REDIS_URL"])
    environment = {
        "PYTHONPATH": str(PROGRAM.parent),
        "STORAGE_BACKEND": "redis",
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_DB": str(CHANTILLY_DATABASE),
    }
    with stage.serving(
        "peer_programs:chantilly()", python=str(BIN / "python"), environment=environment
    ) as address:
        yield Call(f"{address}api/predict", json.dumps({"features": FRAME}).encode())
