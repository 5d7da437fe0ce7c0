"""Keys are replaced while all that was made with the former ones works; then those can be forgotten."""

from collections.abc import Iterator
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pymongo.database import Database

from app.cli import cli
from app.container import Container, build_container
from app.courier import build_deliveries
from app.errors import ModelUnreadable, SecretUnreadable, SettingMissing
from app.keys import KeyRing, Seal, key_id
from app.settings import Settings
from app.stores.migrating import KEYS
from app.stores.webhooks import SEALED_FOR
from models_store.rekeying import Rekeying
from tests.integration.drivers import Driver
from tests.receiver import receiving

NEW = "the key of the tests that comes next"
Found = dict[str, Any]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_allow_private=True)


@pytest.fixture
def rotated(settings: Settings) -> Settings:
    """The key is another one, the former still good."""
    return replace(settings, model_key=NEW, model_key_old=f" {settings.model_key} , ")


@pytest.fixture
def after(rotated: Settings) -> Iterator[Container]:
    with build_container(rotated) as built:
        yield built


def rekeying(database: Database[Found], settings: Settings) -> Rekeying:
    return Rekeying(database, keys=settings.model_keys, max_bytes=settings.max_model_bytes)


def test_models_load_and_learn_on_with_a_new_key_and_are_signed_anew_step_by_step(
    container: Container,
    after: Container,
    settings: Settings,
    rotated: Settings,
    database: Database[Found],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ann = Driver(container, tmp_path, "ann")
    first, second = ann.grow(1), ann.grow(2)
    database["aimodels"].update_one({"_id": first.id}, {"$unset": {"keyId": ""}})  # of an earlier release
    now = Driver(after, tmp_path, "bob")
    theirs = now.grow(3)
    assert theirs.key_id == key_id(NEW.encode())
    for version in (first, second):
        found = after.models.get(ann.id, version.id)
        assert after.runs._models.load_copy(found).laps_learned > 0
    with build_container(replace(rotated, model_key_old="")) as forgetful:
        found = forgetful.models.get(ann.id, first.id)
        with pytest.raises(ModelUnreadable, match="not signed"):
            forgetful.runs._models.load_copy(found)

    work = rekeying(database, rotated)
    assert work.left() == 2
    monkeypatch.setattr(work, "_sign", _broken_off_after_one(work))
    with pytest.raises(KeyboardInterrupt):
        work.run()
    assert rekeying(database, rotated).left() == 1
    variables = {
        f"LAPWISE_{field.name.upper()}": str(getattr(rotated, field.name)) for field in fields(rotated)
    }
    told = CliRunner().invoke(cli, ["rekey"], env=variables, catch_exceptions=False)
    assert told.exit_code == 0
    assert "1 models signed and 0 secrets sealed anew, 0 models left" in told.output
    with build_container(replace(rotated, model_key_old="")) as forgetful:
        for version in (first, second):
            found = forgetful.models.get(ann.id, version.id)
            assert forgetful.runs._models.load_copy(found).laps_learned > 0


def _broken_off_after_one(work: Rekeying) -> Any:
    sign, signed = work._sign, []

    def one(model_id: str) -> int:
        if signed:
            raise KeyboardInterrupt
        signed.append(model_id)
        return sign(model_id)

    return one


def test_what_was_altered_is_not_signed_anew(
    container: Container, rotated: Settings, database: Database[Found], tmp_path: Path
) -> None:
    version = Driver(container, tmp_path, "ann").grow(1)
    database["aimodels"].update_one({"_id": version.id}, {"$set": {"hmac": "0" * 64}})
    done = rekeying(database, rotated).run()
    assert (done.signed, done.refused) == (0, (version.id,))
    assert database["aimodels"].distinct("hmac") == ["0" * 64]


def test_the_secret_of_a_webhook_lies_sealed_and_signs_after_every_change_of_keys(
    container: Container, settings: Settings, rotated: Settings, database: Database[Found], tmp_path: Path
) -> None:
    ann = Driver(container, tmp_path, "ann")
    with receiving() as receiver:
        hook = ann.call("POST", "/webhooks", {"url": receiver.url}, status=201)
        stored = database["webhooks"].distinct("secret")
        assert hook["secret"] not in str(list(database["webhooks"].find()))
        seal = Seal(rotated.model_keys, SEALED_FOR)
        assert [seal.open(secret) for secret in stored] == [hook["secret"]]
        with pytest.raises(SecretUnreadable):
            Seal(rotated.model_keys, "something else").open(stored[0])

        ann.call("POST", f"/webhooks/{hook['id']}/test", status=202)
        build_deliveries(replace(settings, model_key=NEW), container.mongo_client).deliver()
        [failed] = ann.get(f"/webhooks/{hook['id']}/deliveries")["items"]
        assert (failed["status"], receiver.requests) == ("pending", [])
        assert "sealed with a key that this platform does not have" in failed["error"]

        assert container.webhooks._hooks.reseal(seal) == 1
        assert container.webhooks._hooks.reseal(seal) == 0
        ann.call("DELETE", f"/webhooks/{hook['id']}", status=204)


def test_secrets_of_an_earlier_release_are_sealed_once(database: Database[Found], settings: Settings) -> None:
    migration = import_module("migrations.m0010_sealed_secrets")
    migration.upgrade(database)  # without webhooks it needs no key
    database["webhooks"].insert_one({"_id": "h1", "userId": "u1", "secret": "whsec_plain"})
    with pytest.raises(SettingMissing, match="LAPWISE_MODEL_KEY"):
        migration.upgrade(database)
    given = KEYS.set(settings.model_keys)
    migration.upgrade(database)
    sealed = database["webhooks"].distinct("secret")
    migration.upgrade(database)
    KEYS.reset(given)
    assert database["webhooks"].distinct("secret") == sealed
    assert [Seal(settings.model_keys, SEALED_FOR).open(secret) for secret in sealed] == ["whsec_plain"]


def test_a_ring_shows_no_key() -> None:
    assert "hunter2" not in repr(KeyRing(b"hunter2", (b"hunter2",)))
