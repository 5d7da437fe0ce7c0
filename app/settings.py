"""The only reader of the environment: every setting, its variable `LAPWISE_<NAME>` and its default."""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from app.errors import SettingInvalid, SettingMissing
from app.keys import KeyRing

FORMATS = ("", "json", "text")  # of logs
PREFIX = "LAPWISE_"
MEBIBYTE = 1 << 20
SHORTEST_SECRET = 16  # characters
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What web, worker and beat need; a field without a default must be set."""

    mongo_url: str = field(repr=False)  # may carry a password
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)  # signs access and refresh tokens
    model_key: str = field(repr=False)  # signs model binaries
    webhook_secret: str = field(repr=False)  # what a game backend signs its events with
    model_key_old: str = field(default="", repr=False)  # former keys, which still verify; separated by commas
    webhook_secret_old: str = field(default="", repr=False)  # likewise
    broker_url: str = field(default="", repr=False)  # the queue; empty means redis_url
    secret_key_old: str = field(default="", repr=False)  # former secret_keys, by commas: verify, sign nothing
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
    job_seconds: float = 1800.0  # one attempt at a job, however well it goes
    stall_seconds: float = 120.0  # an attempt that learns no lap for so long hangs
    job_memory_bytes: int = 4096 * MEBIBYTE  # a worker's child may hold so much; beyond it the attempt fails
    child_memory_bytes: int = 1024 * MEBIBYTE  # a worker's child that holds more after a job is replaced
    drain_seconds: float = 5.0  # a worker that stops hands jobs back that it has not ended by then
    max_driver_jobs: int = 500  # jobs of one driver that wait
    max_jobs: int = 20_000  # jobs that wait in all
    max_driver_waiting_bytes: int = 1024 * MEBIBYTE  # of one driver's unfinished uploads, compressed
    max_waiting_bytes: int = 10_240 * MEBIBYTE  # of all unfinished uploads, compressed
    max_uploads_at_once: int = 12  # uploads that a process reads or has waiting to be read
    keep_versions: int = 20  # the newest of each lineage stay even if they never were active
    data_dir: Path = Path(".lapwise")  # web notes predictions there before they are added up
    rate_limit: str = "1200 per minute"  # requests of one user, or of one address without a token
    login_rate_limit: str = "20 per minute"  # registrations and logins from one address
    register_rate_limit: str = "60 per hour"  # registrations from one address, for each tells of an address
    trusted_proxies: int = 0  # how many in front of web add to X-Forwarded-For; else it is not believed
    cors_origins: str = ""  # the origins, by commas, whose pages may call from a browser
    metrics_token: str = field(default="", repr=False)  # opens /metrics to other machines
    webhook_allow_private: bool = False  # notifications may go to loopback and private addresses
    flower_url: str = ""  # where operators find Flower, for the dashboard to link to
    log_level: str = "INFO"
    log_format: str = ""  # json or text; empty means text in a terminal, else JSON

    def __post_init__(self) -> None:
        for name in ("secret_key", "model_key", "webhook_secret"):
            _check_length(name, [getattr(self, name)])
        for name in ("secret_key_old", "model_key_old", "webhook_secret_old", "metrics_token"):
            _check_length(name, _listed(getattr(self, name)))
        if self.log_format not in FORMATS:
            raise SettingInvalid("LAPWISE_LOG_FORMAT must be json or text", setting="LAPWISE_LOG_FORMAT")
        if not all(map(_ORIGIN.fullmatch, self.origins)):
            raise SettingInvalid(
                "LAPWISE_CORS_ORIGINS must be like https://example.org", setting="LAPWISE_CORS_ORIGINS"
            )
        if self.keep_versions < 1:
            raise SettingInvalid("LAPWISE_KEEP_VERSIONS must be at least 1", setting="LAPWISE_KEEP_VERSIONS")
        if self.trusted_proxies < 0:
            raise SettingInvalid(
                "LAPWISE_TRUSTED_PROXIES must not be negative", setting="LAPWISE_TRUSTED_PROXIES"
            )

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The one of today first."""
        return (self.secret_key, *_listed(self.secret_key_old))

    @property
    def origins(self) -> list[str]:
        """Whose pages may call."""
        return _listed(self.cors_origins)

    @property
    def model_keys(self) -> KeyRing:
        return KeyRing(self.model_key.encode(), tuple(key.encode() for key in _listed(self.model_key_old)))

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The one of today first."""
        return (self.webhook_secret, *_listed(self.webhook_secret_old))

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


def _listed(text: str) -> list[str]:
    """What is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_length(name: str, secrets: list[str]) -> None:
    if any(len(secret) < SHORTEST_SECRET for secret in secrets):
        variable = PREFIX + name.upper()
        raise SettingInvalid(f"{variable} must have at least {SHORTEST_SECRET} characters", setting=variable)
