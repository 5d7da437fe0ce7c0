"""The whole platform shown at work: sessions uploaded as a client would, versions and predictions printed."""

import itertools
import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.client import Client
from app.errors import LapwiseError
from learning.history import AT_PACE

POINTS = ("25", "50", "75")  # percent of the lap
REFERENCES = {"last_lap": "last lap", "best_lap": "best lap", "mean_of_five": "mean of 5"}
JOB_SECONDS = 240.0
LAP_TIME = "lap_time_prediction"
_NAME = re.compile(r"(?P<driver>.+)_p(?P<number>\d+)\.")


class DemoFailed(LapwiseError):
    """The demonstration did not end as it should."""

    code = "demo_failed"


@dataclass(frozen=True, kw_only=True)
class SessionFile:
    """One session's file, and what stands beside it in `NAME.json`, where there is one."""

    path: Path
    driver: str
    number: int
    track_name: str
    car_model: str | None
    setup: Mapping[str, float] | None


def session_files(folder: Path) -> dict[str, list[SessionFile]]:
    """The folder's files `DRIVER_pN.…` by driver, each driver's in order of N.

    Raises
    ------
    DemoFailed
        There are none.
    """
    found = [_session_file(path) for path in sorted(folder.glob("*_p*")) if path.suffix != ".json"]
    files = sorted((file for file in found if file), key=lambda file: (file.driver, file.number))
    if not files:
        raise DemoFailed(f"{folder} holds no session files named DRIVER_pN.csv.gz")
    return {driver: list(group) for driver, group in itertools.groupby(files, lambda file: file.driver)}


def run(url: str, folder: Path, console: Console) -> None:
    """Plays a folder's sessions against a platform and prints what came of them.

    Raises
    ------
    DemoFailed
        A driver's lineage is not one version for each session, in order.
    """
    drivers = session_files(folder)
    console.print(f"uploading {sum(map(len, drivers.values()))} sessions of {len(drivers)} drivers to {url}")
    with ThreadPoolExecutor(max_workers=len(drivers)) as pool:
        played = pool.map(lambda files: _Driver(url, files, console).play(), drivers.values())
        outcomes = dict(zip(drivers, played, strict=True))
    console.print(_versions_table(outcomes))
    console.print(_references_table(outcomes))
    console.print(_predictions_table(outcomes))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one driver has at the end."""

    versions: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]]


class _Driver:
    """Plays one driver's sessions, one after the other as they were driven."""

    def __init__(self, url: str, files: Sequence[SessionFile], console: Console) -> None:
        self._client = Client(url)
        self._files = files
        self._console = console
        self._track = files[0].track_name

    def play(self) -> Outcome:
        driver = self._files[0].driver
        with self._client as client:
            client.register(f"{driver.lower()}-{secrets.token_hex(4)}@example.com", secrets.token_hex(12))
            for file in self._files:
                self._upload(file)
            versions = client.history(self._track)
            self._check(versions)
            metrics = client.call("GET", f"/model/metrics/{versions[-1]['modelId']}")
            return Outcome(versions=versions, metrics=metrics, predictions=self._predictions(versions))

    def _upload(self, file: SessionFile) -> None:
        answer = self._client.upload(
            file.path,
            file.track_name,
            car_model=file.car_model,
            setup=file.setup,
            session_name=file.path.name,
        )
        self._session_id = answer["session"]["id"]
        for job in answer["jobs"]:
            done = self._client.wait(job["id"], seconds=JOB_SECONDS)
            laps = f"{answer['session']['validLapsCount']} of {answer['session']['lapsCount']} laps"
            self._console.print(f"  {file.path.name}: {laps} learned, version {done['modelVersion']}")

    def _check(self, versions: Sequence[Mapping[str, Any]]) -> None:
        expected = [f"1.0.{number}" for number in range(len(self._files))]
        got = [version["version"] for version in versions]
        if got != expected:
            raise DemoFailed(f"{self._files[0].driver} should have versions {expected}, not {got}")

    def _predictions(self, versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The middle lap at pace of the last session, by the version that had not learned it yet."""
        laps = self._client.laps(self._session_id)
        timed = sorted((lap["lapTime"] or math.inf, lap["lap"]) for lap in laps if lap["valid"])
        at_pace = [(seconds, lap) for seconds, lap in timed if seconds <= AT_PACE * timed[0][0]]
        actual, number = at_pace[len(at_pace) // 2]
        trace = self._client.trace(self._session_id, number, points=101)
        recent = [lap["lapTime"] for lap in laps if lap["lap"] < number and lap["valid"]][-5:]
        frames = [_frame(trace, int(point)) | {"recent_laps": recent} for point in POINTS]
        model_id = versions[max(0, len(versions) - 2)]["modelId"]
        answer = self._client.predict_by(model_id, frames, include_confidence=True)
        rows = zip(POINTS, answer["predictions"], answer["confidence"], strict=True)
        return [
            {
                "point": point,
                "predicted": predicted["lap_time"],
                "interval": interval,
                "actual": actual,
            }
            for point, predicted, interval in rows
        ]


def _session_file(path: Path) -> SessionFile | None:
    match = _NAME.match(path.name)
    if match is None:
        return None
    beside = path.with_name(path.name.split(".")[0] + ".json")
    known = json.loads(beside.read_text()) if beside.exists() else {}
    return SessionFile(
        path=path,
        driver=match["driver"],
        number=int(match["number"]),
        track_name=known.get("trackName", path.parent.resolve().name),
        car_model=known.get("carModel"),
        setup=known.get("setup"),
    )


def _frame(trace: Mapping[str, Any], index: int) -> dict[str, Any]:
    channels = trace["channels"]
    names = ("speed", "throttle", "brake", "gear", "current_lap_time")
    splits = channels["current_lap_time"][5 : index + 1 : 5]
    frame = {name: channels[name][index] for name in names}
    return frame | {"track_position": trace["position"][index], "splits": splits}


def _versions_table(outcomes: Mapping[str, Outcome]) -> Table:
    table = Table(title="Versions: all laps, slow ones too, each predicted before it was learned")
    for column in ("driver", "version", "sessions", "accuracy", "MAE mid-lap (s)", "RMSE (s)"):
        table.add_column(column, justify="left" if column == "driver" else "right")
    for driver, outcome in outcomes.items():
        for version in outcome.versions:
            table.add_row(
                driver,
                version["version"],
                str(version["sessions"]),
                f"{version['accuracy']:.1%}",
                f"{version['mae']:.3f}",
                f"{version['rmse']:.3f}",
            )
        table.add_section()
    return table


def _references_table(outcomes: Mapping[str, Outcome]) -> Table:
    table = Table(
        title="MAE in seconds against the reference predictors, laps within 107 % of the best so far"
    )
    table.add_column("driver")
    for column in ("at", "laps", "model", *REFERENCES.values(), "model / best reference"):
        table.add_column(column, justify="right")
    for driver, outcome in outcomes.items():
        positions = outcome.metrics["performanceMetrics"]["positions"]
        for point in POINTS:
            row = positions[point]
            references = [row["references"][name] for name in REFERENCES]
            cells = [f"{value:.3f}" for value in (row["mae"], *references, row["mae"] / min(references))]
            table.add_row(driver, f"{point} %", str(row["laps"]), *cells)
        table.add_section()
    return table


def _predictions_table(outcomes: Mapping[str, Outcome]) -> Table:
    table = Table(title="A lap of the last session, predicted by the version that had not learned it")
    table.add_column("driver")
    for column in ("at", "predicted (s)", "90 % interval (s)", "actual (s)"):
        table.add_column(column, justify="right")
    for driver, outcome in outcomes.items():
        for row in outcome.predictions:
            interval = row["interval"]
            band = f"{interval['lower']:.3f} – {interval['upper']:.3f}" if interval else "unknown yet"
            table.add_row(
                driver, f"{row['point']} %", f"{row['predicted']:.3f}", band, f"{row['actual']:.3f}"
            )
        table.add_section()
    return table
