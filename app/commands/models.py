"""`lapwise train`, `lapwise predict` and `lapwise models`."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.commands.sessions import complain, limit_option, no_wait_option, track_option, wait_all
from app.commands.talking import pairs, talking

if TYPE_CHECKING:
    from app.client import Client
    from app.client.answers import ModelType, Prediction, Version
    from app.commands.show import Show

ROWS_AT_ONCE = 10_000  # that one request for predictions may hold
TYPES = ("lap_time_prediction", "sector_analysis", "setup_optimization")
type_option = click.option(
    "--type", "model_type", type=click.Choice(TYPES), default=TYPES[0], show_default=True
)


@click.command()
@click.option("--track", required=True)
@type_option
@click.option("--sessions", multiple=True, metavar="ID", help="Once for each, or with commas between.")
@click.option("--all", "of_all", is_flag=True, help="Of all sessions on the track, oldest first.")
@click.option("--algorithm", help="One of GET /model/algorithms; left out, the type's default.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="A hyperparameter.")
@no_wait_option
@talking
def train(
    client: "Client",
    show: "Show",
    track: str,
    model_type: "ModelType",
    sessions: tuple[str, ...],
    of_all: bool,
    algorithm: str | None,
    values: tuple[str, ...],
    no_wait: bool,
) -> None:
    """Train a model from scratch: 1.0.0, or the next major number."""
    ids = [one for text in sessions for one in text.split(",")]
    if bool(ids) == of_all:
        raise click.UsageError("say which to learn: --sessions ID… (see `lapwise sessions`), or --all")
    ids = ids or [session["id"] for session in client.sessions(track)][::-1]
    if not ids:
        raise click.UsageError(f"there are no sessions on {track!r}; see `lapwise sessions`")
    hyperparameters = pairs(values, "--set")
    job = client.train(track, ids, model_type, algorithm=algorithm, hyperparameters=hyperparameters)
    ended, failed = ([job], []) if no_wait else wait_all(client, show, [job])
    rows = [(one["id"], one["status"], one["modelVersion"] or "", one["modelId"] or "") for one in ended]
    show.table(f"{model_type} on {track}", ("job", "status", "version", "model"), rows, ended[0])
    complain(show, failed)


@click.command()
@track_option
@limit_option
@talking
def models(client: "Client", show: "Show", track: str | None, limit: int) -> None:
    """List the versions, newest first on each track."""
    from app.commands.show import figure, moment, share

    tracks = [track] if track else sorted({session["trackName"] for session in client.sessions()})
    found = list(islice((version for name in tracks for version in client.versions(name)), limit))
    columns = (
        *("track", "type", "version", "active", "sessions", "laps", "accuracy"),
        *("MAE (s)", "created", "id"),
    )
    rows = [
        (
            version["trackName"],
            version["modelType"],
            version["modelVersion"],
            "active" if version["isActive"] else "",
            str(len(version["trainingSessionIds"])),
            str(version["modelMetadata"]["lapsLearned"]),
            share(version["modelMetadata"]["accuracy"]),
            figure(version["modelMetadata"]["mae"]),
            moment(version["createdAt"]),
            version["id"],
        )
        for version in found
    ]
    show.table("Versions", columns, rows, found)


@click.command()
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]…")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Rows, CSV or JSON."
)
@click.option("--track", help="Predict by its active version.")
@type_option
@click.option("--model", help="Predict by this version.")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9)
@talking
def predict(
    client: "Client",
    show: "Show",
    values: tuple[str, ...],
    file: Path | None,
    track: str | None,
    model_type: "ModelType",
    model: str | None,
    level: float,
) -> None:
    """Predict for one row, speed=180 throttle=1 …, or for all rows of a file.

    Times may be written 1:32.417, lists with commas: recent_laps=1:32.4,1:33.1
    """
    if (track is None) == (model is None):
        raise click.UsageError("name either --track, or --model (see `lapwise models`)")
    if file and values:
        raise click.UsageError("give either NAME=VALUE or --file")
    rows = (
        _known(_rows(file), _version(client, track, model_type, model)) if file else [pairs(values, "values")]
    )
    answers = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        answers.append(_predicted(client, track, model_type, model, part, level))
    _show_predictions(show, answers)


def _rows(file: Path) -> list[Any]:
    from app.client.uploading import Table

    if file.read_bytes()[:1024].lstrip()[:1] == b"[":
        rows = json.loads(file.read_text())
    else:
        rows = [row for chunk in Table(file).chunks() for row in chunk]
    if not rows:
        raise click.UsageError(f"{file} holds no rows")
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _version(client: "Client", track: str | None, model_type: "ModelType", model: str | None) -> "Version":
    return client.version(model) if model is not None else client.active(str(track), model_type)


def _known(rows: list[dict[str, Any]], version: "Version") -> list[dict[str, Any]]:
    """What the model knows of a file's columns: frames have many that no model needs."""
    known = {name.replace("_", "").lower() for name in version["modelMetadata"]["features"]}
    left = {name for row in rows for name in row if name.replace("_", "").lower() not in known}
    if left:
        click.echo(f"left out, for the model does not know them: {', '.join(sorted(left))}", err=True)
    return [{name: value for name, value in row.items() if name not in left} for row in rows]


def _predicted(
    client: "Client", track: str | None, model_type: "ModelType", model: str | None, rows: Any, level: float
) -> "Prediction":
    options = {"include_confidence": True, "confidence_level": level}
    if model is not None:
        return client.predict_by(model, rows, **options)
    return client.predict(str(track), model_type, rows, **options)


def _show_predictions(show: "Show", answers: Sequence["Prediction"]) -> None:
    predictions = [one for answer in answers for one in answer["predictions"]]
    bands = [
        one for answer in answers for one in answer.get("confidence") or [None] * len(answer["predictions"])
    ]
    first = answers[0]
    data = {
        "modelId": first["modelId"],
        "modelVersion": first["modelVersion"],
        "predictions": predictions,
        "confidence": bands,
    }
    shown = next(kind for name, kind in _SHOWN.items() if name in predictions[0])
    columns, rows = shown(predictions, bands)
    show.table(f"Predicted by version {first['modelVersion']}", columns, rows, data)


Rows = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]


def _laps(predictions: Sequence[Mapping[str, Any]], bands: Sequence[Mapping[str, Any] | None]) -> Rows:
    from app.commands.show import lap_time

    rows = [
        (
            str(number),
            lap_time(one["lap_time"]),
            *((lap_time(band["lower"]), lap_time(band["upper"])) if band else ("", "")),
        )
        for number, (one, band) in enumerate(zip(predictions, bands, strict=True), start=1)
    ]
    return ("#", "lap time", "low", "high"), rows


def _sectors(predictions: Sequence[Mapping[str, Any]], _bands: Sequence[Any]) -> Rows:
    from app.commands.show import lap_time

    rows: list[tuple[str, ...]] = []
    for number, one in enumerate(predictions, start=1):
        for sector in one["sectors"]:
            most = ", most to gain" if sector["sector"] == one["focus"] else ""
            name = f"sector {sector['sector']}{most}"
            figures = (lap_time(sector[field]) for field in ("time", "best", "loss"))
            rows.append((str(number), name, *figures))
        loss = one["lap_time"] - one["theoretical_best"]
        rows.append((str(number), "lap", *map(lap_time, (one["lap_time"], one["theoretical_best"], loss))))
    return ("#", "", "time", "best", "loss"), rows


def _setups(predictions: Sequence[Mapping[str, Any]], _bands: Sequence[Any]) -> Rows:
    from app.commands.show import figure, lap_time

    rows = [
        (str(number), name, f"{value:g}", lap_time(one["lap_time"]), figure(one["expected_gain"]))
        for number, one in enumerate(predictions, start=1)
        for name, value in one["recommended"].items()
    ]
    return ("#", "parameter", "value", "lap time", "expected gain"), rows


_SHOWN = {"sectors": _sectors, "recommended": _setups, "lap_time": _laps}
