"""The platform's programs as supervisor runs them: their commands, their order, their logs."""

import io
import re
import shlex
import sys
from collections.abc import Iterable
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartFailed
from app.local import servers
from app.local.probes import LOOPBACK
from app.settings import LocalSettings

ROOT = Path(__file__).parents[2]  # where gunicorn.conf.py and celery_config.py are
LOG_BYTES = "10MB"
LOG_BACKUPS = 3
STEADY_SECONDS = 5  # a program that ends sooner is held back, a second longer each time
START_RETRIES = 6  # then `up` begins anew, so that whatever may start again does so soon
SERVERS = ("mongod", "redis")
_COMMENT = re.compile(r"\s[;#]")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process; it has `stop_seconds` to end when it is asked to, then it is killed with its children."""

    name: str
    command: list[str]
    stop_seconds: int


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports; 0 for a server that is not ours."""

    web: int
    flower: int
    mongod: int
    redis: int


def all_programs(settings: LocalSettings, ports: Ports, folder: Path) -> list[Program]:
    """In the order in which they start; they stop the other way round, so web takes no more work first."""
    found = []
    if ports.mongod:
        binary, _ = servers.find_mongod()
        command = servers.mongod_command(binary, ports.mongod, folder / "mongo")
        found.append(Program(name="mongod", command=command, stop_seconds=30))
    if ports.redis:
        binary, _ = servers.find_redis()
        command = servers.redis_command(binary, ports.redis, folder / "redis")
        found.append(Program(name="redis", command=command, stop_seconds=10))
    return found + _python_programs(settings, ports, folder)


def supervisor_config(programs: Iterable[Program], folder: Path, socket: Path) -> str:
    """A configuration for supervisord; its RPC interface is a socket that only the user may open."""
    config = RawConfigParser()
    config["supervisord"] = {
        "pidfile": _escaped(folder / "run" / "supervisord.pid"),
        "logfile": _escaped(folder / "logs" / "supervisord.log"),
        "logfile_maxbytes": LOG_BYTES,
        "logfile_backups": str(LOG_BACKUPS),
        "childlogdir": _escaped(folder / "logs"),
    }
    config["unix_http_server"] = {"file": _escaped(socket), "chmod": "0700"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for order, program in enumerate(programs, start=1):
        config[f"program:{program.name}"] = _section(program, order, folder)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _python_programs(settings: LocalSettings, ports: Ports, folder: Path) -> list[Program]:
    python = [sys.executable, "-m"]
    celery = [*python, "celery", "--quiet", "-A", "workers"]  # no banner among the lines of JSON
    flower = [*celery, "flower", f"--address={LOOPBACK}", f"--port={ports.flower}"]
    beat = [*celery, "beat", "--pidfile=", "--schedule", str(folder / "run" / "beat-schedule")]
    consume = [*celery, "worker", "--without-gossip", "--without-mingle", "--queues"]
    concurrency = ["--concurrency", str(settings.worker_processes)]
    worker = [*consume, "lapwise,lapwise-chores", *concurrency, "-O", "fair", "-n", "worker@%h"]
    courier = [*consume, "lapwise-courier", "--pool", "threads", "--concurrency", "16", "-n", "courier@%h"]
    web = [*python, "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "app:create_app()"]
    return [
        Program(name="flower", command=flower, stop_seconds=5),
        Program(name="beat", command=beat, stop_seconds=5),
        Program(name="courier", command=courier, stop_seconds=5),  # what it does not finish is sent again
        Program(name="worker", command=worker, stop_seconds=10),  # what it leaves unfinished is done again
        Program(name="web", command=web, stop_seconds=15),
    ]


def _section(program: Program, order: int, folder: Path) -> dict[str, str]:
    return {
        "command": _escaped(shlex.join(servers.tethered(program.command))),
        "directory": _escaped(ROOT),
        "priority": str(order),
        "autostart": str(program.name in SERVERS),  # the others wait for the servers and for the migrations
        "autorestart": "true",
        "startsecs": str(STEADY_SECONDS),
        "startretries": str(START_RETRIES),
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _escaped(folder / "logs" / f"{program.name}.log"),
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }


def _escaped(text: Path | str) -> str:
    """For supervisor, which expands `%(name)s` in values and ends them where a comment begins."""
    if _COMMENT.search(str(text)):
        raise StartFailed(f"choose a folder whose name has no space before ; or #, unlike {text}")
    return str(text).replace("%", "%%")
