"""What all MongoDB stores share: a client, values to documents and back, transactions, errors translated."""

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import pymongo
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.errors import Unavailable

Document = dict[str, Any]
Client = MongoClient[Document]
V = TypeVar("V")
R = TypeVar("R")

SERVER_SELECTION_MS = 5_000
SOCKET_MS = 30_000
PING_SECONDS = 1.0
TRANSACTION_SECONDS = 20.0  # all its repeats together
MAJORITY = WriteConcern("majority", wtimeout=10_000)
_AFTER_COMMIT: ContextVar[list[Callable[[], None]]] = ContextVar("lapwise_after_commit")
_AS_THEY_ARE = (str, int, float, bool, bytes, datetime)
_GONE = (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
_OUT_OF_DISK_SPACE = 14031
_DUPLICATE = 11_000
_PASSING_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult")


def connect(url: str) -> Client:
    """A client whose writes are durable on a majority and whose calls all have a time limit."""
    return MongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=SERVER_SELECTION_MS,
        socketTimeoutMS=SOCKET_MS,
        connectTimeoutMS=SERVER_SELECTION_MS,
        w="majority",
        wTimeoutMS=10_000,
        appname="lapwise",
    )


@contextmanager
def errors_translated(tx: ClientSession | None = None) -> Iterator[None]:
    """Turns "MongoDB does not answer" into `Unavailable`; other driver errors pass.

    Within a transaction all errors pass, for `in_transaction` must see which of them ask for a repeat.
    """
    try:
        yield
    except _GONE as exc:
        if tx is not None:
            raise
        raise Unavailable("MongoDB is not answering", dependency="mongo") from exc
    except OperationFailure as exc:
        if tx is not None or not _is_passing(exc):
            raise
        raise Unavailable("MongoDB cannot do it at this moment", dependency="mongo") from exc


def _is_passing(error: OperationFailure) -> bool:
    """Whether it may work later: a transaction that found no end in its time, or a disk without room."""
    return error.code == _OUT_OF_DISK_SPACE or any(map(error.has_error_label, _PASSING_LABELS))


def in_transaction(client: Client, work: Callable[[ClientSession], R]) -> R:
    """What `work` returns, with all it wrote committed at once; repeated when MongoDB asks for it.

    `work` may run several times, so it must do nothing but read and write by the session it is given; for
    anything else there is `after_commit`.
    """
    tasks: list[Callable[[], None]] = []

    def attempt(tx: ClientSession) -> R:
        tasks.clear()
        return work(tx)

    token = _AFTER_COMMIT.set(tasks)
    try:
        with errors_translated(), pymongo.timeout(TRANSACTION_SECONDS), client.start_session() as tx:
            result = tx.with_transaction(
                attempt, read_concern=ReadConcern("snapshot"), write_concern=MAJORITY
            )
    finally:
        _AFTER_COMMIT.reset(token)
    for task in tasks:
        task()
    return result


def after_commit(task: Callable[[], None]) -> None:
    """Runs a task, the same one once, when the transaction it is called within has been committed."""
    tasks = _AFTER_COMMIT.get()
    if task not in tasks:
        tasks.append(task)


def are_duplicates(error: BulkWriteError) -> bool:
    """Whether a unique index is all that kept documents from being written."""
    return all(failed["code"] == _DUPLICATE for failed in error.details["writeErrors"])


def answers(client: Client) -> bool:
    """Whether MongoDB answers at once."""
    try:
        with pymongo.timeout(PING_SECONDS):
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def to_document(value: Any) -> Document:
    """A dataclass as a document: camelCase keys, `id` as `_id`, tuples as lists.

    >>> from app.domain import Progress
    >>> to_document(Progress(done=1, total=2, unit="laps"))
    {'done': 1, 'total': 2, 'unit': 'laps'}
    """
    return {key: _plain(getattr(value, name)) for name, key, _, _ in _fields(cast(Hashable, type(value)))}


def from_document(kind: type[V], document: Mapping[str, Any]) -> V:
    """The dataclass that `to_document` wrote; keys it does not know are passed over."""
    values = {}
    for name, key, restored, is_needed in _fields(cast(Hashable, kind)):
        if key in document:
            value = document[key]
            values[name] = value if value is None or restored is None else restored(value)
        elif is_needed:
            raise KeyError(f"{kind.__name__} document without {key}")
    return kind(**values)


@cache
def field_key(name: str) -> str:
    """The document's key for a field: `track_name` is `trackName`, `id` is `_id`."""
    return "_id" if name == "id" else re.sub(r"_(\w)", lambda match: match[1].upper(), name)


@cache
def _fields(kind: Any) -> tuple[tuple[str, str, Callable[[Any], Any] | None, bool], ...]:
    """Of each field: its name, its key, what restores it from a document, and whether it must be there."""
    hints = get_type_hints(kind)
    return tuple(
        (
            field.name,
            field_key(field.name),
            _restorer(hints[field.name]),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(kind)
    )


def _plain(value: Any) -> Any:
    if value is None or type(value) in _AS_THEY_ARE:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return to_document(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restorer(hint: Any) -> Callable[[Any], Any] | None:
    """What makes a value of a type from what a document holds; None where that is the value itself."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _restorer(next(kind for kind in arguments if kind is not type(None)))
    if origin is tuple:
        item = _restorer(arguments[0])
        return tuple if item is None else lambda values: tuple(item(value) for value in values)
    if is_dataclass(hint) and isinstance(hint, type):
        return partial(from_document, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return None
