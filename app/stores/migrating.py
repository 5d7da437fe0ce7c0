"""Brings a database to the newest form, by one process at a time."""

import time
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo_migrate.mongo_migrate import MongoMigrate

import migrations
from app.domain import utc_now
from app.errors import Unavailable
from app.keys import KeyRing
from app.mongo import Document, connect, errors_translated

LOCK = "migrationlock"
LEASE = timedelta(seconds=60)  # a migration that takes longer must bear a second run beside it
WAIT_SECONDS = 120.0
KEYS: ContextVar[KeyRing | None] = ContextVar("KEYS", default=None)  # of the run; a migration is given none


def migrate(mongo_url: str, database: str, keys: KeyRing | None = None) -> None:
    """Runs the migrations that this database has not had; safe to repeat, and from several processes at once.

    Parameters
    ----------
    keys
        For migrations that seal secrets.

    Raises
    ------
    Unavailable
        MongoDB does not answer, or another process has been migrating for too long.
    """
    holder, given = uuid4().hex, KEYS.set(keys)
    with errors_translated(), connect(mongo_url) as client:
        lock = client[database][LOCK]
        _take(lock, holder)
        try:
            MongoMigrate(client=client, database=database, migrations_dir=str(_folder())).upgrade()
        finally:
            KEYS.reset(given)
            lock.delete_one({"_id": LOCK, "holder": holder})


def is_migrated(database: Database[Document]) -> bool:
    """Whether every migration has been applied; without them nothing keeps duplicates out."""
    known = {path.stem for path in _folder().glob("m*.py")}
    with errors_translated():
        applied = database["pymongo_migrate"].distinct("name", {"applied": {"$ne": None}})
    return known <= set(applied)


def _folder() -> Path:
    return Path(migrations.__path__[0])


def _take(lock: Collection[Document], holder: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not _taken(lock, holder):
        if time.monotonic() > end:
            raise Unavailable("another process is migrating the database", dependency="mongo")
        time.sleep(0.1)


def _taken(lock: Collection[Document], holder: str) -> bool:
    now = utc_now()
    try:
        lock.update_one(
            {"_id": LOCK, "until": {"$lt": now}},
            {"$set": {"holder": holder, "until": now + LEASE}},
            upsert=True,
        )
    except DuplicateKeyError:  # another holds it still
        return False
    return True
