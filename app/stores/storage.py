"""How much MongoDB and Redis hold, for operators."""

from collections.abc import Mapping
from dataclasses import dataclass

from pymongo.database import Database
from redis import Redis

from app.mongo import Document, errors_translated
from app.stores.job_status import errors_translated as redis_errors_translated

COUNTED = ("users", "sessions", "aimodels", "jobs")
BUCKETS = ("telemetry", "laps", "models")


@dataclass(frozen=True, kw_only=True)
class StorageFigures:
    """Counts of documents, and sizes in bytes; the disk is the one that MongoDB's files are on."""

    documents: Mapping[str, int]
    files: Mapping[str, int]
    database: int
    disk_used: int
    disk_total: int
    redis: int

    @property
    def disk_share(self) -> float:
        """Of the disk, how much is used, 0 to 1."""
        return self.disk_used / self.disk_total if self.disk_total else 0.0


class Storage:
    """What the platform's servers say of themselves."""

    def __init__(self, database: Database[Document], redis: "Redis") -> None:
        self._database = database
        self._redis = redis

    def figures(self) -> StorageFigures:
        with errors_translated():
            stats = self._database.command("dbStats")
            documents = {name: self._database[name].estimated_document_count() for name in COUNTED}
            files = {name: self._bytes_in(name) for name in BUCKETS}
        with redis_errors_translated():
            memory = self._redis.info("memory")["used_memory"]
        return StorageFigures(
            documents=documents,
            files=files,
            database=int(stats["storageSize"] + stats["indexSize"]),
            disk_used=int(stats.get("fsUsedSize", 0)),
            disk_total=int(stats.get("fsTotalSize", 0)),
            redis=int(memory),
        )

    def _bytes_in(self, bucket: str) -> int:
        stages: list[Document] = [
            {"$collStats": {"storageStats": {}}},
            {"$project": {"size": "$storageStats.storageSize"}},
        ]
        name = f"{bucket}.chunks"
        if name not in self._database.list_collection_names(filter={"name": name}):
            return 0
        sizes = [int(found["size"]) for found in self._database[name].aggregate(stages)]
        return sum(sizes)
