"""Versions, lineages and binaries on a real MongoDB: what is promised holds whatever races."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from bson import ObjectId
from gridfs import DEFAULT_CHUNK_SIZE, GridFSBucket
from gridfs.errors import CorruptGridFile
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import Job, JobKind, JobStatus, LineageKey, ModelType, Version, new_id, utc_now
from app.errors import ArtifactRefused, LineageChanged, ModelNotFound, ModelUnreadable, Unavailable
from app.keys import KeyRing
from app.local.probes import free_port
from app.mongo import Client, Document, in_transaction
from learning.laps import Lap, SessionLaps
from learning.model import RacingModel
from learning.zoo import create_model
from models_store.artifacts import Artifacts
from models_store.cache import ModelCache
from models_store.registry import ModelRegistry
from models_store.store import ModelStore, Training
from tests.factories import BEGINNING, a_version

DRIVER, STRANGER = new_id(), new_id()
KEY = LineageKey(user_id=DRIVER, track_name="monza", model_type=ModelType.LAP_TIME_PREDICTION)
Add = Callable[..., Version]


def version(number: str = "1.0.0", *, key: LineageKey = KEY, **fields: Any) -> Version:
    return a_version(number, key, **fields)


@pytest.fixture
def registry(mongo_client: Client, database: Database[Document]) -> ModelRegistry:
    return ModelRegistry(mongo_client, database)


@pytest.fixture
def add(mongo_client: Client, registry: ModelRegistry) -> Add:
    """Adds a version, by default on top of the lineage as it is."""

    def adding(new: Version, *, expected_revision: int | None = None) -> Version:
        key = LineageKey(user_id=new.user_id, track_name=new.track_name, model_type=new.model_type)
        lineage = registry.find_lineage(key)
        revision = expected_revision
        if revision is None:
            revision = lineage.revision if lineage else 0
        in_transaction(mongo_client, lambda tx: registry.add_version(new, expected_revision=revision, tx=tx))
        return new

    return adding


@pytest.fixture
def chain(add: Add) -> list[Version]:
    """Three versions, each grown from the one before; the last is active."""
    first = add(version("1.0.0"))
    second = add(version("1.0.1", parent_id=first.id, created_at=BEGINNING + timedelta(hours=1)))
    third = add(version("1.0.2", parent_id=second.id, created_at=BEGINNING + timedelta(hours=2)))
    return [first, second, third]


def active_id(registry: ModelRegistry) -> str | None:
    """The active version's id, on which the version documents and the lineage must agree."""
    active = registry.find_active(KEY)
    lineage = registry.find_lineage(KEY)
    assert lineage is not None
    assert lineage.active_model_id == (active.id if active else None)
    return lineage.active_model_id


def test_a_document_has_exactly_the_fields_of_the_contract(add: Add, database: Database[Document]) -> None:
    new = add(version())
    document = database["aimodels"].find_one()
    assert document is not None
    contract = (
        "_id userId trackName modelName modelVersion modelType algorithm isActive parentId description"
        " modelMetadata trainingSessionIds validationResults featureImportance modelSize compressedSize"
        " sha256 trainingDuration createdAt updatedAt"
    ).split()
    own = {"hmac", "keyId", "format", "unreadable", "jobId", "activatedAt"}
    assert set(document) == {*contract, *own}
    assert document["_id"] == new.id
    assert document["modelType"] == "lap_time_prediction"


def test_a_version_is_read_as_it_was_added(add: Add, registry: ModelRegistry) -> None:
    new = add(version())
    found = registry.get_version(DRIVER, new.id)
    assert replace(found, updated_at=new.updated_at) == new


def test_the_newest_version_takes_over_and_raises_the_revision(
    chain: list[Version], registry: ModelRegistry
) -> None:
    assert active_id(registry) == chain[2].id
    lineage = registry.find_lineage(KEY)
    assert lineage is not None
    assert (lineage.revision, lineage.newest_version) == (3, "1.0.2")
    assert [found.is_active for found in registry.history(KEY)] == [False, False, True]


@pytest.mark.parametrize("revision", [0, 2, 4])
def test_a_version_decided_on_another_state_of_the_lineage_is_not_added(
    chain: list[Version], add: Add, registry: ModelRegistry, revision: int
) -> None:
    with pytest.raises(LineageChanged):
        add(version("1.0.3"), expected_revision=revision)
    assert len(registry.history(KEY)) == 3
    assert active_id(registry) == chain[2].id


def test_a_lineage_that_is_not_there_has_no_later_revision(add: Add, registry: ModelRegistry) -> None:
    with pytest.raises(LineageChanged):
        add(version(), expected_revision=1)
    assert registry.find_lineage(KEY) is None


def test_a_version_number_and_a_job_make_one_version_at_most(chain: list[Version], add: Add) -> None:
    with pytest.raises(LineageChanged):
        add(version("1.0.1"))
    with pytest.raises(LineageChanged):
        add(version("1.0.3", job_id=chain[0].job_id))


@pytest.mark.parametrize("there", [False, True])
def test_of_versions_added_at_the_same_time_one_wins(add: Add, registry: ModelRegistry, there: bool) -> None:
    if there:
        add(version("0.9.0"))
    start = threading.Barrier(4)

    def racing(number: int) -> bool:
        start.wait(5)
        try:
            add(version(f"1.0.{number}"), expected_revision=int(there))
        except LineageChanged:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert Counter(pool.map(racing, range(4))) == {True: 1, False: 3}
    assert len(registry.history(KEY)) == 1 + there
    assert active_id(registry) == registry.history(KEY)[-1].id


def test_an_aborted_transaction_leaves_no_version(mongo_client: Client, registry: ModelRegistry) -> None:
    def work(tx: Any) -> None:
        registry.add_version(version(), expected_revision=0, tx=tx)
        raise RuntimeError("the worker dies here")

    with pytest.raises(RuntimeError):
        in_transaction(mongo_client, work)
    assert registry.history(KEY) == ()
    assert registry.find_lineage(KEY) is None


def test_activating_moves_backward_and_forward(chain: list[Version], registry: ModelRegistry) -> None:
    for wanted in (chain[0], chain[2], chain[2]):
        activated = registry.activate(DRIVER, wanted.id)
        assert (activated.id, activated.is_active) == (wanted.id, True)
        assert active_id(registry) == wanted.id
    lineage = registry.find_lineage(KEY)
    assert lineage is not None
    assert (lineage.revision, lineage.newest_version) == (5, "1.0.2")  # the third call changed nothing


def test_racing_activations_all_succeed_and_leave_one_active(
    chain: list[Version], registry: ModelRegistry
) -> None:
    start = threading.Barrier(4)

    def racing(index: int) -> str:
        start.wait(5)
        return registry.activate(DRIVER, chain[index % 2].id).id

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(racing, range(4))) == [chain[index % 2].id for index in range(4)]
    assert sum(found.is_active for found in registry.history(KEY)) == 1
    assert active_id(registry) in {chain[0].id, chain[1].id}


def test_a_reader_sees_an_active_version_at_every_moment(
    chain: list[Version], registry: ModelRegistry
) -> None:
    stop = threading.Event()

    def reading() -> Counter[str | None]:
        seen: Counter[str | None] = Counter()
        while not stop.is_set():
            found = registry.find_active(KEY)
            seen[found.id if found else None] += 1
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(reading) for _ in range(2)]
        for turn in range(40):
            registry.activate(DRIVER, chain[turn % 2].id)
        stop.set()
        seen = readers[0].result(5) + readers[1].result(5)
    assert seen[None] == 0
    assert seen[chain[0].id] > 0
    assert seen[chain[1].id] > 0


def test_another_drivers_version_cannot_be_seen_or_touched(
    chain: list[Version], registry: ModelRegistry
) -> None:
    model_id = chain[0].id
    for attempt in (
        registry.get_version,
        registry.activate,
        registry.remove,
        lambda user_id, version_id: registry.rename(user_id, version_id, model_name="mine"),
    ):
        with pytest.raises(ModelNotFound):
            attempt(STRANGER, model_id)
    assert registry.versions(STRANGER, "monza", limit=10).items == ()
    assert registry.get_version(DRIVER, model_id).model_name == "Monza"
    assert active_id(registry) == chain[2].id


def test_versions_come_newest_first_in_pages(chain: list[Version], registry: ModelRegistry) -> None:
    first = registry.versions(DRIVER, "monza", limit=2)
    assert [found.model_version for found in first.items] == ["1.0.2", "1.0.1"]
    rest = registry.versions(DRIVER, "monza", limit=2, cursor=first.next_cursor)
    assert [found.model_version for found in rest.items] == ["1.0.0"]
    assert rest.next_cursor is None


def test_in_lists_versions_come_without_the_laps_predicted_and_else_whole(
    add: Add, registry: ModelRegistry
) -> None:
    brief = {"mae": 0.2, "drifts": [], "sessions": {"s1": {"mae": 0.1}, "s2": {"mae": 0.3}}}
    whole = brief | {"sessions": {"s1": {"mae": 0.1, "predictions": {"lap": [1]}}, "s2": {"mae": 0.3}}}
    told = [None, {"mae": 0.2}, whole]
    made = [add(version(f"1.0.{index}", validation_results=one)) for index, one in enumerate(told)]
    history = registry.history(KEY)
    assert [one.validation_results for one in history] == [None, {"mae": 0.2}, brief]
    newest = registry.get_version(DRIVER, made[2].id)
    assert newest.validation_results == whole
    assert history[2] == replace(newest, validation_results=brief)
    assert {one.id: one for one in registry.versions(DRIVER, "monza", limit=3).items} == {
        one.id: one for one in history
    }
    assert registry.active_versions(DRIVER) == (history[2],)
    assert registry.find_all({made[2].id: DRIVER}) == {made[2].id: history[2]}


def test_versions_are_chosen_by_type_and_activity(
    chain: list[Version], add: Add, registry: ModelRegistry
) -> None:
    sectors = replace(KEY, model_type=ModelType.SECTOR_ANALYSIS)
    other = add(version(key=sectors))
    by_type = registry.versions(DRIVER, "monza", ModelType.SECTOR_ANALYSIS, limit=10)
    assert [found.id for found in by_type.items] == [other.id]
    active = registry.versions(DRIVER, "monza", active_only=True, limit=10)
    assert {found.id for found in active.items} == {other.id, chain[2].id}
    assert registry.active_among([KEY.id, sectors.id, "another"]) == {KEY.id, sectors.id}


def test_history_follows_the_numbers_not_their_letters(add: Add, registry: ModelRegistry) -> None:
    for number in ("1.0.9", "1.0.10", "2.0.0", "10.0.0"):
        add(version(number))
    assert [found.model_version for found in registry.history(KEY)] == ["1.0.9", "1.0.10", "2.0.0", "10.0.0"]


def test_the_version_made_before_one_is_of_its_lineage_and_the_last_that_is_older(
    chain: list[Version], add: Add, registry: ModelRegistry
) -> None:
    other = replace(KEY, model_type=ModelType.SECTOR_ANALYSIS)
    add(version(key=other, created_at=BEGINNING + timedelta(hours=1, minutes=30)))
    anew = add(version("2.0.0", created_at=BEGINNING + timedelta(hours=3)))
    assert [found and found.id for found in map(registry.find_before, (anew, chain[2], chain[0]))] == [
        chain[2].id,
        chain[1].id,
        None,
    ]


def test_renaming_changes_only_what_is_given(chain: list[Version], registry: ModelRegistry) -> None:
    registry.rename(DRIVER, chain[0].id, model_name="Race pace")
    renamed = registry.rename(DRIVER, chain[0].id, description="dry laps")
    assert (renamed.model_name, renamed.description) == ("Race pace", "dry laps")
    assert renamed.updated_at > BEGINNING
    unchanged: dict[str, Any] = {
        "model_name": "Monza",
        "description": "",
        "updated_at": BEGINNING,
        "is_active": True,
    }
    assert replace(renamed, **unchanged) == chain[0]


def test_removing_the_active_version_activates_its_nearest_ancestor_left(
    chain: list[Version], add: Add, registry: ModelRegistry
) -> None:
    add(version("2.0.0"))
    registry.activate(DRIVER, chain[2].id)
    registry.remove(DRIVER, chain[1].id)
    assert active_id(registry) == chain[2].id
    registry.remove(DRIVER, chain[2].id)
    assert active_id(registry) == chain[0].id


def test_removing_a_version_makes_its_children_those_of_its_parent(
    chain: list[Version], registry: ModelRegistry
) -> None:
    registry.remove(DRIVER, chain[1].id)
    assert [found.parent_id for found in registry.history(KEY)] == [None, chain[0].id]
    registry.remove(DRIVER, chain[0].id)
    assert [found.parent_id for found in registry.history(KEY)] == [None]


def test_removing_an_active_version_without_ancestors_activates_the_newest(
    chain: list[Version], registry: ModelRegistry
) -> None:
    registry.activate(DRIVER, chain[0].id)
    registry.remove(DRIVER, chain[0].id)
    assert active_id(registry) == chain[2].id


def test_a_lineage_without_versions_goes_on_where_its_numbers_ended(
    chain: list[Version], add: Add, registry: ModelRegistry
) -> None:
    for removed in chain:
        registry.remove(DRIVER, removed.id)
    assert active_id(registry) is None
    assert registry.active_among([KEY.id]) == set()
    lineage = registry.find_lineage(KEY)
    assert lineage is not None
    assert lineage.newest_version == "1.0.2"
    again = add(version("2.0.0"))
    assert active_id(registry) == again.id


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with MongoClient[Document](f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=100) as client:
        registry = ModelRegistry(client, client["gone"])
        attempts: list[Callable[[], object]] = [
            lambda: registry.get_version(DRIVER, new_id()),
            lambda: registry.find_active(KEY),
            lambda: Artifacts(client["gone"]).put(new_id(), b"data"),
        ]
        for attempt in attempts:
            with pytest.raises(Unavailable):
                attempt()


@pytest.fixture
def artifacts(database: Database[Document]) -> Artifacts:
    return Artifacts(database)


def test_a_binary_is_gone_once_it_is_removed(artifacts: Artifacts, database: Database[Document]) -> None:
    model_id = new_id()
    artifacts.put(model_id, b"data")
    assert artifacts.read(model_id, size=4) == b"data"
    artifacts.remove(model_id)
    artifacts.remove(model_id)
    with pytest.raises(ModelNotFound):
        artifacts.read(model_id, size=4)
    assert database["models.chunks"].count_documents({}) == 0


def test_a_binary_of_another_size_or_with_a_part_missing_is_refused(
    artifacts: Artifacts, database: Database[Document]
) -> None:
    model_id, data = new_id(), bytes(600_000)
    artifacts.put(model_id, data)
    with pytest.raises(ArtifactRefused, match="600000 bytes instead of 5"):
        artifacts.read(model_id, size=5)
    database["models.chunks"].delete_one({"files_id": model_id, "n": 1})
    with pytest.raises(ArtifactRefused, match="cannot be read"):
        artifacts.read(model_id, size=len(data))


@pytest.mark.parametrize("size", [0, 4, DEFAULT_CHUNK_SIZE, DEFAULT_CHUNK_SIZE + 1])
def test_a_file_of_any_size_lies_there_as_gridfs_reads_it(
    artifacts: Artifacts, database: Database[Document], size: int
) -> None:
    file_id, data = new_id(), bytes(size)
    assert artifacts.get(file_id) is None
    artifacts.put(file_id, data)
    stored = GridFSBucket(database, bucket_name="models").open_download_stream(file_id)
    assert (stored.read(), stored.length, stored.filename) == (data, size, file_id)
    assert artifacts.get(file_id) == data


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_file_with_a_part_missing_is_not_read_as_if_it_were_whole(
    artifacts: Artifacts, database: Database[Document], part: int
) -> None:
    file_id = new_id()
    artifacts.put(file_id, bytes(600_000))
    database["models.chunks"].delete_one({"files_id": file_id, "n": part})
    with pytest.raises(CorruptGridFile):
        artifacts.get(file_id)


def test_the_sweep_removes_old_binaries_without_a_version_and_no_others(
    artifacts: Artifacts, add: Add, database: Database[Document]
) -> None:
    limit = utc_now() - timedelta(hours=1)
    orphan, broken_off, kept = (str(ObjectId.from_datetime(limit - timedelta(days=day))) for day in (1, 2, 3))
    fresh = new_id()
    add(version(id=kept))
    for model_id in (orphan, broken_off, kept, fresh):
        artifacts.put(model_id, bytes(600_000))
    database["models.files"].delete_one({"_id": broken_off})
    assert artifacts.sweep(limit) == 2
    assert {file["_id"] for file in database["models.files"].find()} == {kept, fresh}
    assert set(database["models.chunks"].distinct("files_id")) == {kept, fresh}
    assert artifacts.sweep(limit) == 0


def a_lap(number: int) -> Lap:
    position = np.linspace(0.01, 0.99, 50)
    return Lap(
        number=number,
        lap_time=90.0 + number % 3,
        valid=True,
        reason=None,
        sector_times=(30.0, 30.0, 30.0 + number % 3),
        outing=0,
        position=position,
        time=position * (90.0 + number % 3),
        channels={"speed": np.full(50, 200, np.float32)},
        context={},
    )


SESSION = SessionLaps(laps=tuple(map(a_lap, range(1, 6))))
JOB = Job(
    id=new_id(),
    user_id=DRIVER,
    kind=JobKind.TRAIN,
    status=JobStatus.RUNNING,
    track_name=KEY.track_name,
    model_type=KEY.model_type,
    session_ids=("s1",),
    queued_at=BEGINNING,
)
TRAINING = Training(
    key=KEY, number="1.0.0", parent=None, job=JOB, session_ids=("s1",), validation={"laps": 5}, duration=0.5
)


@pytest.fixture
def model() -> RacingModel[Any]:
    trained = create_model(KEY.model_type)
    trained.learn_session(SESSION)
    return trained


@pytest.fixture
def store(database: Database[Document], registry: ModelRegistry) -> ModelStore:
    return ModelStore(
        database,
        registry=registry,
        cache=ModelCache(1 << 20),
        keys=KeyRing(b"a key of the tests"),
        max_bytes=32 << 20,
    )


def test_a_prepared_version_says_what_its_model_knows(store: ModelStore, model: RacingModel[Any]) -> None:
    made = store.prepare(model, TRAINING)
    metrics = model.metrics()
    assert made.model_name == "monza lap time prediction"
    assert (made.algorithm, made.parent_id, made.job_id) == ("expert_mixture", None, JOB.id)
    assert made.training_session_ids == ("s1",)
    assert made.model_metadata == {
        "modelType": "lap_time_prediction",
        "trainingSessionsCount": 1,
        "lapsLearned": 5,
        "accuracy": metrics["accuracy"],
        "mse": metrics["mse"],
        "mae": metrics["mae"],
        "rmse": metrics["rmse"],
        "features": list(model.features),
        "hyperparameters": model.hyperparameters,
        "lastTrainingDate": made.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "performanceMetrics": metrics,
        "riverVersion": metadata.version("river"),
    }


def test_a_version_is_named_by_its_job_else_by_its_parent(store: ModelStore, model: RacingModel[Any]) -> None:
    named = replace(JOB, parameters={"modelName": "Race pace", "description": "dry laps"})
    parent = store.prepare(model, replace(TRAINING, job=named))
    child = store.prepare(model, replace(TRAINING, parent=parent))
    assert (parent.model_name, parent.description) == ("Race pace", "dry laps")
    assert (child.model_name, child.description, child.parent_id) == ("Race pace", "dry laps", parent.id)


def test_a_model_comes_back_shared_for_predicting_and_alone_for_learning(
    store: ModelStore, add: Add, model: RacingModel[Any], registry: ModelRegistry
) -> None:
    made = registry.get_version(DRIVER, add(store.prepare(model, TRAINING)).id)
    shared, own = store.load(made), store.load_copy(made)
    assert store.load(made) is shared
    own.learn_session(SESSION)
    assert (shared.laps_learned, own.laps_learned) == (5, 10)
    assert shared.metrics() == model.metrics()


def test_a_small_binary_is_written_by_the_transaction_it_is_given_or_not_at_all(
    store: ModelStore, model: RacingModel[Any], mongo_client: Client, database: Database[Document]
) -> None:
    draft = store.draft(model, TRAINING)

    def break_off(tx: ClientSession) -> None:
        store.write(draft, tx=tx)
        raise LineageChanged

    with pytest.raises(LineageChanged):
        in_transaction(mongo_client, break_off)
    assert (database["models.chunks"].find_one(), database["models.files"].find_one()) == (None, None)
    in_transaction(mongo_client, lambda tx: store.write(draft, tx=tx))
    assert store.load(draft.version).metrics() == model.metrics()


def test_a_model_over_16_megabytes_works_like_any_other(
    store: ModelStore, model: RacingModel[Any], mongo_client: Client
) -> None:
    ballast = np.random.default_rng(1).random(18 << 17)
    model.ballast = ballast  # type: ignore[attr-defined]
    draft = store.draft(model, TRAINING)
    assert draft.version.compressed_size > 16 << 20
    in_transaction(mongo_client, lambda tx: store.write(draft, tx=tx))
    np.testing.assert_array_equal(store.load(draft.version).ballast, ballast)  # type: ignore[attr-defined]


def test_binaries_swapped_between_versions_or_drivers_are_refused(
    store: ModelStore, model: RacingModel[Any], database: Database[Document]
) -> None:
    own = store.prepare(model, TRAINING)
    others = store.prepare(model, replace(TRAINING, key=replace(KEY, user_id=STRANGER)))
    data = Artifacts(database).read(own.id, size=own.compressed_size)
    Artifacts(database).remove(others.id)
    Artifacts(database).put(others.id, data)
    described_alike = replace(
        others,
        sha256=own.sha256,
        hmac=own.hmac,
        compressed_size=own.compressed_size,
        model_size=own.model_size,
    )
    with pytest.raises(ModelUnreadable, match="not signed for this version"):
        store.load(described_alike)
    with pytest.raises(ModelUnreadable, match="not signed for this version"):
        store.load(replace(described_alike, user_id=DRIVER))


def test_a_binary_altered_in_the_database_is_refused(
    store: ModelStore, model: RacingModel[Any], database: Database[Document]
) -> None:
    made = store.prepare(model, TRAINING)
    chunk = database["models.chunks"].find_one({"files_id": made.id})
    assert chunk is not None
    altered = bytearray(chunk["data"])
    altered[100] ^= 1
    database["models.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": bytes(altered)}})
    with pytest.raises(ModelUnreadable, match="digest"):
        store.load(made)


def test_a_discarded_or_removed_version_leaves_no_binary(
    store: ModelStore, add: Add, model: RacingModel[Any], database: Database[Document]
) -> None:
    store.discard(store.prepare(model, TRAINING))
    made = add(store.prepare(model, TRAINING))
    store.load(made)
    store.remove(DRIVER, made.id)
    assert database["models.files"].count_documents({}) == 0
    with pytest.raises(ModelNotFound):
        store.load(made)


def test_a_driver_who_leaves_takes_all_versions_lineages_and_binaries_along(
    store: ModelStore, add: Add, model: RacingModel[Any], database: Database[Document]
) -> None:
    stranger: dict[str, Any] = {"key": replace(KEY, user_id=STRANGER), "job": replace(JOB, id=new_id())}
    strangers = add(store.prepare(model, replace(TRAINING, **stranger)))
    add(store.prepare(model, TRAINING))
    add(store.prepare(model, replace(TRAINING, number="1.0.1", job=replace(JOB, id=new_id()))))
    store.remove_all(DRIVER)
    for collection in ("aimodels", "models.files"):
        assert [found["_id"] for found in database[collection].find()] == [strangers.id]
    assert [found["userId"] for found in database["lineages"].find()] == [STRANGER]
    assert database["models.chunks"].distinct("files_id") == [strangers.id]


def test_a_signed_binary_of_something_else_is_refused(store: ModelStore, model: RacingModel[Any]) -> None:
    made = store.prepare(model, TRAINING)
    other = replace(made, model_type=ModelType.SECTOR_ANALYSIS)
    with pytest.raises(ModelUnreadable, match="something else than the model its version tells of"):
        store.load_copy(other)
