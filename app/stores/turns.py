"""Whose job is next: drivers take turns, so that one driver's flood does not keep the others waiting.

Each job gets its place in the order when it is recorded, as in start-time fair queueing (Goyal, Vin and
Cheng, SIGCOMM 1996): a turn after its driver's last one, but not before the turn that is being served. So of
two drivers with jobs waiting each gets every second turn, whoever came first and however many they have, and
taking the next job is one look at the front of an index.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from app.domain import Job, JobKind, JobStatus, utc_now
from app.mongo import Document, errors_translated

RETRAIN_LATER = 5  # turns that an automatic retraining lets others go first
FRONT = [("turn", 1), ("queuedAt", 1), ("_id", 1)]
_QUEUED, _RUNNING = JobStatus.QUEUED.value, JobStatus.RUNNING.value
_NOW = "jobs"


class Turns:
    """The order in which workers take jobs.

    What a driver asked for by hand and what uploads made are two flows with turns of their own, so neither
    waits behind the other; within a lineage sessions are learned in order all the same (`JobStore.claim`).

    Parameters
    ----------
    database
        Collections `jobs`, `users`, and `turns`, in which one document holds the turn being served.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = database["jobs"]
        self._turns = database["turns"]
        self._users = database["users"]
        # what a crash takes of it, the next turn makes good: it need not wait for the journal
        self._served = self._turns.with_options(write_concern=WriteConcern(1))
        self._last_served = -1  # by this process

    def give(self, jobs: Iterable[Job], *, tx: ClientSession) -> list[Job]:
        """New jobs with their turns, each driver's and flow's in the order given.

        Its caller holds the drivers' accounts in the same transaction, so that of a driver's requests at the
        same moment each gets a turn of its own.
        """
        jobs, given = list(jobs), []
        now, last = self._last_turns(jobs, tx)
        for job in jobs:
            if job.kind is JobKind.RETRAIN:
                given.append(replace(job, turn=now + RETRAIN_LATER))
                continue
            flow = job.user_id, job.automatic
            last[flow] = max(now, last.get(flow, -1) + 1)
            given.append(replace(job, turn=last[flow]))
        return given

    def next_jobs(self) -> Iterator[Document]:
        """Queued jobs to claim, the first in turn first, while the caller asks for another.

        Of each its `lineageId` and `turn` are known. Most often the first can be claimed; those after it are
        of lineages that were not running when they were looked for, and of none that was given before.
        """
        tried: set[str] = set()
        lineages: set[str] = set()
        while (found := self._front(tried, lineages)) is not None:
            yield found
            if not tried:
                lineages = self._running_lineages()
            tried.add(found["_id"])
            lineages |= {found["lineageId"]} if found.get("lineageId") else set()

    def serve(self, turn: int) -> None:
        """Notes that a turn has come: newcomers go on from it."""
        if turn <= self._last_served:
            return
        with errors_translated():
            self._served.update_one({"_id": _NOW}, {"$max": {"turn": turn}}, upsert=True)
        self._last_served = turn

    def waiting_of(self, user_id: str, at_most: int) -> int:
        """How many jobs of a driver are queued, counted up to a bound."""
        query = {"userId": user_id, "status": _QUEUED}
        with errors_translated():
            return self._jobs.count_documents(query, limit=max(at_most, 1))

    def waiting(self, at_most: int) -> int:
        """How many jobs are queued in all, counted up to a bound."""
        with errors_translated():
            return self._jobs.count_documents({"status": _QUEUED}, limit=max(at_most, 1))

    def _last_turns(self, jobs: Sequence[Job], tx: ClientSession) -> tuple[int, dict[tuple[str, bool], int]]:
        """The turn being served, and the last one of each of the jobs' flows that has any."""
        now, last = 0, {}
        for automatic in {job.automatic for job in jobs}:
            drivers = {job.user_id for job in jobs if job.automatic == automatic}
            for found in self._users.aggregate(_turns_of(drivers, automatic), session=tx):
                now = found.get("now") or 0
                if found.get("last") is not None:
                    last[found["_id"], automatic] = int(found["last"])
        return now, last

    def _running_lineages(self) -> set[str]:
        with errors_translated():
            running = self._jobs.find({"status": _RUNNING}, {"lineageId": 1})
            return {job["lineageId"] for job in running if job.get("lineageId")}

    def _front(self, tried: Collection[str], lineages: Collection[str]) -> Document | None:
        query = {
            "status": _QUEUED,
            "_id": {"$nin": list(tried)},
            "lineageId": {"$nin": list(lineages)},
        } | due()
        with errors_translated():
            return self._jobs.find_one(query, {"lineageId": 1, "turn": 1}, sort=FRONT)


def _turns_of(drivers: Collection[str], automatic: bool) -> list[Document]:
    """Of each driver the last turn of a flow, and the turn being served, by one query."""
    of_flow: list[Document] = [
        {"$match": {"automatic": automatic, "kind": {"$ne": JobKind.RETRAIN.value}}},
        {"$sort": {"turn": -1}},
        {"$limit": 1},
        {"$project": {"turn": 1}},
    ]
    served = [{"$match": {"_id": _NOW}}]
    found = {"last": {"$first": "$jobs.turn"}, "now": {"$first": "$turns.turn"}}
    return [
        {"$match": {"_id": {"$in": list(drivers)}}},
        {
            "$lookup": {
                "from": "jobs",
                "localField": "_id",
                "foreignField": "userId",
                "pipeline": of_flow,
                "as": "jobs",
            }
        },
        {"$lookup": {"from": "turns", "pipeline": served, "as": "turns"}},
        {"$project": found},
    ]


def due() -> Document:
    """Of a query: that a job does not wait for another try at a later time."""
    return {"$or": [{"notBefore": None}, {"notBefore": {"$lte": utc_now()}}]}
