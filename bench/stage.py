"""What the rows of the bench share: how long to measure, a platform, its drivers, programs beside it."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import httpx

from app.client import Client
from app.container import Container, build_container
from app.local.child import ChildPlatform
from app.local.probes import LOOPBACK, free_port
from app.settings import LocalSettings, Settings
from bench.figures import Skipped
from bench.load import Clients
from learning.simulator import CARS, TRACKS, simulate_session, write_session

TRACK = TRACKS[0]
LAP_TIME = "lap_time_prediction"
CROWD = 16  # clients where it matters that many ask at the same moment
START_SECONDS = 60.0
LOOK_SECONDS, LEARNED_SECONDS = 0.01, 120.0  # between two looks at a job, and until it must be learned
# One driver of the bench asks what many do, for minutes on end.
ENVIRONMENT = {"LAPWISE_ACCESS_TOKEN_SECONDS": "7200", "LAPWISE_MAX_DRIVER_JOBS": "2000"}
FRAME = {
    "speed": 200.0,
    "throttle": 0.8,
    "brake": 0.0,
    "gear": 5,
    "track_position": 0.52,
    "current_lap_time": 44.0,
}


@dataclass(frozen=True)
class Driver:
    """A driver of the bench's platform."""

    client: Client
    email: str
    token: str
    user_id: str


class Stage:
    """One run of the bench.

    Parameters
    ----------
    rounds
        How often each figure is measured.
    seconds
        How long one load lasts.
    is_quick
        Only to see that all rows work: a twentieth of what is written and driven otherwise.
    """

    def __init__(self, *, rounds: int, seconds: float, is_quick: bool) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.is_quick = is_quick
        self.clients = Clients()
        self.crowd = Clients(CROWD)
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="lapwise-bench-")))
        self._stack.enter_context(self.clients)
        self._stack.enter_context(self.crowd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def many(self, count: int) -> int:
        """So many, or a twentieth to see that it works."""
        return max(count // 20, 2) if self.is_quick else count

    @cached_property
    def platform(self) -> ChildPlatform:
        """The platform of all rows that need none of their own, as `make up` starts it."""
        return self._stack.enter_context(ChildPlatform(self.folder / "data", ENVIRONMENT))

    @cached_property
    def container(self) -> Container:
        """That platform's services, in this process."""
        settings = Settings.from_environment(self.environment())
        return self._stack.enter_context(build_container(settings))

    @property
    def api(self) -> str:
        return str(self.platform.endpoints()["api"])

    def environment(self) -> dict[str, str]:
        """What a program needs to work with that platform's servers."""
        return environment_of(self.platform)

    def driver(self, api: str | None = None) -> Driver:
        """A new one."""
        return new_driver(api or self.api)

    def session(self, index: int, *, laps: int, sample_rate: float = 20.0) -> Path:
        """A file of a simulated session; the same index gives the same bytes."""
        return session_file(self.folder, index, laps=laps, sample_rate=sample_rate)

    @contextmanager
    def serving(
        self, application: str, *, python: str = sys.executable, environment: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """The address of a Flask app under gunicorn as the platform's web process has it."""
        local, port = LocalSettings(), free_port()
        options = f"-k gthread -w {local.web_processes} --threads {local.web_threads} --keep-alive 15"
        # without the platform's configuration, whose hooks expect the platform's application
        gunicorn = [python, "-m", "gunicorn", "-c", "/dev/null", "--no-control-socket"]
        command = [*gunicorn, *options.split(), "-b", f"{LOOPBACK}:{port}", application]
        with running(command, self.folder / "gunicorn.log", environment or {}) as process:
            listening(port, process)
            yield f"http://{LOOPBACK}:{port}/"


def environment_of(platform: ChildPlatform) -> dict[str, str]:
    """The servers and secrets of a platform."""
    made: dict[str, str] = json.loads((platform.data_dir / "secrets.json").read_text())
    return os.environ | made | platform.environment | platform.servers()


def new_driver(api: str) -> Driver:
    client, email, password = Client(api), f"{secrets.token_hex(6)}@example.com", secrets.token_hex(12)
    client.register(email, password)
    answer = httpx.post(f"{api}/auth/login", json={"email": email, "password": password}).json()
    return Driver(client, email, answer["accessToken"], answer["user"]["id"])


def learn(
    driver: Driver, file: Path, track_name: str = TRACK, *, look_seconds: float = LOOK_SECONDS
) -> dict[str, Any]:
    """Uploads a session; the job, once it is learned. The client's own waiting looks less often."""
    (job,) = driver.client.upload(file, track_name)["jobs"]
    end = time.monotonic() + LEARNED_SECONDS
    while job["status"] != "succeeded":
        if job["status"] in ("failed", "cancelled") or time.monotonic() > end:
            raise RuntimeError(f"not learned: {job}")
        time.sleep(look_seconds)
        job = driver.client.call("GET", f"/jobs/{job['id']}")
    return dict(job)


def session_file(folder: Path, index: int, *, laps: int, sample_rate: float = 20.0) -> Path:
    session = simulate_session(
        track=TRACK,
        driver=f"BENCH{laps}x{sample_rate:.0f}",
        car_model=next(iter(CARS)),
        session_index=index,
        laps=laps,
        sample_rate=sample_rate,
        seed=index,
    )
    return write_session(session, folder)


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the context lasts, with some variables more than this one has."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command, env=os.environ | dict(environment), stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Returns once a program answers on a port.

    Raises
    ------
    Skipped
        It has ended, or takes too long.
    """
    end = time.monotonic() + START_SECONDS
    while True:
        connection = HTTPConnection(LOOPBACK, port, timeout=5.0)
        try:
            connection.request("GET", "/")
            connection.getresponse()
            return
        except OSError as exc:
            if process.poll() is not None or time.monotonic() > end:
                raise Skipped(f"{process.args!r} does not start") from exc
            time.sleep(0.1)
        finally:
            connection.close()
