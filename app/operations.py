"""`lapwise backup`, `lapwise restore` and `lapwise verify`: what operators do to the database as a whole."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.errors import LapwiseError
from app.settings import LocalSettings, Settings

if TYPE_CHECKING:
    from app.local.doctor import Finding
    from app.services.backups import Backups, OnStep, Verified

SHOWN = 20  # problems
SHOW_SECONDS = 0.1  # how often progress is shown


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write all that matters of the platform to FILE; it may run meanwhile.

    Not in it: Redis, which is made again from MongoDB, and the secrets. Keep LAPWISE_MODEL_KEY elsewhere,
    for without it nobody can read the models; of `make up` it is in LAPWISE_DATA_DIR/secrets.json.
    """
    with _backups(alone=False) as backups, _bars() as on_step:
        contents = backups.write(file, on_step)
    documents = contents.documents
    told = ", ".join(f"{documents.get(name, 0)} {name}" for name in ("users", "sessions", "aimodels", "jobs"))
    click.echo(f"{file}: {told}, {file.stat().st_size} bytes; keep LAPWISE_MODEL_KEY apart from it")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Remove what is in the database first.")
def restore(file: Path, replace: bool) -> None:
    """Put the backup in FILE into an empty database, and verify all of it; stop the platform first.

    LAPWISE_MODEL_KEY must be the one that the backup was made with. FILE is read twice: nothing is changed
    before it is known to be whole.
    """
    with _backups(alone=True) as backups, _bars() as on_step:
        verified = backups.restore(file, on_step, replace=replace)
    _tell(verified)


@click.command()
def verify() -> None:
    """Read the telemetry of every session and the model of every version; name what is damaged.

    Worth it after a new release or a new River, besides after trouble with a disk.
    """
    with _backups(alone=False) as backups, _bars() as on_step:
        verified = backups.verify(on_step)
    _tell(verified)


def examine_models(environment: Mapping[str, str]) -> list["Finding"]:
    """Whether the versions of the platform that is set, or runs here, can be read; nothing without one.

    Found by what was noted when they were last used; `lapwise verify` tries them all.
    """
    from app.local.doctor import Finding
    from app.local.standing import at_databases, running

    local = LocalSettings.from_environment(environment)
    if not (local.mongo_url and local.redis_url) and not running(local.data_dir):
        return []
    try:
        with at_databases(local, environment, alone=False) as found:
            from app.container import build_container

            with build_container(Settings.from_environment(found)) as container:
                count = container.platform.count_unreadable()
    except LapwiseError as exc:
        return [Finding(about="models", text=exc.message, is_good=False)]
    text = f"{count} cannot be read; `lapwise verify` names them" if count else "all can be read"
    return [Finding(about="models", text=text, is_good=not count)]


@contextmanager
def _backups(*, alone: bool) -> Iterator["Backups"]:
    from app.container import build_container
    from app.local.standing import at_databases
    from app.logs import configure

    configure("WARNING")
    local = LocalSettings.from_environment()
    with at_databases(local, os.environ, alone=alone) as environment:
        settings = Settings.from_environment(environment | {"LAPWISE_DATA_DIR": str(local.data_dir)})
        with build_container(settings) as container:
            yield container.backups


@contextmanager
def _bars() -> Iterator["OnStep"]:
    from app.commands.show import Show

    shown_at = 0.0
    with Show(as_json=False).bars() as bars:

        def on_step(name: str, done: int, total: int) -> None:
            nonlocal shown_at
            if time.monotonic() - shown_at >= SHOW_SECONDS:
                shown_at = time.monotonic()
                bars.show(name, done, total or None)

        yield on_step


def _tell(verified: "Verified") -> None:
    for problem in verified.problems[:SHOWN]:
        click.echo(problem, err=True)
    if len(verified.problems) > SHOWN:
        click.echo(f"and {len(verified.problems) - SHOWN} more", err=True)
    good = "all whole" if not verified.problems else f"{len(verified.problems)} damaged"
    click.echo(f"{verified.sessions} sessions and {verified.versions} versions verified: {good}")
    if verified.problems:
        sys.exit(1)
