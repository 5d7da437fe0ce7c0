"""The embedded servers, and the migrations on them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from app import mongo
from app.domain import utc_now
from app.errors import Unavailable
from app.local.servers import start_mongod
from app.stores import migrating
from app.stores.migrating import LOCK, migrate


@pytest.mark.slow
def test_a_replica_set_works_again_on_another_port(tmp_path: Path) -> None:
    first = start_mongod(tmp_path)
    with mongo.connect(first.url) as client:
        client.test.things.insert_one({"_id": "kept"})
    first.stop()
    second = start_mongod(tmp_path)
    assert second.url != first.url
    with mongo.connect(second.url) as client:
        kept = mongo.in_transaction(client, lambda tx: client.test.things.find_one({}, session=tx))
    second.stop()
    assert kept == {"_id": "kept"}
    assert (first.process.returncode, second.process.returncode) == (0, 0)


def test_migrations_run_at_once_by_several_processes_are_each_applied_once(
    mongo_url: str, mongo_client: mongo.Client
) -> None:
    name = "lapwise_test_migrate"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(mongo_url, name), range(4)))
    applied = [document["name"] for document in mongo_client[name]["pymongo_migrate"].find()]
    unlocked = mongo_client[name][LOCK].find_one()
    mongo_client.drop_database(name)
    assert "m0001_indexes" in applied
    assert len(applied) == len(set(applied))
    assert unlocked is None


def test_a_lock_is_respected_until_its_holder_must_be_dead(
    mongo_url: str, mongo_client: mongo.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "lapwise_test_migrate_lock"
    lock = mongo_client[name][LOCK]
    lock.insert_one({"_id": LOCK, "holder": "another", "until": utc_now() + timedelta(seconds=60)})
    monkeypatch.setattr(migrating, "WAIT_SECONDS", 0.2)
    with pytest.raises(Unavailable, match="another process is migrating"):
        migrate(mongo_url, name)
    lock.update_one({"_id": LOCK}, {"$set": {"until": utc_now() - timedelta(seconds=1)}})
    migrate(mongo_url, name)
    indexes = mongo_client[name]["sessions"].index_information()
    mongo_client.drop_database(name)
    assert "newest" in indexes
