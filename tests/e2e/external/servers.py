"""Debian's redis-server and RabbitMQ, and a mongod, as an operator runs them: with passwords and TLS.

Debian's packages are fetched by apt and unpacked into a folder: nothing is installed, no service starts, and
no root is needed. Every server listens on a free loopback port and ends with the process that started it.
"""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from app.local.probes import LOOPBACK, free_port
from app.local.servers import START_SECONDS, find_mongod, tethered
from app.stores.queue import broker_answers

PACKAGES = ("redis-server", "rabbitmq-server")
FETCH_SECONDS = 300
SET = "external"


class Unobtainable(Exception):
    """Debian's packages cannot be had here."""


@dataclass
class Servers:
    """What was started in one folder, and how to reach it; passwords are new each time."""

    folder: Path
    root: Path  # of Debian's packages
    password: str = field(default_factory=lambda: f"p-{secrets.token_hex(12)}")
    processes: dict[str, psutil.Popen] = field(default_factory=dict)
    commands: dict[str, tuple[list[str], dict[str, str]]] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def pair(self) -> Path:
        """Certificate and key of all servers, one after the other."""
        return self.folder / "server.pem"

    def start(self, name: str, command: list[str], **environment: str) -> None:
        """Starts a program that ends with this process; it logs to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = psutil.Popen(
                tethered(command), env=os.environ | environment, stdout=log, stderr=log, cwd=self.folder
            )
        self.commands[name] = (command, environment)

    def start_again(self, name: str) -> None:
        command, environment = self.commands[name]
        self.start(name, command, **environment)

    def kill(self, name: str) -> None:
        """Ends a program and its children at once; what they hold is of no more use."""
        process = self.processes[name]
        for one in [process, *process.children(recursive=True)]:
            one.kill()
        process.wait()

    def stop(self) -> None:
        for name in self.processes:
            self.kill(name)

    def wait(self, name: str, answers: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while not answers():
            assert time.monotonic() < end, (self.folder / f"{name}.log").read_text()[-2000:]
            time.sleep(0.1)


def debian(folder: Path) -> Path:
    """The root of Debian's packages, fetched and unpacked unless they are there.

    Raises
    ------
    Unobtainable
        Saying why.
    """
    root = folder / "root"
    if (folder / "done").exists():
        return root
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unobtainable("this system has no apt")
    (folder / "debs").mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        _run(folder, "apt-get", "update", "-qq")
    planned = _run(folder, "apt-get", "--simulate", "install", "--no-install-recommends", *PACKAGES)
    needed = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    _run(folder / "debs", "apt-get", "download", "-qq", *{*needed, *PACKAGES, "redis-tools"})
    for package in sorted((folder / "debs").glob("*.deb")):
        _run(folder, "dpkg", "-x", str(package), str(root))
    erl = root / "usr/lib/erlang/bin/erl"
    erl.write_text(erl.read_text().replace("=/usr/lib/erlang", f"={root}/usr/lib/erlang"))
    (folder / "done").touch()
    return root


def start_mongo(servers: Servers) -> str:
    """A replica set of one with a key file, where users must sign in, over TLS only; its URL for Lapwise."""
    port, binary = free_port(), find_mongod()[0]
    key = servers.folder / "mongo.key"
    key.write_text(secrets.token_hex(64))
    key.chmod(0o400)
    (servers.folder / "mongo").mkdir()
    command = [
        *(str(binary), "--quiet", "--nounixsocket", "--bind_ip", LOOPBACK, "--port", str(port)),
        *("--dbpath", str(servers.folder / "mongo"), "--replSet", SET, "--keyFile", str(key)),
        *("--tlsMode", "requireTLS", "--tlsCAFile", str(servers.ca), "--tlsCertificateKeyFile"),
        *(str(servers.pair), "--tlsAllowConnectionsWithoutCertificates", "--wiredTigerCacheSizeGB", "0.5"),
    ]
    servers.start("mongod", command)
    tls = f"tls=true&tlsCAFile={servers.ca}"
    url = f"mongodb://{LOOPBACK}:{port}/?directConnection=true&{tls}&serverSelectionTimeoutMS=500"
    servers.wait("mongod", lambda: _has_user(url, f"{LOOPBACK}:{port}", servers.password))
    return f"mongodb://lapwise:{servers.password}@{LOOPBACK}:{port}/?replicaSet={SET}&authSource=admin&{tls}"


def start_redis(servers: Servers) -> str:
    """Debian's redis-server with a password, over TLS only; its URL."""
    port, folder = free_port(), servers.folder / "redis"
    folder.mkdir()
    settings = {
        "bind": LOOPBACK,
        "port": 0,
        "tls-port": port,
        "tls-cert-file": servers.pair,
        "tls-key-file": servers.pair,
        "tls-ca-cert-file": servers.ca,
        "tls-auth-clients": "no",
        "requirepass": servers.password,
        "dir": folder,
    }
    file = servers.folder / "redis.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    servers.start("redis", [str(servers.root / "usr/bin/redis-server"), str(file)], **_libraries(servers))
    url = f"rediss://:{servers.password}@{LOOPBACK}:{port}/0?ssl_ca_certs={servers.ca}"
    servers.wait("redis", lambda: _pings(url))
    return url


def start_rabbit(servers: Servers) -> str:
    """RabbitMQ with a node, data, port and Erlang port mapper of its own, over TLS only; its URL."""
    root, home, port, mapper = servers.root, servers.folder / "rabbit", free_port(), free_port()
    home.mkdir()
    (home / "plugins").write_text("[].")
    settings = {
        "listeners.tcp": "none",
        "listeners.ssl.default": f"{LOOPBACK}:{port}",
        "ssl_options.cacertfile": servers.ca,
        "ssl_options.certfile": servers.pair,
        "ssl_options.keyfile": servers.pair,
        "default_user": "lapwise",
        "default_pass": servers.password,
    }
    (home / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    environment = _libraries(servers) | {
        "PATH": f"{root}/usr/lib/erlang/bin:{root}/usr/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"lapwise{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
    }
    servers.start(
        "epmd", [str(root / "usr/bin/epmd"), "-port", str(mapper), "-address", LOOPBACK], **environment
    )
    (server,) = root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
    servers.start("rabbitmq", [str(server)], **environment)
    url = f"amqps://lapwise:{servers.password}@{LOOPBACK}:{port}//?ssl_ca_certs={servers.ca}"
    servers.wait("rabbitmq", lambda: broker_answers(url))
    return url


def make_certificates(folder: Path) -> None:
    """An authority of our own, and a certificate of it for the loopback address."""
    names = f"subjectAltName=IP:{LOOPBACK},DNS:localhost"
    request = ("openssl", "req", "-newkey", "rsa:2048", "-nodes")
    _run(
        folder,
        *request,
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=Lapwise tests",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    )
    _run(folder, *request, "-subj", f"/CN={LOOPBACK}", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text(names)
    sign = (
        "openssl",
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    )
    _run(folder, *sign, "-days", "2", "-extfile", "names", "-out", "server.crt")
    pair = (folder / "server.crt").read_text() + (folder / "server.key").read_text()
    (folder / "server.pem").write_text(pair)
    (folder / "server.pem").chmod(0o600)


def _has_user(url: str, host: str, password: str) -> bool:
    """Makes the set and its user as soon as they can be made; whether the user is there."""
    config = {"_id": SET, "members": [{"_id": 0, "host": host}]}
    role = {"role": "readWrite", "db": "lapwise"}
    with MongoClient[dict[str, object]](url) as client:
        try:
            if "setName" not in client.admin.command("hello"):
                client.admin.command("replSetInitiate", config)
                return False
            client.admin.command("createUser", "root", pwd=password, roles=["root"])
        except PyMongoError:
            return False
    with MongoClient[dict[str, object]](url, username="root", password=password) as client:
        client.admin.command("createUser", "lapwise", pwd=password, roles=[role])
    return True


def _pings(url: str) -> bool:
    with Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


def _libraries(servers: Servers) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": f"{servers.root}/usr/lib/x86_64-linux-gnu:{servers.root}/lib/x86_64-linux-gnu"}


def _run(folder: Path, *command: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=True
        )
    except FileNotFoundError as exc:
        raise Unobtainable(f"there is no {command[0]}") from exc
    except subprocess.CalledProcessError as exc:
        raise Unobtainable(f"{' '.join(command[:3])}: {exc.stderr.strip()}") from exc
    return done.stdout
