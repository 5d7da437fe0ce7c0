"""Looks into a platform that has come to rest for everything that must hold of what it was sent."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo.database import Database

from app.client import ApiError
from app.container import Container
from app.domain import LineageKey, ModelType, Version, utc_now
from app.errors import LapwiseError
from app.mongo import Document
from models_store.registry import number_of
from tests.chaos.load import LAP_TIME, Answered, Driver

FINAL = ["succeeded", "failed", "cancelled"]
OWNERS = {"models": ("aimodels",), "telemetry": ("sessions",), "laps": ("sessions",)}


def violations(container: Container, answered: Sequence[Answered]) -> Iterator[str]:
    """Everything that is wrong, in words; orphans are looked for after a sweep, as nothing is under way."""
    database = container.mongo_client[container.settings.database]
    container.models._store.sweep(utc_now())
    container.sessions._sessions.sweep(utc_now())
    yield from _sessions(database, answered)
    yield from _jobs(database, answered)
    yield from _files(database)
    by_lineage: dict[LineageKey, list[Answered]] = defaultdict(list)
    for one in answered:
        key = LineageKey(user_id=one.user_id, track_name=one.track, model_type=ModelType.LAP_TIME_PREDICTION)
        by_lineage[key].append(one)
    for key, taken in by_lineage.items():
        for violation in _lineage(container, key, taken):
            yield f"lineage {key.id}: {violation}"


def seen_by(driver: Driver) -> Iterator[str]:
    """What its own API tells a driver otherwise than it must."""
    client, by_track = driver.client, defaultdict(set)
    for one in driver.answered:
        by_track[one.track].add(one.session_id)
    listed = {session["id"] for session in client.sessions()}
    if listed != set().union(*by_track.values()):
        yield f"{driver.name} sees {len(listed)} sessions of {len(driver.answered)} answered"
    for track, sessions in by_track.items():
        try:
            active = client.active(track)
        except ApiError as exc:
            yield f"{driver.name} sees no active version for {track}: {exc}"
            continue
        if set(active["trainingSessionIds"]) != sessions:
            yield f"{driver.name} sees an active version for {track} that has not learned what was sent"
        among = [version["id"] for version in client.versions(track) if version["isActive"]]
        if among != [active["id"]]:
            yield f"{driver.name} sees {len(among)} active versions for {track}"
        if active["modelType"] != LAP_TIME:
            yield f"{driver.name} sees a version of another type for {track}"


def _sessions(database: Database[Document], answered: Sequence[Answered]) -> Iterator[str]:
    there = {found["_id"]: found["userId"] for found in database["sessions"].find({}, {"userId": 1})}
    expected = {one.session_id: one.user_id for one in answered}
    for session_id in expected.keys() - there.keys():
        yield f"session {session_id} was answered and is lost"
    for session_id in there.keys() - expected.keys():
        yield f"session {session_id} is there though no answer named it"
    for session_id in expected.keys() & there.keys():
        if there[session_id] != expected[session_id]:
            yield f"session {session_id} belongs to another driver"
    if len(expected) != len(answered):
        yield f"{len(answered)} sessions were answered with {len(expected)} ids"


def _jobs(database: Database[Document], answered: Sequence[Answered]) -> Iterator[str]:
    status = {found["_id"]: found for found in database["jobs"].find()}
    for job_id in {job_id for one in answered for job_id in one.job_ids} - status.keys():
        yield f"job {job_id} was answered and is lost"
    for job_id, job in status.items():
        if job["status"] not in FINAL:
            yield f"job {job_id} is stuck: {job['status']} after {job['attempts']} attempts"
        elif job["status"] != "succeeded":
            yield f"job {job_id} {job['status']}: {job['error']}"


def _files(database: Database[Document]) -> Iterator[str]:
    """Files and documents must go together, and files be whole."""
    for bucket, (owners,) in OWNERS.items():
        files = {found["_id"]: found["length"] for found in database[f"{bucket}.files"].find()}
        parts: Counter[Any] = Counter()
        sizes = {"_id": "$files_id", "size": {"$sum": {"$binarySize": "$data"}}}
        for found in database[f"{bucket}.chunks"].aggregate([{"$group": sizes}]):
            parts[found["_id"]] = found["size"]
        ids = set(database[owners].distinct("_id"))
        for file_id in (files.keys() | parts.keys()) - ids:
            yield f"{bucket} has an orphan, {file_id}"
        for file_id in ids - files.keys():
            yield f"{owners} {file_id} has no file in {bucket}"
        for file_id in ids & files.keys():
            if parts[file_id] != files[file_id]:
                yield f"{bucket} file {file_id} has {parts[file_id]} of {files[file_id]} bytes"


def _lineage(container: Container, key: LineageKey, taken: Sequence[Answered]) -> Iterator[str]:
    """One unbroken chain, one active version at its end, and in the models each lap once."""
    chain = sorted(container.models.history(*_plain(key)), key=lambda one: number_of(one.model_version))
    if not chain:
        yield "it has no version"
        return
    if [version.parent_id for version in chain] != [None, *(version.id for version in chain[:-1])]:
        yield "its versions are no single chain of parents"
    active = [version.id for version in chain if version.is_active]
    lineage = container.models._registry.find_lineage(key)
    if active != [chain[-1].id]:
        yield f"{len(active)} versions are active, or not the newest"
    if lineage is None or [lineage.active_model_id] != active:
        yield "its document names another active version"
    learned = Counter(chain[-1].training_session_ids)
    expected = Counter(one.session_id for one in taken)
    if learned != expected:
        yield f"learned {_difference(learned, expected)}"
    laps = {one.session_id: one.valid_laps for one in taken}
    before: tuple[str, ...] = ()
    for version in chain:
        yield from _version(container, version, laps)
        if version.training_session_ids[: len(before)] != before:
            yield f"version {version.model_version} has not learned all that its parent had"
        before = version.training_session_ids


def _version(container: Container, version: Version, laps: Mapping[str, int]) -> Iterator[str]:
    """Its binary verifies, loads, and has itself counted what the version says it learned."""
    try:
        model = container.models._store.load_copy(version)
    except LapwiseError as exc:
        yield f"version {version.model_version} does not load: {exc.message}"
        return
    said = [laps.get(session_id, 0) for session_id in version.training_session_ids]
    if (model.sessions_learned, model.laps_learned) != (len(said), sum(said)):
        yield (
            f"the model of version {version.model_version} has learned {model.laps_learned} laps of "
            f"{model.sessions_learned} sessions instead of {sum(said)} laps of {len(said)}"
        )


def _difference(found: Counter[str], expected: Counter[str]) -> str:
    return f"not {dict(expected - found)}, and {dict(found - expected)} too much"


def _plain(key: LineageKey) -> tuple[str, str, ModelType]:
    return key.user_id, key.track_name, key.model_type
