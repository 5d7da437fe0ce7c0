"""What one session costs from upload to active version: processor, disk and memory, for docs/scaling.md."""

from collections.abc import Mapping
from typing import Any

import psutil

from bench.figures import Figure
from bench.stage import TRACK, Driver, Stage, learn

SESSIONS, LAPS = 40, 20
KILOBYTE = 1_000
PROGRAMS = ("web", "worker", "mongod", "redis")


def footprint(stage: Stage) -> list[Figure]:
    """Sessions of 20 laps at 20 Hz, one after another in one lineage."""
    driver, count = stage.driver(), stage.many(SESSIONS)
    learn(driver, stage.session(0, laps=LAPS))
    spent, before = _processor_seconds(stage), _disk(stage)
    sizes, jobs = [], []
    for index in range(1, count + 1):
        file = stage.session(index, laps=LAPS)
        sizes.append(file.stat().st_size / KILOBYTE)
        jobs.append(learn(driver, file)["id"])
    used = {name: one - spent[name] for name, one in _processor_seconds(stage).items()}
    grown = {name: (one - before.get(name, 0)) / count / KILOBYTE for name, one in _disk(stage).items()}
    kept = [(stage.container.redis.memory_usage(f"lapwise:job:{job}") or 0) / KILOBYTE for job in jobs]
    told = f"a session of {LAPS} laps"
    return [
        _figure(f"file of {told}", sizes, "kB"),
        _figure(f"{told} in MongoDB, on disk", [sum(grown.values())], "kB", grown),
        _figure(f"{told} in MongoDB, documents alone", [_documents(grown)], "kB"),
        *(_figure(f"processor of {name} for {told}", [1000 * used[name] / count], "ms") for name in PROGRAMS),
        _figure("Redis for a day after a job", kept, "kB"),
        _figure("a version's binary at the end", [_binary(driver)], "kB"),
    ]


def _figure(what: str, values: list[float], unit: str, details: Mapping[str, Any] | None = None) -> Figure:
    return Figure(what=what, against="–", values=values, bar=None, unit=unit, details=dict(details or {}))


def _documents(grown: Mapping[str, float]) -> float:
    """What is not in a bucket of GridFS."""
    return sum(size for name, size in grown.items() if not name.endswith(".chunks"))


def _binary(driver: Driver) -> float:
    version = driver.client.active(TRACK)
    return version["compressedSize"] / KILOBYTE


def _disk(stage: Stage) -> dict[str, int]:
    """Bytes on disk of each collection with its indexes, after all is written through."""
    client = stage.container.mongo_client
    client.admin.command("fsync")
    database = client[stage.container.settings.database]
    return {
        name: int(told["storageSize"] + told["totalIndexSize"])
        for name in database.list_collection_names(filter={"type": "collection"})
        for told in [database.command("collStats", name)]
    }


def _processor_seconds(stage: Stage) -> dict[str, float]:
    used = {}
    for name in PROGRAMS:
        process = psutil.Process(stage.platform.endpoints()["pids"][name])
        family = [process, *process.children(recursive=True)]
        used[name] = sum(sum(one.cpu_times()[:2]) for one in family)
    return used
