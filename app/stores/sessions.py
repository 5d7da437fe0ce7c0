"""Keeps racing sessions: the documents, and in GridFS the upload as it came and its laps."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.buckets import Bucket
from app.domain import LapSummary, ModelType, Page, Session, SessionTimes, SetAside, TrackSummary
from app.errors import SessionExists, SessionNotFound
from app.mongo import Document, errors_translated, from_document, to_document
from app.paging import page_of
from learning import laps as lap_files
from learning.laps import SessionLaps

_FASTEST = 1000  # laps that are looked through for one driven in the same conditions
_BEST_TIMES = 20  # of a track's newest sessions
_OF_TRACK = ("trackName", "lapsCount", "validLapsCount")


class SessionStore:
    """Sessions of all drivers; every read names the driver.

    Parameters
    ----------
    database
        Collection `sessions`, and the buckets `telemetry` and `laps`.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._sessions = database["sessions"]
        self._telemetry = Bucket(database, "telemetry", owners="sessions")
        self._laps = Bucket(database, "laps", owners="sessions")

    def write_files(self, session: Session, upload: Path, laps: bytes) -> None:
        """Puts the upload as it came and its laps where the session's document will find them."""
        with upload.open("rb") as stream:
            self._telemetry.put(session.id, stream)
        self._laps.put(session.id, laps)

    def remove_files(self, session_id: str) -> None:
        self._telemetry.remove(session_id)
        self._laps.remove(session_id)

    def sweep(self, older_than: datetime) -> int:
        """Removes files that no session has; how many. See `Bucket.sweep`."""
        return self._telemetry.sweep(older_than) + self._laps.sweep(older_than)

    def add(self, session: Session, laps: Sequence[LapSummary], *, tx: ClientSession) -> None:
        """Adds a session.

        Raises
        ------
        SessionExists
            The same bytes for the same track, and the same of the drivers in them, are one session.
        """
        document = to_document(session) | {"laps": [to_document(lap) for lap in laps]}
        try:
            self._sessions.insert_one(document, session=tx)
        except DuplicateKeyError as exc:
            raise SessionExists from exc

    def find_same(
        self,
        user_id: str,
        track_name: str,
        sha256: str,
        driver: str | None,
        *,
        tx: ClientSession | None = None,
    ) -> Session | None:
        same = {"userId": user_id, "trackName": track_name, "sha256": sha256, "driver": driver}
        with errors_translated(tx):
            found = self._sessions.find_one(same, {"laps": 0}, session=tx)
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

    def find_of_any(
        self, user_ids: Collection[str], session_ids: Collection[str], *, tx: ClientSession | None = None
    ) -> dict[str, Session]:
        """Those of the named sessions that are one of the drivers', by id."""
        which = {"_id": {"$in": list(session_ids)}, "userId": {"$in": list(user_ids)}}
        with errors_translated(tx):
            found = list(self._sessions.find(which, {"laps": 0}, session=tx))
        return {document["_id"]: from_document(Session, document) for document in found}

    def every(self) -> Iterator[Session]:
        """The sessions of all drivers, for operators."""
        with errors_translated():
            for document in self._sessions.find({}, {"laps": 0}):
                yield from_document(Session, document)

    def problem(self, session: Session) -> str | None:
        """What is wrong with a session's files, if anything."""
        if self._telemetry.digest(session.id) != session.sha256:
            return "its telemetry is not what was uploaded"
        return None if self._laps.digest(session.id) else "its laps are missing"

    def page(self, user_id: str, track_name: str | None, limit: int, cursor: str | None) -> Page[Session]:
        """Newest first."""
        query = {"userId": user_id} | ({"trackName": track_name} if track_name is not None else {})
        return page_of(self._sessions, Session, query, limit=limit, cursor=cursor, projection={"laps": 0})

    def tracks(self, user_id: str) -> tuple[TrackSummary, ...]:
        """The driver's tracks, the one driven last first."""
        stages: list[Document] = [
            {"$match": {"userId": user_id}},
            {"$project": dict.fromkeys((*_OF_TRACK, "bestLapTime", "createdAt"), 1)},
            {"$sort": {"createdAt": 1}},
            {
                "$group": {
                    "_id": "$trackName",
                    "sessionsCount": {"$sum": 1},
                    "lapsCount": {"$sum": "$lapsCount"},
                    "validLapsCount": {"$sum": "$validLapsCount"},
                    "bestLapTime": {"$min": "$bestLapTime"},
                    "bestTimes": {"$push": "$bestLapTime"},
                    "lastSessionAt": {"$last": "$createdAt"},
                }
            },
            {"$sort": {"lastSessionAt": -1, "_id": 1}},
        ]
        with errors_translated():
            return tuple(_summary(found) for found in self._sessions.aggregate(stages))

    def lap_times(self, user_id: str, track_name: str, limit: int) -> tuple[SessionTimes, ...]:
        """The times of the laps that count, of a track's newest sessions, oldest first."""
        query = {"userId": user_id, "trackName": track_name}
        fields = {"sessionName": 1, "laps.lap": 1, "laps.lapTime": 1, "laps.valid": 1}
        with errors_translated():
            found = list(self._sessions.find(query, fields).sort("createdAt", -1).limit(limit))
        return tuple(_times(document) for document in reversed(found))

    def laps(self, user_id: str, session_id: str) -> tuple[LapSummary, ...]:
        with errors_translated():
            found = self._sessions.find_one({"_id": session_id, "userId": user_id}, {"laps": 1})
        if found is None:
            raise SessionNotFound
        return tuple(from_document(LapSummary, lap) for lap in found["laps"])

    def fastest_laps(self, session: Session, *, alone: bool = False) -> list[tuple[str, LapSummary]]:
        """Valid laps of the same driver, track and car, fastest first, with the ids of their sessions.

        They are of this session and of those uploaded before it, or of this one alone.
        """
        earlier: Document = {
            "userId": session.user_id,
            "trackName": session.track_name,
            "carModel": session.car_model,
            "createdAt": {"$lte": session.created_at},
        }
        chosen = {"laps.valid": True, "laps.lapTime": {"$gt": 0}}
        stages: list[Document] = [
            {"$match": {"_id": session.id, "userId": session.user_id} if alone else earlier},
            {"$project": {"laps": 1}},
            {"$unwind": "$laps"},
            {"$match": chosen},
            {"$sort": {"laps.lapTime": 1, "_id": 1, "laps.lap": 1}},
            {"$limit": _FASTEST},
        ]
        with errors_translated():
            found = list(self._sessions.aggregate(stages))
        return [(document["_id"], from_document(LapSummary, document["laps"])) for document in found]

    def read_laps(self, session: Session) -> bytes:
        """The laps as `learning.laps.encode` wrote them.

        Raises
        ------
        SessionNotFound
            It was removed meanwhile.
        """
        laps = self._laps.get(session.id)
        if laps is None:
            raise SessionNotFound
        return laps

    def decoded_laps(self, session: Session) -> SessionLaps:
        """The laps as the models see them.

        Raises
        ------
        SessionNotFound
            It was removed meanwhile.
        """
        return lap_files.decode(self.read_laps(session))

    def set_aside(
        self, user_id: str, session_ids: Sequence[str], why: SetAside, *, tx: ClientSession
    ) -> None:
        """Notes of sessions that a lineage does without them, in the place of an earlier note."""
        self.take_back(user_id, session_ids, why.model_type, tx=tx)
        mine = {"_id": {"$in": list(session_ids)}, "userId": user_id}
        self._sessions.update_many(mine, {"$push": {"setAside": to_document(why)}}, session=tx)

    def take_back(
        self, user_id: str, session_ids: Sequence[str], model_type: ModelType, *, tx: ClientSession
    ) -> None:
        """Forgets that sessions were set aside: the lineage has learned them, or shall try again."""
        noted = {
            "_id": {"$in": list(session_ids)},
            "userId": user_id,
            "setAside.modelType": model_type.value,
        }
        self._sessions.update_many(
            noted, {"$pull": {"setAside": {"modelType": model_type.value}}}, session=tx
        )

    def remove(self, user_id: str, session_id: str) -> None:
        with errors_translated():
            removed = self._sessions.delete_one({"_id": session_id, "userId": user_id})
        if not removed.deleted_count:
            raise SessionNotFound
        self.remove_files(session_id)

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            ids = [found["_id"] for found in self._sessions.find({"userId": user_id}, {"_id": 1})]
            for session_id in ids:
                self._sessions.delete_one({"_id": session_id})
                self.remove_files(session_id)


def _times(found: Document) -> SessionTimes:
    timed = [(lap["lap"], lap["lapTime"]) for lap in found["laps"] if lap["valid"] and lap["lapTime"]]
    return SessionTimes(
        session_id=found["_id"],
        session_name=found["sessionName"],
        laps=tuple(lap for lap, _ in timed),
        lap_times=tuple(time for _, time in timed),
    )


def _summary(found: Document) -> TrackSummary:
    times = [time for time in found["bestTimes"] if time is not None]
    document = found | {"trackName": found["_id"], "bestTimes": times[-_BEST_TIMES:]}
    return from_document(TrackSummary, document)
