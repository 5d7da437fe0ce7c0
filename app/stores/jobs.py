"""The durable record of every job: written before it is queued, and the judge of who may finish it.

At most one job of a lineage is running: a unique partial index on the lineage of running jobs sees to it.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo import InsertOne, ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.domain import Job, JobKind, JobStatus, Page, Progress, utc_now
from app.errors import IdempotencyKeyReused, JobCancelled, JobFinished, JobNotFound, LeaseLost
from app.mongo import Document, answers, are_duplicates, errors_translated, from_document, to_document
from app.paging import page_of
from app.stores.turns import Turns, due

DISPATCH_AFTER = timedelta(seconds=10)  # a queued job nobody took is sent again, later and later
DISPATCH_AT_MOST = timedelta(minutes=5)
COUNT_SECONDS = 2.0
OLDEST_FIRST = [("queuedAt", 1), ("_id", 1)]
_QUEUED, _RUNNING = JobStatus.QUEUED.value, JobStatus.RUNNING.value
_ALIVE = [_QUEUED, _RUNNING, JobStatus.SUCCEEDED.value]


class JobStore:
    """Jobs of all drivers.

    Parameters
    ----------
    database
        Collection `jobs`.
    lease
        How long a running job stays its worker's without a sign of life.
    """

    def __init__(self, database: Database[Document], lease: timedelta) -> None:
        self._jobs = database["jobs"]
        self._turns = Turns(database)
        self._lease = lease

    def add(self, job: Job, *, tx: ClientSession) -> Job:
        """Records a job."""
        (added,) = self.add_all([job], tx=tx)
        return added

    def add_all(self, jobs: Iterable[Job], *, tx: ClientSession) -> list[Job]:
        """Records jobs; as they are then, each with its turn.

        Raises
        ------
        IdempotencyKeyReused
            The driver of one of them has used its key before.
        """
        placed = self._turns.give(jobs, tx=tx)
        try:
            if placed:
                self._jobs.insert_many([_document(job) for job in placed], session=tx)
        except BulkWriteError as exc:
            if are_duplicates(exc):
                raise IdempotencyKeyReused from exc
            raise
        return placed

    def find_by_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Job]:
        """The jobs that were recorded under idempotency keys, by driver and key."""
        if not keys:
            return {}
        either = [{"userId": user_id, "idempotencyKey": key} for user_id, key in keys]
        with errors_translated():
            found = list(self._jobs.find({"$or": either}))
        return {(job["userId"], job["idempotencyKey"]): from_document(Job, job) for job in found}

    def automatic_among(
        self, session_ids: Collection[str], lineage_ids: Collection[str], *, tx: ClientSession
    ) -> tuple[Job, ...]:
        """Automatic jobs that learn or have learned one of the sessions, and waiting ones of the lineages."""
        users = list({lineage_id.partition(":")[0] for lineage_id in lineage_ids})
        of_sessions = {"userId": {"$in": users}, "sessionIds": {"$in": list(session_ids)}}
        waiting = {"lineageId": {"$in": list(lineage_ids)}, "status": _QUEUED}
        either = {"automatic": True, "$or": [of_sessions | {"status": {"$in": _ALIVE}}, waiting]}
        found = self._jobs.find(either, session=tx)
        return tuple(
            sorted((from_document(Job, job) for job in found), key=lambda job: (job.queued_at, job.id))
        )

    def write_automatic(self, new: Iterable[Job], joined: Iterable[Job], *, tx: ClientSession) -> None:
        """Adds jobs, and the sessions that were added to waiting ones."""
        placed = self._turns.give(new, tx=tx)
        writes: list[InsertOne[Document] | UpdateOne] = [InsertOne(_document(job)) for job in placed]
        for job in joined:
            lists = {"sessionIds": job.session_ids, "requestIds": job.request_ids}
            added = {"$addToSet": {key: {"$each": list(values)} for key, values in lists.items()}}
            writes.append(UpdateOne({"_id": job.id, "status": _QUEUED}, added))
        if writes:
            self._jobs.bulk_write(writes, session=tx)

    def get(self, user_id: str, job_id: str) -> Job:
        return self._one({"_id": job_id, "userId": user_id})

    def get_of_any(self, job_id: str) -> Job:
        """A job whoever's it is; for operators."""
        return self._one({"_id": job_id})

    def get_all(self, user_id: str, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return self._many({"_id": {"$in": list(job_ids)}, "userId": user_id})

    def automatic_for(self, user_id: str, session_id: str) -> tuple[Job, ...]:
        """The automatic jobs that learn the session, or have; not those given up."""
        return self._many(
            {"userId": user_id, "sessionIds": session_id, "automatic": True, "status": {"$in": _ALIVE}}
        )

    def page(
        self, user_id: str, status: JobStatus | None, kind: JobKind | None, limit: int, cursor: str | None
    ) -> Page[Job]:
        """Newest first."""
        query = {"userId": user_id, "status": status and status.value, "kind": kind and kind.value}
        wanted = {key: value for key, value in query.items() if value is not None}
        return page_of(self._jobs, Job, wanted, limit=limit, cursor=cursor, by="queuedAt")

    def newest(self, status: JobStatus, limit: int) -> tuple[Job, ...]:
        """The newest jobs of all drivers with a status, newest first; for operators."""
        with errors_translated():
            found = (
                self._jobs.find({"status": status.value}).sort([("queuedAt", -1), ("_id", -1)]).limit(limit)
            )
            return tuple(from_document(Job, document) for document in found)

    def counts(self) -> dict[str, int]:
        """Jobs by status."""
        with errors_translated(), pymongo.timeout(COUNT_SECONDS):
            found = self._jobs.aggregate([{"$group": {"_id": "$status", "count": {"$sum": 1}}}])
            return {status.value: 0 for status in JobStatus} | {row["_id"]: row["count"] for row in found}

    def claim_next(self) -> Job | None:
        """Takes the job whose turn it is, or the oldest of its lineage; None when there is none to take."""
        for found in self._turns.next_jobs():
            job = self._take(found)
            if job is not None:
                self._turns.serve(found.get("turn") or 0)
                return job
        return None

    def claim(self, job_id: str) -> Job | None:
        """Takes a job to run: of a lineage its oldest queued one, so that sessions are learned in order.

        None when there is nothing to do: the work is done, or another worker holds the lineage.
        """
        with errors_translated():
            asked = self._jobs.find_one({"_id": job_id}, {"lineageId": 1})
        return self._take(asked) if asked else None

    def _take(self, asked: Document) -> Job | None:
        """The job, or of its lineage the oldest queued one, as this worker's; None when there is none."""
        lineage_id = asked.get("lineageId")
        which = {"_id": asked["_id"]} if lineage_id is None else {"lineageId": lineage_id}
        with errors_translated():
            now = utc_now()
            taken = {
                "status": _RUNNING,
                "leaseToken": secrets.token_hex(16),
                "leaseUntil": now + self._lease,
                "startedAt": now,
            }
            try:
                found = self._jobs.find_one_and_update(
                    which | {"status": _QUEUED} | due(),
                    {"$set": taken, "$inc": {"attempts": 1}},
                    sort=OLDEST_FIRST,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                return None
        return from_document(Job, found) if found else None

    def keep(self, job: Job) -> None:
        """Keeps the lease, where it is still this worker's."""
        with errors_translated():
            self._jobs.update_one(_held(job), {"$set": {"leaseUntil": utc_now() + self._lease}})

    def renew(self, job: Job, progress: Progress, learning: str | None = None) -> Job:
        """Keeps the lease, notes the progress, and which session is about to be learned.

        Raises
        ------
        LeaseLost
            Another worker has the job now; leave it.
        JobCancelled
            Its driver has cancelled it.
        """
        noted = {"progress": to_document(progress), "learning": learning}
        with errors_translated():
            found = self._jobs.find_one_and_update(
                _held(job),
                {"$set": noted | {"leaseUntil": utc_now() + self._lease}},
                return_document=ReturnDocument.AFTER,
            )
        if found is None:
            raise LeaseLost
        if found["cancelRequested"]:
            raise JobCancelled
        return from_document(Job, found)

    def succeed(
        self,
        job: Job,
        *,
        result: Mapping[str, Any],
        model_id: str | None,
        model_version: str | None,
        tx: ClientSession | None = None,
    ) -> Job:
        """Ends a job well, within the transaction that writes its version.

        Raises
        ------
        LeaseLost, JobCancelled
            The version must not be written.
        """
        ended = {
            "status": JobStatus.SUCCEEDED.value,
            "error": None,  # of an attempt before
            "result": dict(result),
            "modelId": model_id,
            "modelVersion": model_version,
            "progress": to_document(job.progress) if job.progress else None,
        }
        found = self._end(_held(job) | {"cancelRequested": False}, ended, tx=tx)
        if found is not None:
            return found
        with errors_translated(tx):
            held = self._jobs.find_one(_held(job), {"_id": 1}, session=tx)
        raise JobCancelled if held else LeaseLost

    def fail(self, job: Job, error: Mapping[str, Any], *, tx: ClientSession | None = None) -> Job | None:
        """Gives a job up, with the reason; None when it is no longer this worker's."""
        return self._end(_held(job), {"status": JobStatus.FAILED.value, "error": dict(error)}, tx=tx)

    def end_cancelled(self, job: Job) -> Job | None:
        """Ends a job its driver cancelled; None when it is no longer this worker's."""
        return self._end(_held(job), {"status": JobStatus.CANCELLED.value})

    def put_back(
        self,
        job: Job,
        error: Mapping[str, Any] | None,
        delay: timedelta,
        *,
        counts: bool = True,
        tx: ClientSession | None = None,
        **changes: Any,
    ) -> Job | None:
        """Queues a job whose attempt failed again; None when it is no longer this worker's.

        Nobody takes it before `delay` has passed; an attempt that does not count may be repeated without end.
        `changes` are of other keys of its document.
        """
        at = utc_now() + delay
        waiting: Document = {"status": _QUEUED, "leaseToken": None, "leaseUntil": None, "learning": None}
        waiting |= {"error": error, "notBefore": at, "dispatchAt": at}
        waiting["attempts"] = job.attempts if counts else job.attempts - 1
        with errors_translated(tx):
            found = self._jobs.find_one_and_update(
                _held(job),
                {"$set": waiting | changes},
                return_document=ReturnDocument.AFTER,
                session=tx,
            )
        return from_document(Job, found) if found else None

    def find_held(self, job: Job, *, tx: ClientSession) -> Job | None:
        """The job as it is now, while it is still its worker's."""
        found = self._jobs.find_one(_held(job), session=tx)
        return from_document(Job, found) if found else None

    def cancel(self, user_id: str, job_id: str) -> Job:
        """Cancels a waiting job at once; asks a running one to stop at its next step.

        Raises
        ------
        JobNotFound, JobFinished
        """
        mine = {"_id": job_id, "userId": user_id}
        cancelled = self._end(mine | {"status": _QUEUED}, {"status": JobStatus.CANCELLED.value})
        if cancelled is not None:
            return cancelled
        with errors_translated():
            asked = self._jobs.find_one_and_update(
                mine | {"status": _RUNNING},
                {"$set": {"cancelRequested": True}},
                return_document=ReturnDocument.AFTER,
            )
        if asked is not None:
            return from_document(Job, asked)
        self.get(user_id, job_id)
        raise JobFinished

    def expired(self, now: datetime) -> tuple[Job, ...]:
        """Running jobs whose worker has gone silent."""
        return self._many({"status": _RUNNING, "leaseUntil": {"$lt": now}})

    def make_all_due(self, now: datetime) -> None:
        """Has every queued job sent again: their messages are lost."""
        with errors_translated():
            self._jobs.update_many({"status": _QUEUED}, {"$set": {"dispatchAt": now, "dispatches": 0}})

    def take_to_dispatch(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Ids of queued jobs whose message is due to be sent (again), each put off for longer than before."""
        overdue = {"status": _QUEUED, "dispatchAt": {"$lte": now}}
        with errors_translated():
            found = list(self._jobs.find(overdue, {"dispatches": 1}).sort(OLDEST_FIRST).limit(limit))
            if found:
                self._jobs.bulk_write([_put_off(job, now) for job in found], ordered=False)
        return tuple(job["_id"] for job in found)

    def next_queued(self, lineage_id: str) -> str | None:
        """The oldest job of a lineage that can be taken now."""
        waiting = {"lineageId": lineage_id, "status": _QUEUED} | due()
        with errors_translated():
            found = self._jobs.find_one(waiting, {"_id": 1}, sort=OLDEST_FIRST)
        return found["_id"] if found else None

    def models_in_use(self, user_id: str) -> set[str]:
        """Ids of the versions that a driver's unfinished jobs grow or measure."""
        unfinished = {"userId": user_id, "status": {"$in": [_QUEUED, _RUNNING]}}
        with errors_translated():
            asked = [found["parameters"] for found in self._jobs.find(unfinished, {"parameters": 1})]
        named = [parameters.get(name) for parameters in asked for name in ("baseModelId", "modelId")]
        listed = [model_id for parameters in asked for model_id in parameters.get("modelIds") or ()]
        return {model_id for model_id in (*named, *listed) if model_id}

    def has_unfinished(self, lineage_id: str, kind: JobKind, *, tx: ClientSession) -> bool:
        """Whether a lineage has a job of a kind that has not ended."""
        going = {"$in": [_QUEUED, _RUNNING]}
        query = {"lineageId": lineage_id, "kind": kind.value, "status": going}
        return self._jobs.find_one(query, {"_id": 1}, session=tx) is not None

    def answers(self) -> bool:
        """Whether MongoDB answers at once."""
        return answers(self._jobs.database.client)

    def remove_all(self, user_id: str) -> None:
        """Removes a driver's jobs; a running one loses its lease and so leaves no version."""
        with errors_translated():
            self._jobs.delete_many({"userId": user_id})

    def _end(
        self, which: Document, values: Mapping[str, Any], *, tx: ClientSession | None = None
    ) -> Job | None:
        ended = dict(values) | {"finishedAt": utc_now(), "leaseToken": None, "leaseUntil": None}
        with errors_translated(tx):
            found = self._jobs.find_one_and_update(
                which, {"$set": ended}, return_document=ReturnDocument.AFTER, session=tx
            )
        return from_document(Job, found) if found else None

    def _one(self, query: Document) -> Job:
        with errors_translated():
            found = self._jobs.find_one(query)
        if found is None:
            raise JobNotFound
        return from_document(Job, found)

    def _many(self, query: Document) -> tuple[Job, ...]:
        with errors_translated():
            return tuple(from_document(Job, found) for found in self._jobs.find(query).sort(OLDEST_FIRST))


def _put_off(found: Document, now: datetime) -> UpdateOne:
    wait = min(DISPATCH_AFTER * 2 ** min(found["dispatches"], 10), DISPATCH_AT_MOST)
    return UpdateOne(
        {"_id": found["_id"], "status": _QUEUED},
        {"$set": {"dispatchAt": now + wait}, "$inc": {"dispatches": 1}},
    )


def _held(job: Job) -> Document:
    return {"_id": job.id, "status": _RUNNING, "leaseToken": job.lease_token}


def _document(job: Job) -> Document:
    """The job's document; keys a partial index looks at are left out when they have no value."""
    document = to_document(job)
    return {key: value for key, value in document.items() if value is not None or key not in _SPARSE}


_SPARSE = ("lineageId", "idempotencyKey")
