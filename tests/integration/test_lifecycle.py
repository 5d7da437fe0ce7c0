"""The life of versions and accounts: activated, removed, tidied away, whatever happens at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.domain import (
    IncrementRequest,
    JobStatus,
    LineageKey,
    ModelType,
    UploadStart,
    Version,
    utc_now,
)
from app.mongo import in_transaction
from models_store.activations import ActivationCause, Why
from models_store.store import Draft
from tests.factories import TRACK, a_version, new_session
from tests.integration.drivers import LAP_TIME, Driver, NewDriver

HISTORY = f"/ai-model/activations/{TRACK}/{LAP_TIME}"
Documents = Database[dict[str, Any]]


@pytest.fixture
def driver(new_driver: NewDriver) -> Driver:
    return new_driver("max")


@pytest.fixture
def chain(driver: Driver) -> list[Version]:
    """Three versions, each grown from the one before."""
    return [driver.grow(index) for index in (1, 2, 3)]


def active_id(driver: Driver) -> str:
    found: str = driver.get(f"/ai-model/active/{TRACK}/{LAP_TIME}")["id"]
    return found


def test_of_activations_at_once_one_version_is_active_and_the_history_is_of_one_line(
    driver: Driver, chain: list[Version], new_driver: NewDriver
) -> None:
    together = Barrier(4)
    clients = [driver.client.application.test_client() for _ in range(4)]

    def activate(index: int) -> int:
        together.wait(5)
        return (
            clients[index]
            .post(
                f"/ai-model/{chain[index % 2].id}/activate",
                headers={"Authorization": driver.client.environ_base["HTTP_AUTHORIZATION"]},
            )
            .status_code
        )

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(activate, range(4))) == [200] * 4
    items = driver.get(f"/ai-model/user/{TRACK}")["items"]
    assert sum(item["isActive"] for item in items) == 1
    history = driver.get(HISTORY)["items"]
    assert history[0]["modelId"] == active_id(driver)
    assert [entry["previousId"] for entry in history] == [
        *(entry["modelId"] for entry in history[1:]),
        None,
    ], "each took the place of the one before"


def test_an_activation_in_the_place_of_another_than_the_active_one_is_refused(
    driver: Driver, chain: list[Version]
) -> None:
    first, second, third = (version.id for version in chain)
    path = f"/ai-model/{first}/activate"
    refused = driver.ask("POST", path, {"expectedActiveId": second})
    assert refused.status_code == 409
    error = refused.json["error"]  # type: ignore[index]
    assert (error["code"], error["details"]) == ("lineage_changed", {"activeModelId": third})
    assert active_id(driver) == third
    assert driver.status("POST", path, {"expectedActiveId": third}) == 200
    assert driver.status("POST", path, {"expectedActiveId": third}) == 200, "a repeat finds it done"
    assert active_id(driver) == first


def test_the_history_says_who_made_what_active_when_and_why(
    driver: Driver, chain: list[Version], new_driver: NewDriver
) -> None:
    first, second, third = chain
    driver.ask("POST", f"/ai-model/{second.id}/activate", {"reason": "the newest brakes too early"})
    driver.ask("DELETE", f"/ai-model/{second.id}")
    entries = driver.get(HISTORY)["items"]
    shown = [
        (entry["modelVersion"], entry["previousVersion"], entry["by"], entry["cause"], entry["reason"])
        for entry in entries
    ]
    assert shown == [
        ("1.0.0", "1.0.1", "platform", "inherited", "1.0.1 was removed"),
        ("1.0.1", "1.0.2", "driver", "chosen", "the newest brakes too early"),
        ("1.0.2", "1.0.1", "platform", "trained", None),
        ("1.0.1", "1.0.0", "platform", "trained", None),
        ("1.0.0", None, "platform", "trained", None),
    ]
    assert [entry["jobId"] for entry in entries] == [None, None, third.job_id, second.job_id, first.job_id]
    page = driver.get(f"{HISTORY}?limit=2")
    rest = driver.get(f"{HISTORY}?limit=200&cursor={page['nextCursor']}")
    assert page["items"] + rest["items"] == entries
    assert new_driver("lewis").get(HISTORY)["items"] == []


def test_a_version_between_others_is_removed_and_the_chain_holds(
    driver: Driver, chain: list[Version]
) -> None:
    first, second, third = chain
    assert driver.status("DELETE", f"/ai-model/{second.id}") == 204
    left = driver.get(f"/ai-model/{third.id}")
    assert (left["parentId"], left["isActive"]) == (first.id, True)
    assert left["trainingSessionIds"] == list(third.training_session_ids)
    versions = driver.get(f"/ai-model/performance-history/{TRACK}/{LAP_TIME}")["versions"]
    assert [version["version"] for version in versions] == ["1.0.0", "1.0.2"]


def test_without_any_version_left_the_next_upload_starts_the_lineage_again(
    driver: Driver, chain: list[Version]
) -> None:
    for version in chain:
        assert driver.status("DELETE", f"/ai-model/{version.id}") == 204
    assert driver.status("GET", f"/ai-model/active/{TRACK}/{LAP_TIME}") == 404
    driver.predict(status=404)
    again = driver.grow(4)
    assert (again.model_version, again.parent_id, len(again.training_session_ids)) == ("2.0.0", None, 1)
    assert active_id(driver) == again.id


def test_a_training_whose_base_was_removed_fails_and_says_what_to_do(
    driver: Driver, chain: list[Version], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = container.sessions.add(driver.id, new_session(driver.folder, index=4), False)
    asked = IncrementRequest(model_id=chain[1].id, session_ids=(session.id,))
    job = container.training.increment(driver.id, asked)
    learn = container.runs._lessons.learn

    def remove_meanwhile(*arguments: Any) -> Any:
        outcome = learn(*arguments)
        container.models.remove(driver.id, chain[1].id)
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", remove_meanwhile)
    container.runs.run(job.id)
    assert container.jobs.get(driver.id, job.id).status is JobStatus.QUEUED, "the lineage had changed"
    container.runs.run(job.id)
    failed = driver.get(f"/jobs/{job.id}")
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_not_found")
    assert "ask again" in failed["error"]["message"]
    versions = driver.get(f"/ai-model/performance-history/{TRACK}/{LAP_TIME}")["versions"]
    assert [version["version"] for version in versions] == ["1.0.0", "1.0.2"]


def test_an_automatic_training_whose_base_was_removed_grows_what_is_active_then(
    driver: Driver, chain: list[Version], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, (job,) = container.sessions.add(driver.id, new_session(driver.folder, index=4), True)
    learn = container.runs._lessons.learn
    removed: list[str] = []

    def remove_meanwhile(*arguments: Any) -> Any:
        outcome = learn(*arguments)
        if not removed:
            container.models.remove(driver.id, chain[2].id)
            removed.append(chain[2].id)
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", remove_meanwhile)
    container.runs.run(job.id)
    container.runs.run(job.id)
    grown = container.models.active(driver.id, TRACK, ModelType.LAP_TIME_PREDICTION)
    assert (grown.model_version, grown.parent_id) == ("1.0.3", chain[1].id)
    assert grown.training_session_ids == (*chain[1].training_session_ids, session.id)


def test_removing_a_version_while_it_predicts_ends_in_an_answer_or_a_404(
    driver: Driver, chain: list[Version], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, second, third = chain
    load = container.models._store.load
    removed: list[str] = []

    def remove_first(version: Version) -> Any:
        if version.id == third.id and not removed:
            removed.append(version.id)
            container.models.remove(driver.id, version.id)
        return load(version)

    monkeypatch.setattr(container.models._store, "load", remove_first)
    answer = driver.predict()
    assert removed == [third.id]
    assert answer["modelId"] == second.id, "of the lineage there is always an active version"
    removed.clear()
    driver.predict(third.id, status=404)


@pytest.fixture
def lost(driver: Driver, container: Container) -> list[Version]:
    """A lineage with an active version and five challengers that never were active."""
    key = LineageKey(user_id=driver.id, track_name="monza", model_type=ModelType.LAP_TIME_PREDICTION)
    registry = container.runs._registry
    versions = [a_version(f"1.0.{patch}", key) for patch in range(6)]
    for revision, version in enumerate(versions):
        why = None if revision else Why(ActivationCause.TRAINED)
        in_transaction(
            container.mongo_client,
            lambda tx: registry.add_version(
                version,  # noqa: B023  # called at once
                expected_revision=revision,  # noqa: B023
                tx=tx,
                why=why,  # noqa: B023
            ),
        )
        container.runs._models._artifacts.put(version.id, b"data")
    return versions


def tidy(container: Container, **settings: Any) -> None:
    """What the hourly task does, with other settings."""
    with build_container(replace(container.settings, **settings)) as other:
        other.platform.tidy()


def left(driver: Driver) -> list[str]:
    path = f"/ai-model/performance-history/monza/{LAP_TIME}"
    return [version["version"] for version in driver.get(path)["versions"]]


def test_retention_keeps_the_newest_and_whatever_was_active(
    driver: Driver, lost: list[Version], container: Container, database: Documents
) -> None:
    driver.ask("POST", f"/ai-model/{lost[2].id}/activate")
    driver.ask("POST", f"/ai-model/{lost[0].id}/activate")
    tidy(container, keep_versions=2)
    assert left(driver) == ["1.0.0", "1.0.2", "1.0.4", "1.0.5"]
    assert database["models.files"].count_documents({}) == 4
    tidy(container, keep_versions=2)
    assert len(left(driver)) == 4
    assert active_of(driver) == lost[0].id


def active_of(driver: Driver) -> str:
    found: str = driver.get(f"/ai-model/active/monza/{LAP_TIME}")["id"]
    return found


def test_retention_keeps_what_is_shared_tried_or_used_by_an_unfinished_job(
    driver: Driver, lost: list[Version], container: Container, database: Documents
) -> None:
    driver.ask("POST", f"/ai-model/{lost[1].id}/share", {"email": "lewis@example.org"})
    session, _ = container.sessions.add(driver.id, new_session(driver.folder, index=1), False)
    database["sessions"].update_one({"_id": session.id}, {"$set": {"trackName": "monza"}})
    container.training.increment(driver.id, IncrementRequest(model_id=lost[2].id, session_ids=(session.id,)))
    container.training.validate(driver.id, lost[3].id, (session.id,))
    trial = {"challengerId": lost[4].id, "share": 0.5}
    driver.call("POST", f"/ai-model/{lost[0].id}/experiment", trial, status=201)
    tidy(container, keep_versions=1)
    assert len(left(driver)) == 6
    driver.call("DELETE", f"/ai-model/{lost[0].id}/experiment")
    tidy(container, keep_versions=1)
    assert left(driver) == ["1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.5"]


def test_retention_runs_with_the_other_chores_and_heeds_its_setting(
    driver: Driver, lost: list[Version], container: Container
) -> None:
    tidy(container)
    assert len(left(driver)) == 6
    assert container.settings.keep_versions == 20
    tidy(container, keep_versions=1)
    assert left(driver) == ["1.0.0", "1.0.5"]


def test_tidying_while_a_version_is_written_leaves_its_binary(
    driver: Driver, chain: list[Version], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (job,) = container.sessions.add(driver.id, new_session(driver.folder, index=4), True)
    commit = container.runs._commit
    tidied: list[str] = []

    def tidy_first(job_: Any, draft: Draft, *arguments: Any, **options: Any) -> Any:
        container.platform.tidy()
        tidied.append(draft.version.id)
        return commit(job_, draft, *arguments, **options)

    monkeypatch.setattr("models_store.store.is_small", lambda _data: False)  # that it is there before
    monkeypatch.setattr(container.runs, "_commit", tidy_first)
    container.runs.run(job.id)
    assert tidied == [active_id(driver)]
    driver.predict()


def test_an_old_upload_is_not_tidied_away_while_it_is_completed(
    driver: Driver, container: Container, database: Documents
) -> None:
    start = UploadStart(session_name="slow", track_name=TRACK)
    upload_id = container.uploads.start(driver.id, start)
    container.uploads.add_chunk(driver.id, upload_id, 0, [{"speed": 1.0}])
    database["uploads"].update_one({"_id": upload_id}, {"$set": {"createdAt": utc_now() - timedelta(days=8)}})
    store = container.uploads._uploads
    with store.completing(store.get(driver.id, upload_id)) as is_ours:
        assert is_ours
        container.platform.tidy()
        assert database["uploadchunks"].count_documents({}) == 1
    container.platform.tidy()
    assert database["uploadchunks"].count_documents({}) == database["uploads"].count_documents({}) == 0


def test_a_call_that_completes_an_upload_keeps_others_out_for_as_long_as_it_lives(
    driver: Driver, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.uploads.COMPLETING", timedelta(seconds=0.3))
    upload_id = container.uploads.start(driver.id, UploadStart(session_name="slow", track_name=TRACK))
    store = container.uploads._uploads
    with store.completing(store.get(driver.id, upload_id)) as is_ours:
        time.sleep(0.9)
        with store.completing(store.get(driver.id, upload_id)) as is_anothers:
            assert (is_ours, is_anothers) == (True, False)


def test_a_call_that_died_completing_an_upload_keeps_nobody_out_for_long(
    driver: Driver, container: Container, database: Documents
) -> None:
    upload_id = container.uploads.start(driver.id, UploadStart(session_name="cut off", track_name=TRACK))
    store = container.uploads._uploads
    begun = {"completingBy": "a dead call", "completingUntil": utc_now() - timedelta(milliseconds=1)}
    database["uploads"].update_one({"_id": upload_id}, {"$set": begun})
    with store.completing(store.get(driver.id, upload_id)) as is_ours:
        assert is_ours


def test_a_removal_that_was_cut_off_is_ended_by_the_sweep(
    driver: Driver,
    chain: list[Version],
    container: Container,
    database: Documents,
    new_driver: NewDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lewis = new_driver("lewis")
    for giver, taker, model_id in ((driver, lewis, chain[0].id), (lewis, driver, lewis.grow(1).id)):
        assert giver.status("POST", f"/ai-model/{model_id}/share", {"email": taker.email}) == 201
    driver.predict()
    driver.get("/analytics/usage")
    with monkeypatch.context() as patched:
        removers = container.accounts._removers
        patched.setattr(container.accounts, "_removers", (*removers[:3], die))
        with pytest.raises(SystemExit):
            container.accounts.remove(driver.id)
    assert database["sessions"].count_documents({"userId": driver.id}) == 3, "it really was cut off"
    login = {"email": driver.email, "password": "a long pass phrase"}
    assert driver.status("POST", "/auth/login", login) == 401, "for its driver the account is gone"
    container.platform.sweep()
    assert database["users"].count_documents({"_id": driver.id}) == 1, "another may be at it still"
    long_ago = utc_now() - timedelta(minutes=6)
    database["users"].update_one({"_id": driver.id}, {"$set": {"removedAt": long_ago}})
    container.platform.sweep()
    assert documents_of(database, driver.id) == {"tokenfamilies": 1}, "which says that the tokens are void"
    assert database["models.files"].count_documents({}) == 1, "the other driver's"
    assert database["telemetry.files"].count_documents({}) == database["laps.files"].count_documents({}) == 1
    assert database["usagebatches"].count_documents({}) == 1
    assert lewis.get("/ai-model/shared-with-me")["items"] == []


def die(_user_id: str) -> None:
    raise SystemExit


def documents_of(database: Documents, user_id: str) -> dict[str, int]:
    """How many documents mention a driver, by collection, where there are any."""
    names = ("_id", "userId", "ownerId", "readerId")
    mentions = {"$or": [{name: user_id} for name in names]}
    counts = {name: database[name].count_documents(mentions) for name in database.list_collection_names()}
    return {name: count for name, count in counts.items() if count}
