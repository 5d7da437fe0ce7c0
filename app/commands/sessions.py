"""`lapwise upload`, `lapwise sessions`, `lapwise jobs` and `lapwise retry`."""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.commands.talking import NOT_SIGNED_IN, UNREACHABLE, exit_code, numbers, talking, told

if TYPE_CHECKING:
    from app.client import ApiError, Client
    from app.client.answers import Job, Uploaded
    from app.commands.show import Bars, Show

JOB_SECONDS = 3600.0
limit_option = click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
track_option = click.option("--track", help="Only those on this track.")
no_wait_option = click.option("--no-wait", is_flag=True, help="Do not wait for the training.")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--track", help="May be left out where the files name it.")
@click.option("--car", help="The car's model.")
@click.option("--driver", help="Whose laps to take, of files with several drivers'.")
@click.option("--setup", multiple=True, metavar="NAME=NUMBER", help="Of the car; once for each parameter.")
@click.option("--no-train", is_flag=True, help="Only store the sessions.")
@click.option("--chunks", is_flag=True, help="Send rows in chunks: for tables too large for one request.")
@no_wait_option
@talking
def upload(
    client: "Client",
    show: "Show",
    files: tuple[Path, ...],
    track: str | None,
    car: str | None,
    driver: str | None,
    setup: tuple[str, ...],
    no_train: bool,
    chunks: bool,
    no_wait: bool,
) -> None:
    """Upload session files in the order given, and wait until they are learned."""
    if chunks and track is None:
        raise click.UsageError("--chunks needs --track")
    about = {
        "car_model": car,
        "driver": driver,
        "setup": numbers(setup, "--setup"),
        "auto_train": not no_train,
    }
    done, refused = _upload_all(client, show, files, track, in_chunks=chunks, **about)
    jobs = [job for uploaded in done.values() for job in uploaded["jobs"]]
    ended, failed = ([], []) if no_wait else wait_all(client, show, jobs)
    _show_uploads(show, done, ended or jobs, refused)
    complain(show, [*refused.values(), *failed])


@click.command()
@track_option
@limit_option
@talking
def sessions(client: "Client", show: "Show", track: str | None, limit: int) -> None:
    """List the sessions, newest first."""
    from app.commands.show import lap_time, moment

    found = list(islice(client.sessions(track), limit))
    columns = ("id", "uploaded", "track", "car", "laps", "best lap", "name")
    rows = [
        (
            one["id"],
            moment(one["createdAt"]),
            one["trackName"],
            one["carModel"] or "",
            f"{one['validLapsCount']}/{one['lapsCount']}",
            lap_time(one["bestLapTime"]),
            one["sessionName"],
        )
        for one in found
    ]
    show.table("Sessions, laps valid of all", columns, rows, found)


@click.command()
@click.option("--status", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]))
@limit_option
@talking
def jobs(client: "Client", show: "Show", status: str | None, limit: int) -> None:
    """List the jobs, newest first."""
    from app.commands.show import moment

    found = list(islice(client.jobs(status=status), limit))
    columns = ("id", "queued", "kind", "status", "track", "type", "version", "error")
    rows = [
        (
            job["id"],
            moment(job["queuedAt"]),
            job["kind"],
            _status(job),
            job["trackName"],
            job["modelType"],
            job["modelVersion"] or "",
            (job["error"] or {}).get("message", ""),
        )
        for job in found
    ]
    show.table("Jobs", columns, rows, found)


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB…")
@no_wait_option
@talking
def retry(client: "Client", show: "Show", job_ids: tuple[str, ...], no_wait: bool) -> None:
    """Try jobs again that failed or were cancelled, also those of sessions that were set aside."""
    new = [client.retry(job_id) for job_id in job_ids]
    ended, failed = (new, []) if no_wait else wait_all(client, show, new)
    rows = [(one["id"], one["status"], one["trackName"], one["modelVersion"] or "") for one in ended]
    show.table("Jobs tried again", ("job", "status", "track", "version"), rows, ended)
    complain(show, failed)


def wait_all(client: "Client", show: "Show", jobs: Iterable["Job"]) -> tuple[list["Job"], list["ApiError"]]:
    """All as they ended, each once, and the errors of those that failed; with bars meanwhile."""
    from app.client import ApiError

    ended: list[Job] = []
    failed: list[ApiError] = []
    with show.bars() as bars:
        for job in {job["id"]: job for job in jobs}.values():
            try:
                ended.append(client.wait(job["id"], seconds=JOB_SECONDS, on_change=_shown_on(bars)))
            except ApiError as exc:
                if "job" not in exc.details:
                    raise
                ended.append(exc.details["job"])
                failed.append(exc)
    return ended, failed


def complain(show: "Show", errors: Sequence["ApiError"]) -> None:
    """Tells what went wrong and leaves with the exit code of the first; nothing where nothing did."""
    for error in errors:
        click.echo(told(error, as_json=show.as_json), err=True)
    if errors:
        sys.exit(exit_code(errors[0]))


def _upload_all(
    client: "Client", show: "Show", files: Sequence[Path], track: str | None, **options: Any
) -> tuple[dict[Path, "Uploaded"], dict[Path, "ApiError"]]:
    from app.client import ApiError

    done: dict[Path, Uploaded] = {}
    refused: dict[Path, ApiError] = {}
    with show.bars() as bars:
        for path in files:
            try:
                done[path] = client.upload(
                    path, track, session_name=path.name, on_progress=_told_to(bars, path), **options
                )
            except ApiError as exc:
                if exit_code(exc) in (NOT_SIGNED_IN, UNREACHABLE):
                    raise
                exc.message = f"{path}: {exc.message}"
                refused[path] = exc
    return done, refused


def _told_to(bars: "Bars", path: Path) -> Any:
    return lambda done, total: bars.show(f"sending {path.name}", done, total)


def _shown_on(bars: "Bars") -> Any:
    def show(job: "Job") -> None:
        progress = job["progress"]
        done, total = (progress["done"], progress["total"]) if progress else (0, None)
        bars.show(f"{job['modelType']} on {job['trackName']}", done, total)

    return show


def _show_uploads(
    show: "Show", done: dict[Path, "Uploaded"], jobs: Sequence["Job"], refused: dict[Path, "ApiError"]
) -> None:
    from app.commands.show import lap_time

    now = {job["id"]: job for job in jobs}
    columns = ("file", "session", "track", "laps", "best lap", "training")
    rows = []
    for path, uploaded in done.items():
        session = uploaded["session"]
        training = ", ".join(_training(now.get(job["id"], job)) for job in uploaded["jobs"])
        laps = f"{session['validLapsCount']}/{session['lapsCount']}"
        best = lap_time(session["bestLapTime"])
        rows.append((path.name, session["id"], session["trackName"], laps, best, training))
    sent = [
        {
            "file": str(path),
            "session": uploaded["session"],
            "jobs": [now.get(job["id"], job) for job in uploaded["jobs"]],
        }
        for path, uploaded in done.items()
    ]
    if rows or show.as_json:
        show.table("Sessions, laps valid of all", columns, rows, sent)


def _training(job: "Job") -> str:
    outcome = f"version {job['modelVersion']}" if job["modelVersion"] else job["status"]
    return f"{job['modelType']}: {outcome}"


def _status(job: "Job") -> str:
    progress = job["progress"]
    if job["status"] != "running" or not progress:
        return job["status"]
    return f"running {progress['done']}/{progress['total']} {progress['unit']}"
