"""The `lapwise` command; each command imports what it runs, so that none waits for the others' libraries."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from app.commands.account import login, logout
from app.commands.models import models, predict, train
from app.commands.sessions import jobs, retry, sessions, upload
from app.errors import LapwiseError, NotSignedAnew, Unavailable, UserNotFound
from app.keys import Seal
from app.operations import backup, restore, verify
from app.settings import LocalSettings, OperatorSettings, Settings
from learning.errors import LearningError

if TYPE_CHECKING:
    from app.stores.accounts import Users

DEMO_SESSIONS = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lapwise")
def cli() -> None:
    """Personal racing models that learn from every telemetry session."""


@cli.command()
def up() -> None:
    """Run the whole platform on this machine until Ctrl-C.

    MongoDB and Redis are started too, unless LAPWISE_MONGO_URL and LAPWISE_REDIS_URL name others. Data and
    logs are kept in LAPWISE_DATA_DIR (.lapwise); LAPWISE_PORT and LAPWISE_FLOWER_PORT fix the ports.
    """
    from app.local.up import up as run

    run(LocalSettings.from_environment(), os.environ, click.echo)


@cli.command()
def migrate() -> None:
    """Bring the database to the newest form; safe to repeat."""
    from app.stores.migrating import migrate as run

    settings = Settings.from_environment()
    run(settings.mongo_url, settings.database, settings.model_keys)
    click.echo(f"database {settings.database} is up to date")


@cli.command()
def rekey() -> None:
    """Sign every model and seal every stored secret with the key of today.

    After LAPWISE_MODEL_KEY was replaced and the former key put into LAPWISE_MODEL_KEY_OLD. The platform may
    go on working, and the command may be broken off and repeated. When it says that nothing is left, the
    former key can be forgotten.
    """
    from app.mongo import connect
    from app.stores.webhooks import SEALED_FOR, WebhookStore
    from models_store.rekeying import Rekeying

    settings = Settings.from_environment()
    with connect(settings.mongo_url) as client:
        database = client[settings.database]
        rekeying = Rekeying(database, keys=settings.model_keys, max_bytes=settings.max_model_bytes)
        with click.progressbar(length=rekeying.left(), label="models", file=sys.stderr) as bar:
            done = rekeying.run(lambda: bar.update(1))
        resealed = WebhookStore(database).reseal(Seal(settings.model_keys, SEALED_FOR))
        click.echo(
            f"{done.signed} models signed and {resealed} secrets sealed anew, {rekeying.left()} models left"
        )
    if done.refused:
        raise NotSignedAnew(modelIds=done.refused)


@cli.command()
@click.option("--sessions", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Your files.")
@click.option("--keep", is_flag=True, help="Leave the platform running.")
def demo(sessions: Path | None, keep: bool) -> None:
    """Start the platform, upload sessions as a client would, and show what it learned.

    Without --sessions, a folder of files DRIVER_p1.csv.gz, DRIVER_p2.csv.gz, …, they are simulated.
    """
    from rich.console import Console

    from app.demo import run
    from app.local.child import ChildPlatform

    console = Console()
    platform = ChildPlatform(LocalSettings.from_environment().data_dir.resolve())
    with platform, TemporaryDirectory(prefix="lapwise-demo-") as folder:
        if sessions is None:
            _simulate(Path(folder), drivers=3, sessions=DEMO_SESSIONS, laps=20, seed=1)
        endpoints = platform.endpoints()
        run(endpoints["api"], sessions or Path(folder), console)
        if keep:
            console.print(_places(endpoints), soft_wrap=True)
            console.print(f"it goes on running; stop it with: kill {platform.leave_running()}")
        else:
            console.print("stopping; with --keep (make demo KEEP=1) it goes on running:")
            console.print(_places(endpoints), soft_wrap=True)


@cli.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder.")
@click.option("--drivers", type=click.IntRange(1, 99), default=3, show_default=True)
@click.option("--sessions", type=click.IntRange(1, 999), default=4, show_default=True, help="Of each driver.")
@click.option("--laps", type=click.IntRange(3, 999), default=20, show_default=True, help="Of each session.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same files.")
def simulate(out: Path, drivers: int, sessions: int, laps: int, seed: int) -> None:
    """Write simulated sessions, DRIVER_pN.csv.gz, each with its track, car and setup in DRIVER_pN.json."""
    out.mkdir(parents=True, exist_ok=True)
    for path in _simulate(out, drivers=drivers, sessions=sessions, laps=laps, seed=seed):
        click.echo(path)


@cli.group()
def user() -> None:
    """Accounts, for those who run the platform: the one here, or of LAPWISE_MONGO_URL."""


@user.command("list")
def list_users() -> None:
    """Show every account."""
    with _users() as users:
        for one in users.all():
            mark = "admin" if one.is_admin else ""
            click.echo("\t".join((one.email, one.display_name or "", f"{one.created_at:%Y-%m-%d}", mark)))


@user.command()
@click.argument("email")
@click.option("--revoke", is_flag=True, help="Take it back.")
def admin(email: str, revoke: bool) -> None:
    """Let an account see the dashboard's operations and retry anybody's jobs."""
    from app.services.accounts import normalised

    with _users() as users:
        if not users.set_admin(normalised(email), not revoke):
            raise UserNotFound(f"there is no account of {email}")
    click.echo(f"{email} is {'no longer' if revoke else 'now'} an operator")


@cli.command()
def doctor() -> None:
    """Show what this machine has for the platform, and what is missing."""
    from app.local.doctor import examine
    from app.operations import examine_models

    findings = [*examine(os.environ), *examine_models(os.environ)]
    for finding in findings:
        click.echo(f"{'ok  ' if finding.is_good else 'FAIL'} {finding.about}: {finding.text}")
    sys.exit(0 if all(finding.is_good for finding in findings) else 1)


for command in (
    login,
    logout,
    upload,
    sessions,
    jobs,
    retry,
    train,
    predict,
    models,
    backup,
    restore,
    verify,
):
    cli.add_command(command)


def _places(endpoints: Mapping[str, str]) -> str:
    api, flower = endpoints["api"], endpoints["flower"]
    return f"dashboard {api}, API docs {api}/docs, Flower {flower}"


def _simulate(folder: Path, *, drivers: int, sessions: int, laps: int, seed: int) -> list[Path]:
    from learning.simulator import simulate_season, write_session

    names = [f"DRV{number:02}" for number in range(1, drivers + 1)]
    season = simulate_season(names, sessions=sessions, laps=laps, seed=seed)
    return [write_session(session, folder) for session in season]


@contextmanager
def _users() -> "Iterator[Users]":
    """The accounts of the platform that `make up` runs here, else of the one that the environment names."""
    from app.mongo import connect
    from app.stores.accounts import Users

    settings = OperatorSettings.from_environment()
    running = settings.data_dir / "endpoints.json"
    url = settings.mongo_url or (json.loads(running.read_text())["mongo"] if running.exists() else "")
    if not url:
        raise Unavailable("no platform runs here; set LAPWISE_MONGO_URL to name another one's database")
    with connect(url) as client:
        yield Users(client[settings.database])


def main() -> None:
    """Runs the command line; an error of ours is its message and exit code 1, not a traceback."""
    try:
        cli()
    except (LapwiseError, LearningError) as exc:
        details = f" {json.dumps(dict(exc.details), default=str)}" if exc.details else ""
        click.echo(f"error: {exc.message}{details}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
