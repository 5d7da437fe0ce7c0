"""Brings a database to the newest form, by one process at a time."""

import time
from collections.abc import Collection
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo_migrate.mongo_migrate import MongoMigrate

import migrations
from app.domain import utc_now
from app.errors import RestoreUnfinished, Unavailable
from app.keys import KeyRing
from app.mongo import Client, Document, connect, errors_translated

LOCK = "migrationlock"
RESTORING = "restoring"  # has a document while a backup is being restored
STATES = "pymongo_migrate"  # where the migrations applied are written down
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
    RestoreUnfinished
    """
    with errors_translated(), connect(mongo_url) as client:
        if client[database][RESTORING].find_one():
            raise RestoreUnfinished
        upgrade(client, database, keys)


def upgrade(client: Client, database: str, keys: KeyRing | None = None) -> None:
    """As `migrate` does, whatever is under way."""
    holder, given = uuid4().hex, KEYS.set(keys)
    lock = client[database][LOCK]
    try:
        _take(lock, holder)
        MongoMigrate(client=client, database=database, migrations_dir=str(_folder())).upgrade()
    finally:
        KEYS.reset(given)
        lock.delete_one({"_id": LOCK, "holder": holder})


def upgrade_to(client: Client, database: str, names: Collection[str], keys: KeyRing | None = None) -> None:
    """Brings an empty database to the form it has after some of the migrations."""
    states, later = client[database][STATES], known() - set(names)
    for name in later:  # said to be applied, they are passed over
        states.insert_one({"name": name, "applied": utc_now()})
    upgrade(client, database, keys)
    states.delete_many({"name": {"$in": list(later)}})


def known() -> set[str]:
    """The migrations of this release."""
    return {path.stem for path in _folder().glob("m*.py")}


def applied(database: Database[Document]) -> set[str]:
    """The migrations a database has had."""
    with errors_translated():
        return set(database[STATES].distinct("name", {"applied": {"$ne": None}}))


def is_migrated(database: Database[Document]) -> bool:
    """Whether every migration has been applied; without them nothing keeps duplicates out."""
    with errors_translated():
        is_being_restored = database[RESTORING].find_one() is not None
    return known() <= applied(database) and not is_being_restored


def _folder() -> Path:
    return Path(migrations.__path__[0])


def _take(lock: MongoCollection[Document], holder: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not _taken(lock, holder):
        if time.monotonic() > end:
            raise Unavailable("another process is migrating the database", dependency="mongo")
        time.sleep(0.1)


def _taken(lock: MongoCollection[Document], holder: str) -> bool:
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
