"""Counts predictions without slowing them: written down at once, added up in the database by a thread."""

import time
from collections.abc import Callable
from threading import Event, Thread

import structlog
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from app.domain import ModelType
from app.errors import Unavailable
from app.mongo import Client, in_transaction
from app.stores.accounts import Users
from app.stores.journal import Batch, Journal, Predicted
from app.stores.usage import UsageStore

FLUSH_SECONDS = 1.0
log = structlog.get_logger()


class Usage:
    """Use cases of counting."""

    def __init__(self, *, client: Client, users: Users, journal: Journal, store: UsageStore) -> None:
        self._client = client
        self._users = users
        self._journal = journal
        self._store = store
        self._stopped = Event()
        self._listener: Callable[[Predicted], None] | None = None

    def count(self, user_id: str, model_type: ModelType, rows: int, seconds: float) -> None:
        """Notes that a driver was answered; never fails, for the answer matters more."""
        record = Predicted(user_id=user_id, model_type=model_type, rows=rows, seconds=seconds, at=time.time())
        try:
            self._journal.append(record)
        except OSError as exc:
            log.warning("prediction_not_counted", error=str(exc))

    def flush(self) -> None:
        """Adds up what this process and dead ones have noted, each record exactly once.

        Raises
        ------
        Unavailable
            What is left is added up next time.
        """
        for batch in self._journal.batches():
            if batch.records:
                self._add(batch)

    def close(self) -> None:
        """Stops counting, and leaves what this process has noted to the next one."""
        self._stopped.set()
        self._journal.close()

    def start(self, listener: Callable[[Predicted], None]) -> Thread:
        """Has a thread flush every second until `close`, and the listener told of each prediction counted."""
        self._listener = listener
        thread = Thread(target=self._keep_flushing, name="usage", daemon=True)
        thread.start()
        return thread

    def _add(self, batch: Batch) -> None:
        def write(tx: ClientSession) -> bool:
            if self._store.has_counted(batch.id, tx=tx):
                return False  # by a process that died before it could remove the file
            there = self._users.hold_all({record.user_id for record in batch.records}, tx=tx)
            self._store.count(batch.id, (one for one in batch.records if one.user_id in there), tx=tx)
            return True

        if in_transaction(self._client, write) and self._listener:
            for record in batch.records:
                self._listener(record)

    def _keep_flushing(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except (Unavailable, PyMongoError, OSError) as exc:
                log.warning("usage_not_added_up", error=str(exc))
