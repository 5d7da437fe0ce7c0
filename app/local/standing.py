"""Finds the databases of this platform for an operator's command, or starts those of its data directory."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.local.files import SECRETS, is_alive, local_secrets, make_folders, only_run, write_private
from app.local.servers import Server, start_mongod, start_redis
from app.settings import LocalSettings

MONGO, REDIS = "LAPWISE_MONGO_URL", "LAPWISE_REDIS_URL"


@contextmanager
def at_databases(
    settings: LocalSettings, environment: Mapping[str, str], *, alone: bool
) -> Iterator[dict[str, str]]:
    """The environment of a command that needs MongoDB and Redis.

    They are those that are set, else those of a `lapwise up` that runs, else started for as long as it takes.

    Parameters
    ----------
    alone
        The command must have the data directory to itself. If it succeeds the directory's secrets are from
        then on those that the environment gave.

    Raises
    ------
    StartFailed
        They cannot be started, or somebody else has the data directory.
    """
    if settings.mongo_url and settings.redis_url:
        is_ours = (settings.data_dir / "secrets.json").exists()
        yield _with_secrets(settings.data_dir, environment) if is_ours else dict(environment)
    elif (urls := running(settings.data_dir)) and not alone:
        yield _with_secrets(settings.data_dir, environment) | urls
    else:
        folder = settings.data_dir.resolve()
        make_folders(folder)
        with ExitStack() as stack, only_run(folder / "run", time.sleep):
            urls = {MONGO: settings.mongo_url, REDIS: settings.redis_url}
            for name, start in ((MONGO, start_mongod), (REDIS, start_redis)):
                if not urls[name]:
                    server: Server = start(folder / name.split("_")[1].lower())
                    stack.callback(server.stop)
                    urls[name] = server.url
            known = _with_secrets(folder, environment)
            yield known | urls
            if alone:  # what is in the directory now goes with these
                write_private(folder / "secrets.json", {name: known[name] for name in SECRETS})


def running(folder: Path) -> dict[str, str]:
    """Where MongoDB and Redis of the `lapwise up` on a data directory are; empty where none runs."""
    file = folder / "endpoints.json"
    found = json.loads(file.read_text()) if file.exists() else None
    if found is None or not is_alive(found["pids"]["web"]):
        return {}
    return {MONGO: found["mongo"], REDIS: found["redis"]}


def _with_secrets(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    made = local_secrets(folder / "secrets.json")
    return dict(environment) | {name: environment.get(name) or value for name, value in made.items()}
