"""Whose job is next, and what is refused when too much waits."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.domain import Job, JobKind, LineageKey, ModelType, new_id, utc_now
from app.mongo import in_transaction
from app.services import platform
from app.services.jobs import new_job
from app.settings import Settings
from app.stores.queue import JobQueue
from tests.factories import TRACK, acc_chunks, session_file
from tests.integration.drivers import LAP_TIME, Driver

Documents = Database[dict[str, Any]]
FLOODER, OTHER, THIRD = "a" * 24, "b" * 24, "c" * 24


@pytest.fixture(autouse=True)
def drivers(database: Documents) -> None:
    """Their accounts, which jobs are recorded of."""
    database["users"].insert_many([{"_id": name, "email": name} for name in (FLOODER, OTHER, THIRD)])


def waiting(container: Container, user_id: str, *tracks: str, automatic: bool = True, **fields: Any) -> None:
    """Queued jobs of lineages of a driver, one a track."""
    kind = fields.pop("kind", JobKind.TRAIN)

    def job(track: str) -> Job:
        key = LineageKey(user_id=user_id, track_name=track, model_type=ModelType.LAP_TIME_PREDICTION)
        return new_job(kind, key, (new_id(),), lineage_id=key.id, automatic=automatic, **fields)

    jobs = [job(track) for track in tracks]
    store = container.runs._jobs
    in_transaction(container.mongo_client, lambda tx: store.write_automatic(jobs, (), tx=tx))


def take(container: Container, count: int) -> list[str]:
    """Drivers and tracks of the next jobs, as one worker after another takes them."""
    taken = [container.runs._jobs.claim_next() for _ in range(count)]
    return [f"{job.user_id[0]}:{job.track_name}" if job else "nothing" for job in taken]


def test_a_flood_of_one_driver_comes_after_each_job_of_another(container: Container) -> None:
    waiting(container, FLOODER, *(str(n) for n in range(6)))
    assert take(container, 2) == ["a:0", "a:1"]
    waiting(container, OTHER, "x", "y")
    assert take(container, 6) == ["b:x", "a:2", "b:y", "a:3", "a:4", "a:5"]
    assert take(container, 1) == ["nothing"]


def test_a_driver_who_asks_for_one_job_at_a_time_does_not_starve_a_patient_one(container: Container) -> None:
    waiting(container, FLOODER, *(str(n) for n in range(4)))
    taken = []
    for track in "vwxy":
        waiting(container, OTHER, track)
        taken += take(container, 2)
    assert [one[0] for one in taken] == ["a", "b", "a", "b", "a", "b", "a", "b"]


def test_a_newcomer_does_not_make_up_for_the_time_before(container: Container) -> None:
    waiting(container, FLOODER, *(str(n) for n in range(8)))
    take(container, 6)
    waiting(container, OTHER, "u", "v", "w")
    assert [one[0] for one in take(container, 4)] == ["b", "a", "b", "a"]


def test_what_is_asked_for_by_hand_does_not_wait_for_the_drivers_own_uploads(container: Container) -> None:
    waiting(container, FLOODER, *(str(n) for n in range(4)))
    take(container, 1)
    waiting(container, FLOODER, "by hand", automatic=False)
    waiting(container, OTHER, "retrained", automatic=False, kind=JobKind.RETRAIN)
    assert take(container, 5) == ["a:by hand", "a:1", "a:2", "a:3", "b:retrained"]


def test_a_lineage_that_runs_or_waits_for_a_retry_keeps_no_other_waiting(container: Container) -> None:
    waiting(container, FLOODER, "spa", "spa", "monza")
    assert take(container, 3) == ["a:spa", "a:monza", "nothing"]
    (spa,) = container.runs._jobs._many({"trackName": "spa", "status": "running"})
    container.runs._jobs.put_back(spa, None, timedelta(minutes=1))
    assert take(container, 2) == ["a:spa", "nothing"]
    (other,) = container.runs._jobs._many({"trackName": "spa", "status": "running"})
    assert other.id != spa.id, "the later one must not wait for the other's second try"


def test_a_jobs_turn_survives_a_failed_attempt_and_one_without_any_comes_first(
    container: Container, database: Documents
) -> None:
    waiting(container, FLOODER, "0", "1", "2")
    database["jobs"].update_one({"trackName": "2"}, {"$unset": {"turn": 1}})  # as an older release wrote it
    assert take(container, 2) == ["a:2", "a:0"]
    (first,) = container.runs._jobs._many({"trackName": "0"})
    container.runs._jobs.put_back(first, None, timedelta(0))
    assert take(container, 2) == ["a:0", "a:1"]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_claiming_costs_the_same_however_many_jobs_wait(container: Container, database: Documents) -> None:
    waiting(container, FLOODER, *(str(n) for n in range(40)))
    few = seconds_of(container, 20)
    (model,) = database["jobs"].find({"trackName": "39"})
    crowd = [
        model | {"_id": new_id(), "lineageId": f"{n}", "userId": f"{n % 500:024}", "turn": n // 500}
        for n in range(30_000)
    ]
    database["jobs"].insert_many(crowd, ordered=False)
    plan = database["jobs"].find({"status": "queued"}).sort([("turn", 1), ("queuedAt", 1), ("_id", 1)])
    assert plan.limit(1).explain()["queryPlanner"]["winningPlan"]["stage"] != "SORT"
    assert seconds_of(container, 20) < 3 * few + 0.1


def seconds_of(container: Container, count: int) -> float:
    started = time.perf_counter()
    assert "nothing" not in take(container, count)
    return time.perf_counter() - started


@pytest.fixture
def strict(settings: Settings) -> Iterator[Container]:
    """A platform on which little may wait."""
    few = replace(
        settings,
        max_driver_jobs=2,
        max_jobs=3,
        max_driver_waiting_bytes=20_000,
        login_rate_limit="10000 per minute",
    )
    with build_container(few) as built:
        yield built


@pytest.fixture
def driver(strict: Container, tmp_path: Path) -> Driver:
    return Driver(strict, tmp_path, "max")


def upload(driver: Driver, index: int, track: str, **form: str) -> Any:
    path = session_file(driver.folder, index=index)
    with path.open("rb") as file:
        fields = {"file": (file, path.name), "trackName": track} | form
        return driver.client.post("/racing-session/upload", data=fields)


def refusal(answer: Any) -> tuple[int, str]:
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.json["error"]["code"]


def test_a_driver_with_too_many_jobs_waiting_is_refused_and_nothing_is_stored(
    driver: Driver, database: Documents
) -> None:
    taken = [upload(driver, index, f"track {index}") for index in (1, 2)]
    assert [answer.status_code for answer in taken] == [201, 201]
    before = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert refusal(upload(driver, 3, "track 3")) == (429, "too_much_waiting")
    assert {name: database[name].count_documents({}) for name in before} == before
    assert upload(driver, 1, "track 1").json == taken[0].json, "a repeat is answered as before"
    assert upload(driver, 3, "track 3", autoTrain="false").status_code == 201, "it makes no job"
    driver.run(taken[0].json["jobs"][0])
    assert upload(driver, 3, "track 3").status_code == 201


def test_a_repeat_under_its_key_is_answered_though_too_much_waits(driver: Driver) -> None:
    session_id = upload(driver, 1, TRACK, autoTrain="false").json["session"]["id"]
    body = {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": [session_id]}

    def ask(key: str) -> Any:
        return driver.client.post("/model/train", json=body, headers={"Idempotency-Key": key})

    first = ask("1")
    assert ask("2").status_code == 202
    assert refusal(ask("3")) == (429, "too_much_waiting")
    assert ask("1").json == first.json


def test_a_platform_with_too_many_jobs_waiting_is_overloaded_for_all(
    driver: Driver, strict: Container, tmp_path: Path
) -> None:
    other = Driver(strict, tmp_path, "lewis")
    assert [upload(driver, index, f"track {index}").status_code for index in (1, 2)] == [201, 201]
    assert upload(other, 3, "track 3").status_code == 201
    strict.training._recorder._admission._jobs._until = 0.0  # so that it counts again
    assert refusal(upload(other, 4, "track 4")) == (503, "overloaded")


def test_chunks_beyond_a_drivers_bytes_are_refused_until_an_upload_is_complete(driver: Driver) -> None:
    rows = list(acc_chunks(session_file(driver.folder), rows=300))
    start = {"sessionName": "long", "mapName": TRACK}
    query = driver.call("POST", "/racing-session/upload/init", start)["uploadId"]
    path = f"/racing-session/upload/chunk?uploadId={query}"

    def send(index: int) -> Any:
        return driver.ask("POST", path, {"chunk": rows[index], "chunkIndex": index})

    answers = [send(index) for index in range(len(rows))]
    taken = [answer.status_code for answer in answers].index(429)
    assert taken > 0
    assert refusal(answers[taken]) == (429, "too_much_waiting")
    assert send(0).status_code == 200, "a repeat replaces its chunk and adds nothing"
    body = {"autoTrain": False, "totalChunks": taken}
    driver.call("POST", f"/racing-session/upload/complete?uploadId={query}", body, status=202)
    query = driver.call("POST", "/racing-session/upload/init", start)["uploadId"]
    path = f"/racing-session/upload/chunk?uploadId={query}"
    assert send(0).status_code == 200


def test_the_sweep_sends_no_more_messages_while_enough_wait(
    container: Container, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = container.platform._queue
    assert queue.depth() == 0
    waiting(container, FLOODER, "spa", "monza")
    due = {"$set": {"dispatchAt": utc_now()}}
    database["jobs"].update_many({}, due)
    container.platform.sweep()
    assert queue.depth() == 2
    monkeypatch.setattr(platform, "DISPATCH_AT_ONCE", 2)
    database["jobs"].update_many({}, due)
    container.platform.sweep()
    assert queue.depth() == 2


def test_a_broker_that_is_down_counts_no_messages() -> None:
    assert JobQueue("redis://127.0.0.1:1/0").depth() == 0
