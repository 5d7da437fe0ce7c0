"""The only reader of the environment: every setting, its variable `LAPWISE_<NAME>` and its default."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from app.errors import SettingInvalid, SettingMissing

PREFIX = "LAPWISE_"
MEBIBYTE = 1 << 20
SHORTEST_SECRET = 16  # characters
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What web, worker and beat need; a field without a default must be set."""

    mongo_url: str = field(repr=False)  # may carry a password
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)  # signs access and refresh tokens
    model_key: str = field(repr=False)  # signs model binaries
    webhook_secret: str = field(repr=False)  # what a game backend signs its events with
    broker_url: str = field(default="", repr=False)  # the queue; empty means redis_url
    database: str = "lapwise"
    access_token_seconds: int = 900
    refresh_token_seconds: int = 30 * 24 * 3600
    max_upload_bytes: int = 256 * MEBIBYTE  # one request's body
    max_decoded_bytes: int = 1024 * MEBIBYTE  # one upload once it is decompressed
    max_json_bytes: int = 32 * MEBIBYTE  # a JSON body, a chunk among them
    max_model_bytes: int = 512 * MEBIBYTE  # one model, unpickled
    model_cache_bytes: int = 256 * MEBIBYTE  # models kept ready in each process
    lease_seconds: float = 15.0  # a job whose worker is silent this long is taken over
    sweep_seconds: float = 5.0  # how often beat looks for lost and unfinished jobs
    retrain_cooldown_seconds: float = 24 * 3600.0  # between two automatic retrainings of a lineage
    job_attempts: int = 5  # starts of one job before it is given up
    keep_versions: int = 20  # the newest of each lineage stay even if they never were active
    data_dir: Path = Path(".lapwise")  # web notes predictions there before they are added up
    rate_limit: str = "1200 per minute"  # requests of one user, or of one address without a token
    login_rate_limit: str = "20 per minute"  # registrations and logins from one address
    webhook_allow_private: bool = False  # notifications may go to loopback and private addresses
    flower_url: str = ""  # where operators find Flower, for the dashboard to link to
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        for name in ("secret_key", "model_key", "webhook_secret"):
            if len(getattr(self, name)) < SHORTEST_SECRET:
                variable = PREFIX + name.upper()
                raise SettingInvalid(
                    f"{variable} must have at least {SHORTEST_SECRET} characters", setting=variable
                )

        if self.keep_versions < 1:
            raise SettingInvalid("LAPWISE_KEEP_VERSIONS must be at least 1", setting="LAPWISE_KEEP_VERSIONS")

    @property
    def queue_url(self) -> str:
        return self.broker_url or self.redis_url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of this process.

        Raises
        ------
        SettingMissing, SettingInvalid
            Naming the variable.
        """
        return cls(**_read(cls, environment))


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """What `lapwise up` needs besides: where data lives, which ports to take, whose servers to use."""

    data_dir: Path = Path(".lapwise")
    port: int = 0  # API and dashboard; 0 takes a free one
    flower_port: int = 0
    mongo_url: str = field(default="", repr=False)  # empty starts an embedded server
    redis_url: str = field(default="", repr=False)
    web_processes: int = 2
    web_threads: int = 16
    worker_processes: int = 2

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(**_read(cls, environment))


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What the commands that talk to a running platform need."""

    url: str = ""  # empty: the platform that `make up` runs here, else the one signed in to last
    data_dir: Path = LocalSettings.data_dir

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(**_read(cls, environment))


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """What commands on a platform's database need."""

    mongo_url: str = field(default="", repr=False)  # empty: of the platform that `make up` runs here
    database: str = Settings.database
    data_dir: Path = LocalSettings.data_dir

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(**_read(cls, environment))


def _read(
    cls: type[Settings | LocalSettings | ClientSettings | OperatorSettings], environment: Mapping[str, str]
) -> dict[str, Any]:
    values = {}
    for setting in fields(cls):
        name = PREFIX + setting.name.upper()
        text = environment.get(name, "").strip()
        if text:
            values[setting.name] = _converted(setting.type, name, text)
        elif setting.default is MISSING:
            raise SettingMissing(f"set {name}: it has no default outside local mode", setting=name)
    return values


def _converted(kind: Any, name: str, text: str) -> Any:
    try:
        return _FLAGS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as exc:
        raise SettingInvalid(f"{name} must be of type {kind.__name__}, not {text!r}", setting=name) from exc
