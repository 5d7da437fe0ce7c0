"""Which platform a command talks to, and the driver's tokens for it, in a file that only its owner reads."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from app.client import ApiError, Client, Keeper, Pair
from app.local.files import is_alive, write_private
from app.settings import ClientSettings


@dataclass(frozen=True)
class Platform:
    """Where a platform is; its name outlives a new start of a local one on another port."""

    name: str
    url: str


class FileKeeper(Keeper):
    """Keeps the pairs of all platforms in one file, shared by every command that runs at the same time."""

    def __init__(self, path: Path, platform: Platform) -> None:
        super().__init__()
        self._path = path
        self._platform = platform

    def get(self) -> Pair | None:
        found = read_tokens(self._path).get(self._platform.name)
        return Pair(**found["pair"]) if found else None

    def put(self, pair: Pair | None) -> None:
        tokens = read_tokens(self._path)
        tokens.pop(self._platform.name, None)
        if pair is not None:
            tokens[self._platform.name] = {
                "url": self._platform.url,
                "pair": asdict(pair),
            }  # the last is newest
        write_private(self._path, tokens)

    @contextmanager
    def alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with super().alone(), self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def tokens_file() -> Path:
    """In the user's own directory of settings."""
    return Path(click.get_app_dir("lapwise")) / "tokens.json"


def read_tokens(path: Path) -> dict[str, Any]:
    """What is kept, by the platform's name, the newest last.

    Raises
    ------
    ApiError
        The file is damaged.
    """
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
        return {name: {"url": str(one["url"]), "pair": dict(one["pair"])} for name, one in found.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as exc:
        raise ApiError("tokens_damaged", f"{path} is damaged; remove it and sign in again") from exc


def find_platform(url: str | None, settings: ClientSettings, tokens: Path) -> Platform:
    """The one that is named, else that of `make up` in this directory, else the one signed in to last.

    Raises
    ------
    ApiError
        There is none of them.
    """
    if named := url or settings.url:
        return Platform(named.rstrip("/"), named.rstrip("/"))
    running = settings.data_dir / "endpoints.json"
    endpoints = json.loads(running.read_text()) if running.exists() else {}
    if endpoints and is_alive(endpoints["pids"]["web"]):
        return Platform(str(settings.data_dir.resolve()), endpoints["api"])
    remote = [name for name, one in read_tokens(tokens).items() if name == one["url"]]
    if not remote:
        raise ApiError("unreachable", "no platform runs here")
    return Platform(remote[-1], remote[-1])


def open_client(url: str | None) -> Client:
    """A client of the platform meant, with the tokens kept for it."""
    platform = find_platform(url, ClientSettings.from_environment(), tokens_file())
    return Client(platform.url, keeper=FileKeeper(tokens_file(), platform))
