"""`lapwise up`: starts every program in order, says when all are ready, names those that die, stops them."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Self

from app.errors import StartFailed
from app.local import probes, servers
from app.local.files import local_secrets, make_folders, only_run, write_private
from app.local.programs import SERVERS, Ports, all_programs, supervisor_config
from app.local.supervisor import ProgramState, Supervisor
from app.logs import without_credentials
from app.settings import PREFIX, LocalSettings, Settings
from app.stores.migrating import migrate

READY_SECONDS = 60.0
STOP_SECONDS = 90.0  # more than all programs' own times together
ATTEMPTS = 3  # of one program before the platform has once been ready
WATCH_SECONDS = 0.25
LOG_LINES = 12
# On loopback all drivers come from one address, and whoever tries the platform's speed wants no limit.
LOCAL_LIMITS = {
    "LAPWISE_RATE_LIMIT": "1000000 per minute",
    "LAPWISE_LOGIN_RATE_LIMIT": "10000 per minute",
    "LAPWISE_REGISTER_RATE_LIMIT": "10000 per minute",
}
ALL_PROGRAMS = ("web", "worker", "courier", "beat", "flower", "mongod", "redis")
MEMORY = "/dev/shm"  # noqa: S108  # names in it are made unique
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(settings: LocalSettings, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Runs the platform until it is asked to stop by SIGINT, SIGTERM or SIGHUP; a second one hastens it.

    Parameters
    ----------
    environment
        What the programs inherit; secrets it does not have are added.
    say
        Takes each line of output.

    Raises
    ------
    StartFailed
        It cannot start or cannot go on; everything has been stopped.
    """
    folder = settings.data_dir.resolve()
    make_folders(folder)
    # A Unix socket's path holds 107 bytes, fewer than a deep data directory may need. With it lies what web
    # maps into memory (see gunicorn.conf.py), and it goes with it, even if web was killed.
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with (
        _StopSignals() as signals,
        only_run(folder / "run", signals.pause) as lock,
        TemporaryDirectory(prefix="lapwise-", dir=memory) as own,
    ):
        run = _Run(settings, folder, Path(own) / "supervisor", signals, _tolerant(say))
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(Path(own) / "metrics"), **environment}
        try:
            run.start(environment, lock)
            run.follow()
        except _StopRequested:
            say("stopping")
        finally:
            run.stop()


class _StopRequested(Exception):
    """The user has asked for a stop."""


class _StopSignals:
    """Counts the signals that ask for a stop, so that one takes effect between two steps, not inside one."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._counted) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleeps, then raises `_StopRequested` if one has come."""
        time.sleep(seconds)
        if self.count:
            raise _StopRequested

    def _counted(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


class _Run:
    """One run of the platform on a data directory that is ours."""

    def __init__(
        self,
        settings: LocalSettings,
        folder: Path,
        socket: Path,
        signals: _StopSignals,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._socket = socket
        self._signals = signals
        self._say = say
        self._settings = settings
        self._states: dict[str, ProgramState] = {}
        self._spawns: Counter[str] = Counter()
        self._is_ready = False
        self._published: dict[str, int | None] = {}
        config = folder / "run" / "supervisord.conf"
        self._supervisor = Supervisor(config, socket, folder / "logs" / "supervisord-start.log")
        self._config = config
        (folder / "endpoints.json").unlink(missing_ok=True)  # of a run that was killed

    def start(self, environment: Mapping[str, str], lock: int) -> None:
        """Returns once the platform is ready."""
        self._ports = _ports(self._settings)
        self._environment = _environment(self._settings, self._ports, self._folder, environment)
        settings = Settings.from_environment(self._environment)  # wrong ones are found before anything starts
        programs = all_programs(self._settings, self._ports, self._folder)
        self._config.write_text(supervisor_config(programs, self._folder, self._socket))
        self._say(f"starting in {self._folder}, logs in {self._folder / 'logs'}")
        self._supervisor.start(self._environment, lock)
        self._until(self._servers_missing)
        migrate(settings.mongo_url, settings.database, settings.model_keys)
        self._supervisor.run(program.name for program in programs if program.name not in SERVERS)
        self._until(lambda: probes.why_not_ready(self._ports.web))
        self._is_ready = True
        self._publish()
        self._say(f"ready {_url(self._ports.web)}")

    def follow(self) -> None:
        """Watches until the stop is asked for."""
        secrets = self._folder / "secrets.json"
        self._say(f"flower {_url(self._ports.flower)} (user lapwise, LAPWISE_FLOWER_PASSWORD in {secrets})")
        while True:
            self._watch()
            self._signals.pause(WATCH_SECONDS)

    def stop(self) -> None:
        """Stops everything in order; another signal meanwhile ends what holds no data at once."""
        seen, end = self._signals.count, time.monotonic() + STOP_SECONDS
        self._supervisor.begin_stop()
        while not self._supervisor.has_stopped():
            if self._signals.count > seen:
                self._supervisor.kill(*SERVERS)
            if time.monotonic() > end:
                self._supervisor.kill_all()
                break
            time.sleep(0.05)
        (self._folder / "endpoints.json").unlink(missing_ok=True)

    def _until(self, missing: Callable[[], str | None]) -> None:
        end = time.monotonic() + READY_SECONDS
        while True:
            self._watch()
            reason = missing()
            if reason is None:
                return
            if time.monotonic() > end:
                raise StartFailed(f"not ready after {READY_SECONDS:.0f} s: {reason}")
            self._signals.pause(0.1)

    def _servers_missing(self) -> str | None:
        if not self._states:  # servers of others may be ready before it is
            return "supervisord does not answer"
        if not probes.redis_answers(self._environment["LAPWISE_REDIS_URL"]):
            return "Redis does not answer"
        if self._ports.mongod:
            answers = probes.replica_set_writable(self._ports.mongod)
        else:
            answers = probes.mongo_answers(self._environment["LAPWISE_MONGO_URL"])
        return None if answers else "MongoDB does not answer"

    def _watch(self) -> None:
        before, self._states = self._states, self._supervisor.states()
        for name, now in self._states.items():
            was = before.get(name)
            if was is not None:
                self._tell(was, now)
            if now.spawned and (was is None or was.spawned != now.spawned):
                self._spawns[name] += 1
            is_hopeless = now.gave_up or (self._spawns[name] >= ATTEMPTS and not now.pid)
            if is_hopeless and not self._is_ready:
                raise StartFailed(f"{name} does not stay up; {self._log_end(name)}")
            if now.gave_up:
                self._start_again(name)
        if self._is_ready and _pids(self._states) != self._published:
            self._publish()

    def _start_again(self, name: str) -> None:
        """What once was ready is tried for ever: it may lack room on the disk, which somebody will make."""
        self._say(f"{name} does not stay up, trying on; {self._log_end(name)}")
        with suppress(StartFailed):  # this will be seen at the next look
            self._supervisor.run([name])

    def _tell(self, was: ProgramState, now: ProgramState) -> None:
        if was.pid and now.pid != was.pid:
            self._say(f"{now.name} (process {was.pid}) ended unexpectedly, restarting it")
        if now.pid and now.pid != was.pid and was.spawned:
            self._say(f"{now.name} was started again (process {now.pid})")

    def _log_end(self, name: str) -> str:
        log = self._folder / "logs" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"{log} ends:", *(line for line in lines[-LOG_LINES:] if line.strip())])

    def _publish(self) -> None:
        """Writes the endpoints; where there is no room, again at the next look."""
        pids = _pids(self._states)
        endpoints = {
            "api": _url(self._ports.web),
            "flower": _url(self._ports.flower),
            "mongo": without_credentials(self._environment["LAPWISE_MONGO_URL"]),
            "redis": without_credentials(self._environment["LAPWISE_REDIS_URL"]),
            "pids": {name: pids.get(name) for name in ALL_PROGRAMS},
        }
        with suppress(OSError):
            write_private(self._folder / "endpoints.json", endpoints)
            self._published = pids


def _tolerant(say: Callable[[str], None]) -> Callable[[str], None]:
    """Says what can be said: output that goes to a full disk, or to nobody, must not end the platform."""

    def tell(line: str) -> None:
        with suppress(OSError):
            say(line)

    return tell


def _ports(settings: LocalSettings) -> Ports:
    for name, port in (("PORT", settings.port), ("FLOWER_PORT", settings.flower_port)):
        if port and not probes.is_free(port):
            raise StartFailed(
                f"port {port} is taken; set {PREFIX}{name} to another, or to nothing for a free one"
            )
    return Ports(
        web=settings.port or probes.free_port(),
        flower=settings.flower_port or probes.free_port(),
        mongod=0 if settings.mongo_url else probes.free_port(),
        redis=0 if settings.redis_url else probes.free_port(),
    )


def _environment(
    settings: LocalSettings, ports: Ports, folder: Path, inherited: Mapping[str, str]
) -> dict[str, str]:
    made = local_secrets(folder / "secrets.json")
    environment = dict(inherited) | {name: inherited.get(name) or value for name, value in made.items()}
    for name, limit in LOCAL_LIMITS.items():
        environment.setdefault(name, limit)
    environment |= {
        "LAPWISE_DATA_DIR": str(folder),
        "LAPWISE_PORT": str(ports.web),
        "LAPWISE_MONGO_URL": settings.mongo_url or servers.mongo_url(ports.mongod),
        "LAPWISE_REDIS_URL": settings.redis_url or servers.redis_url(ports.redis),
        "LAPWISE_FLOWER_URL": _url(ports.flower),
        "FLOWER_BASIC_AUTH": f"lapwise:{environment['LAPWISE_FLOWER_PASSWORD']}",
    }
    return environment


def _pids(states: Mapping[str, ProgramState]) -> dict[str, int | None]:
    return {name: state.pid or None for name, state in states.items()}


def _url(port: int) -> str:
    return f"http://{probes.LOOPBACK}:{port}"
