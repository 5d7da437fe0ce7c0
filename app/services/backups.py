"""Backing the database up, restoring it, and making sure that every session and model in it is whole."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog
from pymongo.database import Database

from app.domain import iso, utc_now
from app.errors import BackupFailed, BackupRefused, ModelNotFound, ModelUnreadable, RestoreRefused
from app.keys import KeyRing
from app.mongo import Client, Document, errors_translated
from app.stores import archive, migrating
from app.stores.archive import Contents, Head, Writer
from app.stores.dump import Dump
from app.stores.job_status import WORKER_SEEN_SECONDS, JobStatusStore
from app.stores.sessions import SessionStore
from models_store.store import ModelStore

OnStep = Callable[[str, int, int], None]  # told what is being done, how much of it is, and of how much
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How many sessions and versions were looked at, and what is wrong with which."""

    sessions: int
    versions: int
    problems: tuple[str, ...]


class Backups:
    """Use cases of those who run the platform.

    Parameters
    ----------
    keys
        Of models; the one of today signs backups, any of them opens one.
    """

    def __init__(
        self,
        *,
        client: Client,
        database: Database[Document],
        sessions: SessionStore,
        models: ModelStore,
        status: JobStatusStore,
        keys: KeyRing,
    ) -> None:
        self._client = client
        self._database = database
        self._dump = Dump(client, database)
        self._sessions = sessions
        self._models = models
        self._status = status
        self._keys = keys

    def write(self, path: Path, on_step: OnStep) -> Contents:
        """Writes everything that matters to a new file, which only its owner may read; the platform may run.

        Raises
        ------
        BackupFailed
            There is such a file already, it cannot be written, or reading took too long.
        """
        beside = path.with_name(f"{path.name}.part")
        try:
            with _created(path, beside) as file:
                contents = self._write(file, on_step)
                os.fsync(file.fileno())
            beside.rename(path)
        except OSError as exc:
            raise BackupFailed(f"{path} cannot be written: {exc.strerror}") from exc
        finally:
            beside.unlink(missing_ok=True)
        return contents

    def restore(self, path: Path, on_step: OnStep, *, replace: bool = False) -> Verified:
        """Puts a backup into an empty database, or with `replace` in the place of what is there.

        The whole file is checked before anything is changed. Until the end the database counts as not
        migrated; cut off, it is restored again from the start. Nobody else may work with it meanwhile.

        Raises
        ------
        BackupRefused, RestoreRefused
        """
        try:
            with path.open("rb") as file:
                contents = self._checked(file, on_step)
                self._check_database(replace=replace)
                self._wait_for_workers()
                self._read(file, contents, on_step)
        except OSError as exc:
            raise BackupRefused(f"{path} cannot be read: {exc.strerror}") from exc
        return self.verify(on_step)

    def verify(self, on_step: OnStep) -> Verified:
        """Reads the telemetry of every session and the model of every version.

        What is found of models is noted with their versions, as by any attempt to use them.
        """
        problems, sessions, versions = [], 0, 0
        for sessions, session in enumerate(self._sessions.every(), start=1):
            if problem := self._sessions.problem(session):
                problems.append(f"session {session.id} of user {session.user_id}: {problem}")
            on_step("verifying sessions", sessions, 0)
        for versions, version in enumerate(self._models.every(), start=1):
            try:
                self._models.load_copy(version)
            except ModelUnreadable as exc:
                problems.append(f"model {version.id} of user {version.user_id}: {exc.details['reason']}")
            except ModelNotFound:
                problems.append(f"model {version.id} of user {version.user_id}: its binary is missing")
            on_step("verifying models", versions, 0)
        return Verified(sessions=sessions, versions=versions, problems=tuple(problems))

    def _write(self, file: IO[bytes], on_step: OnStep) -> Contents:
        total, done = self._dump.count(), 0

        def on_documents(count: int) -> None:
            nonlocal done
            done += count
            on_step("reading documents", done, total)

        head = Head(
            database=self._database.name,
            created_at=iso(utc_now()),
            migrations=tuple(sorted(migrating.applied(self._database))),
        )
        writer = Writer(file, head, key=self._keys.current)
        return writer.close(self._dump.write(writer, on_documents))

    def _checked(self, file: IO[bytes], on_step: OnStep) -> Contents:
        size = os.fstat(file.fileno()).st_size
        contents = archive.check(
            file, keys=self._keys.all, on_read=lambda done: on_step("checking the file", done, size)
        )
        newer = set(contents.head.migrations) - migrating.known()
        if newer:
            raise BackupRefused(
                f"the backup was made by a newer release, which had {', '.join(sorted(newer))}"
            )
        return contents

    def _check_database(self, *, replace: bool) -> None:
        with errors_translated():
            was_cut_off = self._database[migrating.RESTORING].find_one() is not None
        if not (replace or was_cut_off or self._dump.is_empty()):
            raise RestoreRefused(
                f"database {self._database.name} is not empty; restore into another, or with --replace"
            )

    def _wait_for_workers(self) -> None:
        """One that was stopped just now is forgotten in a moment; one that runs is not."""
        end = time.monotonic() + 1.2 * WORKER_SEEN_SECONDS
        while self._status.worker_answered_lately():
            if time.monotonic() > end:
                raise RestoreRefused("a worker runs on this database; stop the platform first")
            time.sleep(0.2)

    def _read(self, file: IO[bytes], contents: Contents, on_step: OnStep) -> None:
        size, note = os.fstat(file.fileno()).st_size, self._database[migrating.RESTORING]
        with errors_translated():
            note.update_one({"_id": migrating.RESTORING}, {"$set": {"since": utc_now()}}, upsert=True)
            self._dump.clear()
            migrating.upgrade_to(self._client, self._database.name, contents.head.migrations, self._keys)
            self._dump.read(archive.parts(file, lambda done: on_step("restoring", done, size)))
            migrating.upgrade(self._client, self._database.name, self._keys)
            self._remove_again(contents)
            self._status.forget()
            self._database.drop_collection(note.name)
        log.info("restored", documents=dict(contents.documents), made=contents.head.created_at)

    def _remove_again(self, contents: Contents) -> None:
        """What was removed while the backup was written: it may be there in part only."""
        for user_id, model_id in self._dump.owned("aimodels", contents.removed["aimodels"]):
            self._models.remove(user_id, model_id)
        for user_id, session_id in self._dump.owned("sessions", contents.removed["sessions"]):
            self._sessions.remove(user_id, session_id)


def _created(path: Path, beside: Path) -> IO[bytes]:
    if path.exists():
        raise BackupFailed(f"{path} is there already")
    return open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
