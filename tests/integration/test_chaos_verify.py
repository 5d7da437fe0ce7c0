"""The chaos suite's look inside finds what it is there to find: each violation is planted and named."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import Binary
from pymongo import IndexModel
from pymongo.database import Database

from app.container import Container
from tests.chaos import verify
from tests.chaos.load import Answered
from tests.integration.drivers import TRACK, Driver, NewDriver

SESSIONS = 3
ONE_ACTIVE, OPTIONS = "one_active", ("name", "unique", "partialFilterExpression")
Found = dict[str, Any]


@pytest.fixture
def stored(container: Container) -> Iterator[Database[Found]]:
    """The database; an index that a test has to drop is there again after it, for other tests count on it."""
    database = container.mongo_client[container.settings.database]
    (index,) = [one for one in database["aimodels"].list_indexes() if one["name"] == ONE_ACTIVE]
    yield database
    database["aimodels"].delete_many({})
    database["aimodels"].create_indexes([IndexModel(index["key"], **{name: index[name] for name in OPTIONS})])


@pytest.fixture
def answered(new_driver: NewDriver) -> list[Answered]:
    """What a driver was told of sessions that were learned one after the other."""
    driver = new_driver("ann")
    return [taken(driver, number) for number in range(SESSIONS)]


def taken(driver: Driver, number: int) -> Answered:
    answer = driver.upload(number)
    (job,) = answer["jobs"]
    assert driver.run(job)["status"] == "succeeded"
    laps: Any = driver.get(f"/racing-session/{answer['session']['id']}/laps")
    return Answered(
        number=number,
        session_id=answer["session"]["id"],
        user_id=driver.id,
        track=TRACK,
        valid_laps=sum(lap["valid"] for lap in laps),
        job_ids=(job["id"],),
    )


def found(container: Container, answered: list[Answered]) -> str:
    return "\n".join(verify.violations(container, answered))


def newest(database: Database[Found]) -> Found:
    version = database["aimodels"].find_one({"modelVersion": "1.0.2"})
    assert version is not None
    return version


def lose_a_session(database: Database[Found]) -> None:
    database["sessions"].delete_one({"_id": newest(database)["trainingSessionIds"][0]})


def learn_one_twice(database: Database[Found]) -> None:
    version = newest(database)
    ids = [*version["trainingSessionIds"], version["trainingSessionIds"][0]]
    database["aimodels"].update_one({"_id": version["_id"]}, {"$set": {"trainingSessionIds": ids}})


def forget_one(database: Database[Found]) -> None:
    version = newest(database)
    ids = version["trainingSessionIds"][:-1]
    database["aimodels"].update_one({"_id": version["_id"]}, {"$set": {"trainingSessionIds": ids}})


def break_the_chain(database: Database[Found]) -> None:
    database["aimodels"].update_one({"modelVersion": "1.0.2"}, {"$set": {"parentId": None}})


def have_none_active(database: Database[Found]) -> None:
    database["aimodels"].update_many({}, {"$set": {"isActive": False}})


def have_all_active(database: Database[Found]) -> None:
    database["aimodels"].drop_index(ONE_ACTIVE)
    database["aimodels"].update_many({}, {"$set": {"isActive": True}})


def point_elsewhere(database: Database[Found]) -> None:
    database["lineages"].update_one({}, {"$set": {"activeModelId": newest(database)["parentId"]}})


def alter_a_binary(database: Database[Found]) -> None:
    part = database["models.chunks"].find_one({"files_id": newest(database)["_id"]})
    assert part is not None
    altered = Binary(bytes([part["data"][0] ^ 1]) + bytes(part["data"][1:]))
    database["models.chunks"].update_one({"_id": part["_id"]}, {"$set": {"data": altered}})


def take_the_parents_binary(database: Database[Found]) -> None:
    version, chunks = newest(database), database["models.chunks"]
    parents = chunks.find_one({"files_id": version["parentId"]})
    assert parents is not None
    chunks.update_one({"files_id": version["_id"]}, {"$set": {"data": parents["data"]}})


def leave_an_orphan(database: Database[Found]) -> None:
    """Too new to be swept."""
    database["models.chunks"].insert_one({"files_id": "f" * 24, "n": 0, "data": Binary(b"of no version")})


def give_a_session_away(database: Database[Found]) -> None:
    database["sessions"].update_one({}, {"$set": {"userId": "another"}})


def cut_a_file(database: Database[Found]) -> None:
    database["telemetry.chunks"].delete_one({})


def leave_a_job_running(database: Database[Found]) -> None:
    database["jobs"].update_one({}, {"$set": {"status": "running"}})


def fail_a_job(database: Database[Found]) -> None:
    database["jobs"].update_one({}, {"$set": {"status": "failed", "error": "planted"}})


def lose_a_job(database: Database[Found]) -> None:
    database["jobs"].delete_one({})


PLANTED: list[tuple[Callable[[Database[Found]], None], str]] = [
    (lose_a_session, "was answered and is lost"),
    (learn_one_twice, "too much"),
    (forget_one, "learned not"),
    (break_the_chain, "no single chain of parents"),
    (have_none_active, "0 versions are active"),
    (have_all_active, "3 versions are active"),
    (point_elsewhere, "names another active version"),
    (alter_a_binary, "does not load"),
    (take_the_parents_binary, "does not load"),
    (leave_an_orphan, "models has an orphan"),
    (give_a_session_away, "belongs to another driver"),
    (cut_a_file, "telemetry file"),
    (leave_a_job_running, "is stuck: running"),
    (fail_a_job, "failed: planted"),
    (lose_a_job, "was answered and is lost"),
]


def test_a_platform_that_lost_nothing_has_no_violation(
    container: Container, answered: list[Answered]
) -> None:
    assert found(container, answered) == ""


@pytest.mark.parametrize(("plant", "named"), PLANTED, ids=lambda one: getattr(one, "__name__", None))
def test_what_is_planted_is_named(
    container: Container,
    stored: Database[Found],
    answered: list[Answered],
    plant: Callable[[Database[Found]], None],
    named: str,
) -> None:
    plant(stored)
    assert named in found(container, answered)


def test_a_session_that_nobody_sent_is_named(container: Container, answered: list[Answered]) -> None:
    assert "though no answer named it" in found(container, answered[:-1])


def test_a_model_that_learned_more_than_its_version_says_is_named(
    container: Container, stored: Database[Found], answered: list[Answered]
) -> None:
    forget_one(stored)
    learned = sum(one.valid_laps for one in answered)
    assert f"has learned {learned} laps of {SESSIONS} sessions instead of" in found(container, answered)
