"""The chaos suite's look inside finds what it is there to find: each violation is planted and named."""

from collections.abc import Callable
from typing import Any

import pytest
from bson import Binary
from pymongo.database import Database

from app.container import Container
from tests.chaos import verify
from tests.chaos.load import Answered
from tests.integration.drivers import TRACK, Driver, NewDriver

SESSIONS = 3
Found = dict[str, Any]


@pytest.fixture
def stored(container: Container) -> Database[Found]:
    return container.mongo_client[container.settings.database]


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


def alter_a_binary(database: Database[Found]) -> None:
    part = database["models.chunks"].find_one({"files_id": newest(database)["_id"]})
    assert part is not None
    altered = Binary(bytes([part["data"][0] ^ 1]) + bytes(part["data"][1:]))
    database["models.chunks"].update_one({"_id": part["_id"]}, {"$set": {"data": altered}})


def cut_a_file(database: Database[Found]) -> None:
    database["telemetry.chunks"].delete_one({})


def leave_a_job_running(database: Database[Found]) -> None:
    database["jobs"].update_one({}, {"$set": {"status": "running"}})


def lose_a_job(database: Database[Found]) -> None:
    database["jobs"].delete_one({})


PLANTED: list[tuple[Callable[[Database[Found]], None], str]] = [
    (lose_a_session, "was answered and is lost"),
    (learn_one_twice, "too much"),
    (forget_one, "learned not"),
    (break_the_chain, "no single chain of parents"),
    (have_none_active, "0 versions are active"),
    (alter_a_binary, "does not load"),
    (cut_a_file, "telemetry file"),
    (leave_a_job_running, "is stuck: running"),
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
