"""`lapwise doctor`: what this machine has for the platform, told without starting it or showing a secret."""

import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from app.errors import LapwiseError
from app.local import probes, servers
from app.settings import PREFIX, LocalSettings, Settings
from app.stores.queue import broker_answers


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    about: str
    text: str
    is_good: bool = True


def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Everything `lapwise up` depends on, in the order in which it would fail.

    Raises
    ------
    SettingInvalid
        A setting cannot be read at all.
    """
    settings = LocalSettings.from_environment(environment)
    return [
        Finding(about="Python", text=f"{platform.python_version()} in {sys.prefix} on {platform.platform()}"),
        _server("MongoDB", settings.mongo_url, probes.mongo_answers, servers.find_mongod),
        _server("Redis", settings.redis_url, probes.redis_answers, servers.find_redis),
        *_broker(environment.get("LAPWISE_BROKER_URL", "").strip()),
        _port("PORT", settings.port),
        _port("FLOWER_PORT", settings.flower_port),
        Finding(about="data", text=str(settings.data_dir.resolve())),
        *_settings(environment),
    ]


def _server(
    about: str, url: str, answers: Callable[[str], bool], find: Callable[[], tuple[Path, str]]
) -> Finding:
    try:
        if not url:
            binary, version = find()
            return Finding(about=about, text=f"{version}, embedded: {binary}")
        is_there = answers(url)
    except LapwiseError as exc:
        return Finding(about=about, text=exc.message, is_good=False)
    return _answered(about, is_there)


def _answered(about: str, is_there: bool) -> Finding:
    said = "answers" if is_there else "does not answer"
    return Finding(about=about, text=f"the server that was set {said}", is_good=is_there)


def _broker(url: str) -> list[Finding]:
    """Only where it is another server than Redis."""
    return [_answered("queue", broker_answers(url))] if url else []


def _port(name: str, port: int) -> Finding:
    about = PREFIX + name
    if not port:
        return Finding(about=about, text="any free port")
    is_free = probes.is_free(port)
    return Finding(about=about, text=f"{port} is {'free' if is_free else 'taken'}", is_good=is_free)


def _settings(environment: Mapping[str, str]) -> list[Finding]:
    """Names only; what has no default is made by `lapwise up` and must be set elsewhere."""
    found = []
    for setting in fields(Settings):
        name = PREFIX + setting.name.upper()
        if environment.get(name, "").strip():
            found.append(Finding(about=name, text="set"))
        elif setting.default is MISSING:
            found.append(Finding(about=name, text="not set: `lapwise up` makes it, elsewhere it is required"))
    return found
