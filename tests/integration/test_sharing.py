"""Sharing through HTTP: read and predict only, revocable at once, and nothing of the owner's sessions."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest

from app.container import Container
from app.domain import Version, utc_now
from app.errors import TooManyShares
from app.services import sharing
from tests.factories import TRACK
from tests.integration.drivers import FRAME, LAP_TIME, Driver, NewDriver


@pytest.fixture
def owner(new_driver: NewDriver) -> Driver:
    return new_driver("max")


@pytest.fixture
def reader(new_driver: NewDriver) -> Driver:
    return new_driver("lewis")


@pytest.fixture
def version(owner: Driver) -> Version:
    """The owner's newest of two versions."""
    owner.grow(1)
    return owner.grow(2)


@pytest.fixture
def shared(owner: Driver, reader: Driver, version: Version) -> Version:
    """The version, shared with the reader."""
    assert owner.status("POST", f"/ai-model/{version.id}/share", {"email": reader.email}) == 201
    return version


def ids_in(answers: list[Any], ids: tuple[str, ...]) -> list[str]:
    text = json.dumps(answers)
    return [one for one in ids if one in text]


def test_a_reader_reads_and_predicts_and_learns_nothing_of_sessions(
    owner: Driver, reader: Driver, shared: Version
) -> None:
    answers = [
        reader.get(f"/ai-model/{shared.id}"),
        reader.get(f"/model/metrics/{shared.id}"),
        reader.get("/ai-model/shared-with-me"),
        reader.predict(shared.id),
    ]
    assert shared.parent_id is not None
    assert shared.job_id is not None
    private = (*shared.training_session_ids, shared.parent_id, shared.job_id, owner.email)
    assert ids_in(answers, private) == []
    assert ids_in([owner.get(f"/ai-model/{shared.id}")], private) == [
        *shared.training_session_ids,
        shared.parent_id,
    ], "to the owner they are shown"
    model, metrics, received, prediction = answers
    assert (model["trainingSessionIds"], model["validationResults"], model["parentId"]) == ([], None, None)
    assert metrics["mae"] == model["modelMetadata"]["mae"] == shared.model_metadata["mae"]
    assert "latest" in shared.model_metadata["performanceMetrics"]
    assert "latest" not in metrics["performanceMetrics"]
    assert [item["ownerName"] for item in received["items"]] == ["Max"]
    own_prediction = owner.predict(shared.id)
    assert prediction == own_prediction


def test_a_revoked_share_refuses_the_next_request_whatever_is_cached(
    owner: Driver, reader: Driver, shared: Version
) -> None:
    reader.predict(shared.id)
    assert owner.status("DELETE", f"/ai-model/{shared.id}/share/{reader.id}") == 204
    reader.predict(shared.id, status=404)
    assert reader.status("GET", f"/ai-model/{shared.id}") == 404
    assert reader.status("GET", f"/model/metrics/{shared.id}") == 404
    assert reader.get("/ai-model/shared-with-me")["items"] == []
    assert owner.get(f"/ai-model/{shared.id}/shares")["items"] == []
    assert owner.status("DELETE", f"/ai-model/{shared.id}/share/{reader.id}") == 404
    owner.predict(shared.id)


def test_everything_else_is_as_if_there_were_no_such_model(
    owner: Driver, reader: Driver, shared: Version
) -> None:
    own_session = reader.grow(3).training_session_ids[0]
    path, before = f"/ai-model/{shared.id}", owner.get(f"/ai-model/{shared.id}")
    increment = {"modelId": shared.id, "newSessionIds": [own_session]}
    attempts: list[tuple[str, str, Any]] = [
        ("PUT", path, {"modelName": "mine now"}),
        ("DELETE", path, None),
        ("POST", f"{path}/activate", {}),
        ("POST", f"{path}/share", {"email": "friend@example.org"}),
        ("GET", f"{path}/shares", None),
        ("DELETE", f"{path}/share/{reader.id}", None),
        ("POST", "/model/incremental-training", increment),
        ("POST", "/model/validate", {"modelId": shared.id, "sessionIds": [own_session]}),
        ("POST", "/model/validate", {"modelId": shared.id, "sessionIds": [shared.training_session_ids[0]]}),
        ("GET", f"/racing-session/{shared.training_session_ids[0]}", None),
    ]
    statuses = [reader.status(*attempt) for attempt in attempts]
    assert statuses == [404] * len(attempts)
    assert owner.get(path) == before
    assert [item["userId"] for item in owner.get(f"{path}/shares")["items"]] == [reader.id]


def test_a_shared_model_is_not_among_the_readers_own(reader: Driver, shared: Version) -> None:
    assert reader.get(f"/ai-model/user/{TRACK}")["items"] == []
    assert reader.status("GET", f"/ai-model/active/{TRACK}/{LAP_TIME}") == 404
    assert reader.get(f"/ai-model/performance-history/{TRACK}/{LAP_TIME}") == {"versions": []}
    assert reader.get(f"/ai-model/activations/{TRACK}/{LAP_TIME}")["items"] == []
    reader.predict(status=404)


def test_a_share_is_of_one_version_alone(owner: Driver, reader: Driver, shared: Version) -> None:
    newer = owner.grow(3)
    assert newer.parent_id == shared.id
    reader.predict(newer.id, status=404)
    reader.predict(shared.id)


def test_sharing_twice_is_one_share(owner: Driver, reader: Driver, shared: Version) -> None:
    path = f"/ai-model/{shared.id}/share"
    again = owner.ask("POST", path, {"email": f" {reader.email.upper()} "})
    assert again.status_code == 201
    assert owner.get(f"{path}s")["items"] == [again.json]
    assert again.json == {
        "modelId": shared.id,
        "userId": reader.id,
        "email": reader.email,
        "createdAt": again.json["createdAt"],  # type: ignore[index]
    }


@pytest.mark.parametrize("email", ["max@example.org", "MAX@example.org", "nobody", ""])
def test_with_oneself_or_with_what_is_no_address_nothing_is_shared(
    owner: Driver, version: Version, email: str
) -> None:
    answer = owner.ask("POST", f"/ai-model/{version.id}/share", {"email": email})
    assert answer.status_code == 422
    assert list(answer.json["error"]["details"]) == ["email"]  # type: ignore[index]
    assert owner.get(f"/ai-model/{version.id}/shares")["items"] == []


def test_only_ones_own_models_can_be_shared_and_only_their_shares_revoked(
    owner: Driver, reader: Driver, shared: Version
) -> None:
    own = reader.grow(3)
    assert owner.status("POST", f"/ai-model/{own.id}/share", {"email": "a@example.org"}) == 404
    assert owner.status("GET", f"/ai-model/{own.id}/shares") == 404
    assert owner.status("DELETE", f"/ai-model/{own.id}/share/{reader.id}") == 404
    assert owner.status("DELETE", f"/ai-model/{shared.id}/share/{owner.id}") == 404


def test_an_address_without_an_account_gets_the_same_answer_and_its_share_waits(
    owner: Driver, reader: Driver, shared: Version, new_driver: NewDriver
) -> None:
    path = f"/ai-model/{shared.id}/share"
    answer = owner.ask("POST", path, {"email": "george@example.org"})
    assert answer.status_code == 201
    items = owner.get(f"{path}s")["items"]
    assert [item.keys() for item in items] == [items[1].keys()] * 2
    assert [item["email"] for item in items] == ["george@example.org", reader.email]
    george = new_driver("george")
    assert items[0]["userId"] == george.id
    george.predict(shared.id)
    assert owner.get(f"{path}s")["items"] == items, "that the account was opened shows nowhere"


def test_a_share_that_waits_can_be_revoked(owner: Driver, version: Version, new_driver: NewDriver) -> None:
    path = f"/ai-model/{version.id}/share"
    waiting = owner.ask("POST", path, {"email": "george@example.org"}).json
    assert owner.status("DELETE", f"{path}/{waiting['userId']}") == 204  # type: ignore[index]
    assert new_driver("george").status("GET", f"/ai-model/{version.id}") == 404


def test_both_sides_list_their_shares_in_pages(owner: Driver, reader: Driver, version: Version) -> None:
    for index, model_id in enumerate([version.id, version.parent_id]):
        owner.ask("POST", f"/ai-model/{model_id}/share", {"email": reader.email})
        owner.ask("POST", f"/ai-model/{version.id}/share", {"email": f"friend{index}@example.org"})
    given = owner.get(f"/ai-model/{version.id}/shares?limit=2")
    rest = owner.get(f"/ai-model/{version.id}/shares?limit=2&cursor={given['nextCursor']}")
    assert [item["email"] for item in given["items"] + rest["items"]] == [
        "friend1@example.org",
        "friend0@example.org",
        reader.email,
    ]
    received = reader.get("/ai-model/shared-with-me?limit=1")
    rest = reader.get(f"/ai-model/shared-with-me?limit=1&cursor={received['nextCursor']}")
    assert [item["id"] for item in received["items"] + rest["items"]] == [version.parent_id, version.id]
    assert rest["nextCursor"] is None


def test_a_model_has_a_limit_of_shares_also_when_they_are_asked_for_at_once(
    owner: Driver, version: Version, platform: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "MAX_SHARES", 2)
    together = Barrier(6)

    def share(index: int) -> bool:
        together.wait(5)
        try:
            platform.sharing.share(owner.id, version.id, f"friend{index}@example.org")
        except TooManyShares:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert Counter(pool.map(share, range(6))) == {True: 2, False: 4}
    items = owner.get(f"/ai-model/{version.id}/shares")["items"]
    assert len(items) == 2
    path = f"/ai-model/{version.id}/share"
    assert owner.status("POST", path, {"email": items[0]["email"]}) == 201
    refused = owner.ask("POST", path, {"email": "one.more@example.org"})
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "too_many_shares")  # type: ignore[index]
    owner.status("DELETE", f"{path}/{items[0]['userId']}")
    assert owner.status("POST", path, {"email": "one.more@example.org"}) == 201


def test_a_removed_version_is_shared_no_more(
    owner: Driver, reader: Driver, shared: Version, platform: Container
) -> None:
    reader.predict(shared.id)
    assert owner.status("DELETE", f"/ai-model/{shared.id}") == 204
    reader.predict(shared.id, status=404)
    assert reader.get("/ai-model/shared-with-me") == {"items": [], "nextCursor": None}
    assert platform.mongo_client[platform.settings.database]["shares"].count_documents({}) == 0


@pytest.mark.parametrize("who", ["owner", "reader"])
def test_who_leaves_takes_the_shares_given_and_received_along(
    owner: Driver, reader: Driver, shared: Version, platform: Container, who: str
) -> None:
    leaving, staying = (owner, reader) if who == "owner" else (reader, owner)
    assert leaving.status("DELETE", "/auth/me") == 204
    database = platform.mongo_client[platform.settings.database]
    assert database["shares"].count_documents({}) == 0
    assert database["addresses"].distinct("_id") == [staying.email]
    assert reader.status("GET", f"/ai-model/{shared.id}") == (404 if who == "owner" else 401)


def test_whoever_registers_the_address_of_one_who_left_gets_nothing_of_theirs(
    reader: Driver, shared: Version, new_driver: NewDriver
) -> None:
    assert reader.status("DELETE", "/auth/me") == 204
    again = new_driver("lewis")
    assert again.id != reader.id
    assert again.status("GET", f"/ai-model/{shared.id}") == 404


def test_revoking_while_a_cold_model_is_loaded_for_the_reader_refuses_the_next_request(
    owner: Driver, reader: Driver, shared: Version, platform: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, revoked = Event(), Event()
    load = platform.models._store.load_copy

    def slow(version: Version) -> Any:
        loading.set()
        assert revoked.wait(5)
        return load(version)

    monkeypatch.setattr(platform.models._store, "load_copy", slow)
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(reader.predict, shared.id)
        assert loading.wait(5)
        assert owner.status("DELETE", f"/ai-model/{shared.id}/share/{reader.id}") == 204
        revoked.set()
        assert begun.result(5)["modelId"] == shared.id, "it was allowed when it was asked"
    reader.predict(shared.id, status=404)


def test_predictions_with_a_shared_model_are_the_readers(
    owner: Driver, reader: Driver, shared: Version
) -> None:
    reader.predict(shared.id)
    assert reader.get("/analytics/usage")["totals"]["predictions"][LAP_TIME]["requests"] == 1
    assert owner.get("/analytics/usage")["totals"]["predictions"] == {}


def test_addresses_and_shares_that_lead_nowhere_are_tidied_away(
    owner: Driver, reader: Driver, shared: Version, platform: Container
) -> None:
    path = f"/ai-model/{shared.id}/share"
    for name in ("waiting", "revoked"):
        owner.ask("POST", path, {"email": f"{name}@example.org"})
    revoked = platform.sharing.share(owner.id, shared.id, "revoked@example.org")
    owner.ask("DELETE", f"{path}/{revoked.reader_id}")
    database = platform.mongo_client[platform.settings.database]
    platform.platform.tidy()
    assert database["addresses"].count_documents({}) == 4, "whoever has just asked may need it still"
    old = utc_now() - timedelta(days=2)
    database["addresses"].update_many({}, {"$set": {"askedAt": old}})
    database["shares"].update_many({}, {"$set": {"createdAt": old}})
    platform.platform.tidy()
    assert set(database["addresses"].distinct("_id")) == {owner.email, reader.email, "waiting@example.org"}
    assert database["shares"].count_documents({}) == 2
    database["aimodels"].delete_one({"_id": shared.id})  # as if its process had died before the shares went
    platform.platform.tidy()
    assert database["shares"].count_documents({}) == 0


def test_a_bad_row_is_not_counted_as_a_prediction(reader: Driver, shared: Version) -> None:
    body = {"modelId": shared.id, "inputData": FRAME | {"luck": 1}}
    assert reader.status("POST", "/model/predict", body) == 422
    assert reader.get("/analytics/usage")["totals"]["predictions"] == {}
