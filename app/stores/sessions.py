"""Keeps racing sessions: the documents, and in GridFS the upload as it came and its laps."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gridfs import GridFSBucket, NoFile
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain import LapSummary, Page, Session
from app.errors import SessionExists, SessionNotFound
from app.mongo import MAJORITY, Document, errors_translated, from_document, to_document
from app.paging import page_of


class SessionStore:
    """Sessions of all drivers; every read names the driver.

    Parameters
    ----------
    database
        Collections `sessions`, and the bucket `telemetry`.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._sessions = database["sessions"]
        self._files = GridFSBucket(database, bucket_name="telemetry", write_concern=MAJORITY)

    def write_files(self, session: Session, upload: Path, laps: bytes) -> None:
        """Puts a session's two files where its document will say they are."""
        with errors_translated():
            with upload.open("rb") as stream:
                self._files.upload_from_stream_with_id(session.file_id, session.id, stream)
            self._files.upload_from_stream_with_id(session.laps_file_id, session.id, laps)

    def remove_files(self, session: Session) -> None:
        with errors_translated():
            for file_id in (session.file_id, session.laps_file_id):
                try:
                    self._files.delete(file_id)
                except NoFile:
                    continue  # removed by an earlier call that was cut off

    def add(self, session: Session, laps: Sequence[LapSummary], *, tx: ClientSession) -> None:
        """Adds a session.

        Raises
        ------
        SessionExists
            The same bytes for the same track are one session.
        """
        document = to_document(session) | {"laps": [to_document(lap) for lap in laps]}
        try:
            self._sessions.insert_one(document, session=tx)
        except DuplicateKeyError as exc:
            raise SessionExists from exc

    def find_same(self, user_id: str, track_name: str, sha256: str) -> Session | None:
        with errors_translated():
            found = self._sessions.find_one(
                {"userId": user_id, "trackName": track_name, "sha256": sha256}, {"laps": 0}
            )
        return from_document(Session, found) if found else None

    def get(self, user_id: str, session_id: str) -> Session:
        return self.get_all(user_id, [session_id])[0]

    def get_all(self, user_id: str, session_ids: Iterable[str]) -> list[Session]:
        """The named sessions in the order named.

        Raises
        ------
        SessionNotFound
            Naming those that are unknown or another driver's.
        """
        wanted = list(session_ids)
        found = self.find_all(user_id, wanted)
        if missing := [session_id for session_id in wanted if session_id not in found]:
            raise SessionNotFound(sessionIds=missing)
        return [found[session_id] for session_id in wanted]

    def find_all(self, user_id: str, session_ids: Sequence[str]) -> dict[str, Session]:
        """Those of the named sessions that are there, by id."""
        with errors_translated():
            cursor = self._sessions.find({"_id": {"$in": list(session_ids)}, "userId": user_id}, {"laps": 0})
            return {document["_id"]: from_document(Session, document) for document in cursor}

    def page(self, user_id: str, track_name: str | None, limit: int, cursor: str | None) -> Page[Session]:
        """Newest first."""
        query = {"userId": user_id} | ({"trackName": track_name} if track_name is not None else {})
        return page_of(self._sessions, Session, query, limit=limit, cursor=cursor, without=("laps",))

    def laps(self, user_id: str, session_id: str) -> tuple[LapSummary, ...]:
        with errors_translated():
            found = self._sessions.find_one({"_id": session_id, "userId": user_id}, {"laps": 1})
        if found is None:
            raise SessionNotFound
        return tuple(from_document(LapSummary, lap) for lap in found["laps"])

    def read_laps(self, session: Session) -> bytes:
        """The laps as `learning.laps.encode` wrote them."""
        with errors_translated():
            try:
                return self._files.open_download_stream(session.laps_file_id).read()
            except NoFile as exc:
                raise SessionNotFound from exc

    def remove(self, user_id: str, session_id: str) -> None:
        session = self.get(user_id, session_id)
        with errors_translated():
            self._sessions.delete_one({"_id": session_id, "userId": user_id})
        self.remove_files(session)

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            for document in self._sessions.find({"userId": user_id}, {"laps": 0}):
                self.remove(user_id, document["_id"])
