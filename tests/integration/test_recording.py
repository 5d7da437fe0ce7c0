"""Jobs that drivers ask for at the same moment: recorded together, and to each driver as if alone."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database
from structlog.contextvars import bound_contextvars

from app.container import Container, build_container
from app.domain import Job, JobStatus, ModelType, TrainRequest, new_id, utc_now
from app.errors import IdempotencyKeyReused, Invalid, SessionNotFound, TooMuchWaiting, Unauthorized
from app.mongo import to_document
from app.services.recording import Recorder
from app.settings import Settings
from app.stores.accounts import Users
from app.stores.queue import QUEUE
from tests.factories import TRACK, a_session

Documents = Database[dict[str, Any]]
Ask = Callable[..., Callable[[], Job]]
ANN, BEN = new_id(), new_id()
OF_ANN, OF_BEN = a_session(ANN), a_session(BEN)


@pytest.fixture(autouse=True)
def drivers(database: Documents) -> None:
    """Two accounts with a session each."""
    database["users"].insert_many([{"_id": name, "email": name} for name in (ANN, BEN)])
    database["sessions"].insert_many([to_document(session) for session in (OF_ANN, OF_BEN)])


@pytest.fixture
def ask(container: Container) -> Ask:
    return partial(asking, container)


def asking(container: Container, user_id: str, session_id: str, key: str | None = None, **fields: Any) -> Any:
    """A request to train, for later, which has its key for a request id."""
    request = TrainRequest(
        **{"track_name": TRACK, "model_type": ModelType.LAP_TIME_PREDICTION, "session_ids": (session_id,)}
        | fields
    )

    def ask() -> Job:
        with bound_contextvars(request_id=f"request {key}"):
            return container.training.train(user_id, request, key)

    return ask


def at_once(container: Container, *asked: Callable[[], Job]) -> list[Any]:
    """The jobs or errors of requests that come, in this order, while another batch is under way."""
    batches = container.training._recorder._batches
    batches._is_working = True
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = []
        for number, one in enumerate(asked, start=1):
            futures.append(pool.submit(one))
            while len(batches._waiting) < number:
                time.sleep(0.001)
        batches._hand_on(0)
        return [future.exception() or future.result() for future in futures]


def kinds(found: list[Any]) -> list[type]:
    return [type(one) for one in found]


def test_each_request_gets_a_job_and_a_turn_by_one_transaction_and_a_message_of_its_own(
    container: Container, database: Documents, ask: Ask
) -> None:
    def committed() -> int:
        status = database.client.admin.command("serverStatus")
        return int(status["transactions"]["totalCommitted"])

    before = committed()
    jobs = at_once(container, ask(ANN, OF_ANN.id, "1"), ask(BEN, OF_BEN.id, "2"), ask(ANN, OF_ANN.id, "3"))
    assert committed() - before == 1
    assert [(job.user_id, job.turn) for job in jobs] == [(ANN, 0), (BEN, 0), (ANN, 1)]
    assert [job.request_ids for job in jobs] == [("request 1",), ("request 2",), ("request 3",)]
    assert [container.jobs.get(job.user_id, job.id) for job in jobs] == jobs
    sent = [json.loads(message)["headers"] for message in container.redis.lrange(QUEUE, 0, -1)]
    assert [(one["argsrepr"], one["request_ids"]) for one in reversed(sent)] == [
        (f"('{job.id}',)", list(job.request_ids)) for job in jobs
    ]


def test_each_request_gets_its_own_error_and_none_spoils_another(
    container: Container, database: Documents, ask: Ask
) -> None:
    Users(database).begin_removal(BEN, utc_now())
    found = at_once(
        container,
        ask(ANN, OF_BEN.id),
        ask(ANN, OF_ANN.id, track_name="elsewhere"),
        ask(BEN, OF_BEN.id),
        ask(ANN, OF_ANN.id),
    )
    assert kinds(found) == [SessionNotFound, Invalid, Unauthorized, Job]
    assert found[0].details == {"sessionIds": [OF_BEN.id]}
    assert [job["_id"] for job in database["jobs"].find()] == [found[-1].id]


def test_of_requests_with_one_key_the_first_that_is_let_in_is_the_others_answer(
    container: Container, database: Documents, ask: Ask
) -> None:
    found = at_once(
        container,
        ask(ANN, OF_BEN.id, "key"),
        ask(ANN, OF_ANN.id, "key"),
        ask(ANN, OF_ANN.id, "key"),
        ask(ANN, OF_ANN.id, "key", model_name="another"),
        ask(BEN, OF_BEN.id, "key"),
    )
    assert kinds(found) == [SessionNotFound, Job, Job, IdempotencyKeyReused, Job]
    assert found[1] == found[2] != found[4]
    assert database["jobs"].count_documents({}) == 2


def test_of_two_processes_with_one_key_at_the_same_moment_both_answer_the_job_of_the_first(
    container: Container, settings: Settings, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = asking(container, ANN, OF_ANN.id, "key")
    with build_container(settings) as other:
        theirs: list[Job] = []
        refused = Recorder._refused

        def be_late(recorder: Recorder, new: Any) -> Any:
            """By the time that it writes, the other process has written."""
            if recorder is container.training._recorder and not theirs:
                theirs.append(asking(other, ANN, OF_ANN.id, "key")())
            return refused(recorder, new)

        monkeypatch.setattr(Recorder, "_refused", be_late)
        found = at_once(container, mine, asking(container, BEN, OF_BEN.id))
    assert kinds(found) == [Job, Job]
    assert found[0].id == theirs[0].id
    assert database["jobs"].count_documents({}) == 2


@pytest.fixture
def strict(settings: Settings) -> Iterator[Container]:
    with build_container(replace(settings, max_driver_jobs=2)) as built:
        yield built


def test_a_driver_gets_no_more_jobs_at_once_than_may_wait(strict: Container, database: Documents) -> None:
    found = at_once(strict, *[asking(strict, ANN, OF_ANN.id)] * 3, asking(strict, BEN, OF_BEN.id))
    assert kinds(found) == [Job, Job, TooMuchWaiting, Job]
    assert database["jobs"].count_documents({"userId": ANN}) == 2


def test_a_repeat_at_the_same_moment_takes_no_place_of_its_own(
    strict: Container, database: Documents
) -> None:
    once = asking(strict, ANN, OF_ANN.id, "key")
    first, _, repeat = at_once(strict, once, asking(strict, ANN, OF_ANN.id), once)
    assert kinds([first, repeat]) == [Job, Job]
    assert first.id == repeat.id
    assert database["jobs"].count_documents({"userId": ANN}) == 2


def test_a_redis_that_takes_nothing_loses_no_job(container: Container, ask: Ask) -> None:
    container.redis.config_set("maxmemory", "1")
    try:
        (job,) = at_once(container, ask(ANN, OF_ANN.id))
    finally:
        container.redis.config_set("maxmemory", "0")
    assert container.redis.llen(QUEUE) == 0
    assert container.jobs.get(ANN, job.id).status is JobStatus.QUEUED
    assert container.runs._jobs.take_to_dispatch(job.dispatch_at, limit=10) == (job.id,)
