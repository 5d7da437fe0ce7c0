"""Migrations bring data of an earlier form to the newest, and may run again."""

from importlib import import_module
from typing import Any

from pymongo.database import Database

from app.domain import LineageKey, ModelType, new_id
from app.mongo import to_document
from models_store.activations import Activations
from tests.factories import BEGINNING, a_version

DRIVER = new_id()
KEY = LineageKey(user_id=DRIVER, track_name="monza", model_type=ModelType.LAP_TIME_PREDICTION)


def test_earlier_versions_get_a_history_and_close_ranks_and_accounts_keep_their_ids(
    database: Database[dict[str, Any]],
) -> None:
    removed = [new_id(), new_id()]
    first = a_version("1.0.0", KEY, is_active=False)
    last = a_version("1.0.3", KEY, parent_id=removed[1])
    database["aimodels"].insert_many([to_document(first), to_document(last)])
    database["users"].insert_one({"_id": DRIVER, "email": "max@example.org", "createdAt": BEGINNING})
    ancestors = {removed[1]: removed[0], removed[0]: first.id}
    lineage = {"_id": KEY.id, "userId": DRIVER, "trackName": "monza", "removed": ancestors}
    database["lineages"].insert_one(lineage)
    migration = import_module("migrations.m0004_sharing")
    migration.upgrade(database)
    migration.upgrade(database)
    parents = {version["_id"]: version["parentId"] for version in database["aimodels"].find()}
    assert parents == {first.id: None, last.id: first.id}
    assert {version["activatedAt"] for version in database["aimodels"].find()} == {BEGINNING}
    history = Activations(database).page(KEY, limit=10, cursor=None).items
    assert {(entry.model_id, entry.job_id) for entry in history} == {
        (first.id, first.job_id),
        (last.id, last.job_id),
    }
    assert len(history) == 2
    [address] = database["addresses"].find()
    assert (address["_id"], address["userId"]) == ("max@example.org", DRIVER)
    assert "removed" not in (database["lineages"].find_one() or {})
