"""A backup gives back every session and model, also one made amid work; a bad one changes nothing."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.errors import BackupFailed, BackupRefused, RestoreRefused, RestoreUnfinished
from app.services.backups import Verified
from app.settings import Settings
from app.stores import migrating
from app.stores.dump import Dump
from app.stores.migrating import is_migrated, migrate
from tests.integration.drivers import Driver, NewDriver

Document = dict[str, Any]


def quiet(_name: str, _done: int, _total: int) -> None:
    """Shows no progress."""


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    """A driver with two versions, and a third session that was not learned."""
    driver = new_driver("ann")
    driver.grow(1)
    driver.grow(2)
    driver.upload(3, auto_train=False)
    return driver


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lapwise.backup"


@pytest.fixture
def elsewhere(container: Container, settings: Settings) -> Iterator[Container]:
    """The same platform on another database, which is not there yet."""
    other = replace(settings, database=f"{settings.database}_other", data_dir=settings.data_dir / "other")
    with build_container(other) as built:
        yield built
        container.mongo_client.drop_database(other.database)


def database_of(container: Container) -> Database[Document]:
    return container.mongo_client[container.settings.database]


def everything(container: Container) -> dict[str, list[Document]]:
    """All documents by collection, but those of migrations."""
    database = database_of(container)
    names = sorted(
        name for name in database.list_collection_names() if not name.startswith(("pymongo", "migr"))
    )
    return {name: sorted(database[name].find(), key=lambda document: str(document["_id"])) for name in names}


def test_everything_comes_back_with_its_indexes(
    ann: Driver, container: Container, elsewhere: Container, file: Path
) -> None:
    contents = container.backups.write(file, quiet)
    assert contents.documents["aimodels"] == 2
    assert contents.removed == {"aimodels": [], "sessions": []}
    assert file.stat().st_mode & 0o777 == 0o600
    assert elsewhere.backups.restore(file, quiet) == Verified(sessions=3, versions=2, problems=())
    assert everything(elsewhere) == everything(container)
    for name in ("aimodels", "jobs", "models.chunks", "models.files", "lineages"):
        there, here = (database_of(one)[name].index_information() for one in (elsewhere, container))
        assert there == here
    assert is_migrated(database_of(elsewhere))
    again = ann.on(elsewhere)
    assert again.active() == ann.active()
    assert again.predict() == ann.predict()
    assert again.grow(4).training_session_ids[:2] == tuple(ann.active()["trainingSessionIds"])
    assert again.active()["modelVersion"] == "1.0.2"


def test_what_drivers_do_while_it_is_written_leaves_it_whole(
    ann: Driver, container: Container, elsewhere: Container, file: Path, new_driver: NewDriver
) -> None:
    active, bob = ann.active(), new_driver("bob")
    before = everything(container)
    steps = []

    def meanwhile(_name: str, _done: int, _total: int) -> None:
        steps.append(_done)
        if len(steps) == 1:
            ann.call("DELETE", f"/ai-model/{active['id']}", status=204)
            ann.call("DELETE", f"/racing-session/{active['trainingSessionIds'][0]}", status=204)
            bob.grow(1)

    contents = container.backups.write(file, meanwhile)
    assert contents.removed == {"aimodels": [active["id"]], "sessions": [active["trainingSessionIds"][0]]}
    assert contents.documents["sessions"] == len(before["sessions"])
    verified = elsewhere.backups.restore(file, quiet)
    assert verified == Verified(sessions=2, versions=1, problems=())
    assert ann.on(elsewhere).active()["modelVersion"] == "1.0.0"


def test_a_database_that_is_not_empty_is_replaced_only_if_told(
    ann: Driver, container: Container, elsewhere: Container, file: Path
) -> None:
    container.backups.write(file, quiet)
    database_of(elsewhere)["users"].insert_one({"_id": "eve"})
    with pytest.raises(RestoreRefused, match="is not empty"):
        elsewhere.backups.restore(file, quiet)
    assert everything(elsewhere) == {"users": [{"_id": "eve"}]}
    elsewhere.backups.restore(file, quiet, replace=True)
    assert everything(elsewhere) == everything(container)


def test_a_file_that_is_damaged_or_of_another_key_changes_nothing(
    ann: Driver, container: Container, elsewhere: Container, settings: Settings, file: Path
) -> None:
    container.backups.write(file, quiet)
    cut = file.with_name("cut.backup")
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BackupRefused, match="cut off"):
        elsewhere.backups.restore(cut, quiet, replace=True)
    with (
        build_container(replace(elsewhere.settings, model_key="quite another key")) as stranger,
        pytest.raises(BackupRefused, match="another LAPWISE_MODEL_KEY"),
    ):
        stranger.backups.restore(file, quiet, replace=True)
    assert database_of(elsewhere).list_collection_names() == []


def test_a_restore_that_was_cut_off_is_not_taken_for_done_and_starts_over(
    ann: Driver, container: Container, elsewhere: Container, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.backups.write(file, quiet)
    add = Dump.read
    with monkeypatch.context() as killed:
        killed.setattr(Dump, "read", lambda dump, parts: (add(dump, iter([next(parts)])), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            elsewhere.backups.restore(file, quiet)
    assert not is_migrated(database_of(elsewhere))
    with pytest.raises(RestoreUnfinished):
        migrate(elsewhere.settings.mongo_url, elsewhere.settings.database)
    elsewhere.backups.restore(file, quiet)
    assert everything(elsewhere) == everything(container)


def test_a_backup_of_an_older_release_goes_through_the_migrations_it_lacks(
    ann: Driver, container: Container, elsewhere: Container, file: Path, database: Database[Document]
) -> None:
    state = database["pymongo_migrate"].find_one_and_delete({"name": "m0008_formats"})
    assert state is not None
    try:
        container.backups.write(file, quiet)
    finally:
        database["pymongo_migrate"].insert_one(state)
    elsewhere.backups.restore(file, quiet)
    assert is_migrated(database_of(elsewhere))
    assert "unreadable" in database_of(elsewhere)["aimodels"].index_information()


def test_a_backup_of_a_newer_release_is_refused(
    container: Container, elsewhere: Container, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.backups.write(file, quiet)
    monkeypatch.setattr(migrating, "known", lambda: {"m0001_indexes"})
    with pytest.raises(BackupRefused, match=r"newer release, which had m0002_webhooks"):
        elsewhere.backups.restore(file, quiet)


def test_nothing_is_restored_under_a_running_worker(
    container: Container, elsewhere: Container, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.backups.write(file, quiet)
    container.redis.set("lapwise:worker-seen", "1", ex=5)
    monkeypatch.setattr("app.services.backups.WORKER_SEEN_SECONDS", 0.5)
    with pytest.raises(RestoreRefused, match="stop the platform first"):
        elsewhere.backups.restore(file, quiet)


def test_a_file_that_is_there_is_not_overwritten(container: Container, file: Path) -> None:
    file.write_text("precious")
    with pytest.raises(BackupFailed, match="is there already"):
        container.backups.write(file, quiet)
    assert file.read_text() == "precious"
    shutil.rmtree(file.parent)
    with pytest.raises(BackupFailed, match="cannot be written: No such file"):
        container.backups.write(file, quiet)


def test_verifying_names_what_is_damaged(
    ann: Driver, container: Container, database: Database[Document]
) -> None:
    assert container.backups.verify(quiet).problems == ()
    active = ann.active()
    session_id = active["trainingSessionIds"][0]
    database["models.chunks"].delete_many({"files_id": active["id"]})
    database["telemetry.chunks"].update_one({"files_id": session_id}, {"$set": {"data": b"other"}})
    database["laps.files"].delete_one({"_id": active["trainingSessionIds"][1]})
    found = "\n".join(container.backups.verify(quiet).problems)
    assert f"session {session_id} of user {ann.id}: its telemetry is not what was uploaded" in found
    assert f"session {active['trainingSessionIds'][1]} of user {ann.id}: its laps are missing" in found
    assert f"model {active['id']} of user {ann.id}: it cannot be read" in found
    assert found.count("\n") == 2
    assert container.platform.count_unreadable() == 1
