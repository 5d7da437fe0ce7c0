"""Keeps how much each driver has predicted, by day and type, and knows which versions were made when."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import JobStatus, ModelType, utc_now
from app.histogram import bucket_of
from app.mongo import Document, errors_translated
from app.stores.journal import Predicted


@dataclass(kw_only=True)
class Tally:
    """Predictions added up; `seconds` is the time of all requests, `buckets` as `app.histogram` has them."""

    requests: int = 0
    rows: int = 0
    seconds: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, record: Predicted) -> None:
        self.requests += 1
        self.rows += record.rows
        self.seconds += record.seconds
        self.buckets[bucket_of(record.seconds)] += 1

    def merge(self, other: "Tally") -> None:
        self.requests += other.requests
        self.rows += other.rows
        self.seconds += other.seconds
        self.buckets += other.buckets


@dataclass(frozen=True)
class Made:
    """How many versions training has made: those with a new major number, and those grown from another."""

    created: int = 0
    updated: int = 0


class UsageStore:
    """Usage of all drivers.

    Parameters
    ----------
    database
        Collections `usage`, a document for each driver, day and type, and `usagebatches`, which have been
        counted; reads `jobs`.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._usage = database["usage"]
        self._batches = database["usagebatches"]
        self._jobs = database["jobs"]

    def has_counted(self, batch_id: str, *, tx: ClientSession) -> bool:
        return self._batches.find_one({"_id": batch_id}, session=tx) is not None

    def count(self, batch_id: str, records: Iterable[Predicted], *, tx: ClientSession) -> None:
        """Adds a batch of predictions to the counts."""
        tallies: dict[tuple[str, date, ModelType], Tally] = {}
        for record in records:
            key = (record.user_id, record.day, record.model_type)
            tallies.setdefault(key, Tally()).add(record)
        self._batches.insert_one({"_id": batch_id, "createdAt": utc_now()}, session=tx)
        if tallies:
            self._usage.bulk_write([_increment(*key, tally) for key, tally in tallies.items()], session=tx)

    def predictions(self, user_id: str, first: date, last: date) -> dict[date, dict[ModelType, Tally]]:
        """A driver's predictions by day and type; both days are in it."""
        days: dict[date, dict[ModelType, Tally]] = {}
        with errors_translated():
            query = {"userId": user_id, "day": {"$gte": _midnight(first), "$lte": _midnight(last)}}
            for found in self._usage.find(query):
                tally = Tally(
                    requests=found["requests"],
                    rows=found["rows"],
                    seconds=found["seconds"],
                    buckets=Counter({int(bucket): count for bucket, count in found["buckets"].items()}),
                )
                days.setdefault(found["day"].date(), {})[ModelType(found["modelType"])] = tally
        return days

    def made(self, user_id: str, since: datetime, until: datetime) -> Mapping[date, Made]:
        """The versions made by jobs that ended in a time, by day; `until` is not in it.

        Jobs are what is counted, not versions: a version that is removed later was made all the same.
        """
        ended = {
            "userId": user_id,
            "finishedAt": {"$gte": since, "$lt": until},
            "status": JobStatus.SUCCEEDED.value,
            "result.learnedSessionIds.0": {"$exists": True},
        }
        is_first = {"$regexMatch": {"input": "$modelVersion", "regex": r"\.0\.0$"}}
        sums = {
            "_id": {"$dateTrunc": {"date": "$finishedAt", "unit": "day"}},
            "created": {"$sum": {"$cond": [is_first, 1, 0]}},
            "updated": {"$sum": {"$cond": [is_first, 0, 1]}},
        }
        with errors_translated():
            found = self._jobs.aggregate([{"$match": ended}, {"$group": sums}])
            return {row["_id"].date(): Made(row["created"], row["updated"]) for row in found}

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            self._usage.delete_many({"userId": user_id})


def _increment(user_id: str, day: date, model_type: ModelType, tally: Tally) -> UpdateOne:
    amounts = {"requests": tally.requests, "rows": tally.rows, "seconds": tally.seconds}
    buckets = {f"buckets.{bucket}": count for bucket, count in tally.buckets.items()}
    place = {"userId": user_id, "day": _midnight(day), "modelType": model_type.value}
    return UpdateOne(
        {"_id": f"{user_id}:{day}:{model_type}"},
        {"$inc": amounts | buckets, "$setOnInsert": place},
        upsert=True,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
