"""Asks ports and servers whether they are free, or ready for the platform."""

import socket
from http.client import HTTPConnection, HTTPException
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.errors import StartFailed

LOOPBACK = "127.0.0.1"
REPLICA_SET = "lapwise"
PROBE_SECONDS = 1.0
_NOT_YET_INITIALIZED = 94
# besides, AlreadyInitialized and ConfigurationInProgress: mongod is still reading what it was
_SETTLES = {_NOT_YET_INITIALIZED, 23, 109}
Client = MongoClient[dict[str, Any]]


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port; connections that are only closing do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def why_not_ready(port: int) -> str | None:
    """What `/readyz` says is missing; None when the platform is ready."""
    connection = HTTPConnection(LOOPBACK, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return None if answer.status == 200 else answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as exc:
        return f"web does not answer: {exc}"
    finally:
        connection.close()


def redis_answers(url: str) -> bool:
    """Whether a Redis has loaded its data and takes commands."""
    with Redis.from_url(url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS) as client:
        try:
            return bool(client.ping())
        except (RedisConnectionError, RedisTimeoutError):  # also while it still loads its data
            return False


def mongo_answers(url: str) -> bool:
    """Whether a MongoDB takes transactions now.

    Raises
    ------
    StartFailed
        It refuses us, or stands alone: only a replica set or a cluster has transactions.
    """
    with Client(url, serverSelectionTimeoutMS=int(PROBE_SECONDS * 1000)) as client:
        try:
            client.admin.command("ping")
            hello = client.admin.command("hello")
        except ConnectionFailure:
            return False
        except PyMongoError as exc:
            raise StartFailed(f"MongoDB refuses us: {exc}") from exc
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise StartFailed("MongoDB must run as a replica set, of one member at least: transactions need it")
    return bool(hello["isWritablePrimary"])


def replica_set_writable(port: int) -> bool:
    """Whether the embedded mongod takes writes; makes it a replica set of one where it is not, so ask again.

    A replica set remembers its member's port. On another port mongod does not know itself, and is told.
    """
    host = f"{LOOPBACK}:{port}"
    with Client(host, directConnection=True, serverSelectionTimeoutMS=int(PROBE_SECONDS * 500)) as client:
        try:
            hello = client.admin.command("hello")
            if "setName" not in hello:
                _configure(client, host)
        except ConnectionFailure:
            return False
        except OperationFailure as exc:
            if exc.code not in _SETTLES:
                raise StartFailed(f"mongod cannot become a replica set: {exc}") from exc
            return False
        return bool(hello["isWritablePrimary"])


def _configure(client: Client, host: str) -> None:
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as exc:
        if exc.code != _NOT_YET_INITIALIZED:
            raise
        config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]}
        client.admin.command("replSetInitiate", config)
        return
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        client.admin.command({"replSetReconfig": config | {"version": config["version"] + 1}, "force": True})
