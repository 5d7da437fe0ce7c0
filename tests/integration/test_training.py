"""Training as services and stores do it, on real servers, with the worker's calls made by hand."""

import base64
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.domain import (
    IncrementRequest,
    Job,
    JobStatus,
    ModelType,
    PredictRequest,
    Session,
    TrainRequest,
    UploadStart,
    Version,
    new_id,
    utc_now,
)
from app.errors import (
    IdempotencyKeyReused,
    Invalid,
    JobFinished,
    JobNotFound,
    LeaseLost,
    ModelNotFound,
    SessionNotFound,
    SetupMissing,
    Unauthorized,
    UploadFinished,
)
from app.services import attempts
from app.settings import Settings
from app.stores.jobs import JobStore
from learning.errors import InvalidHyperparameters, LearningError, UnknownAlgorithm
from models_store.store import Draft
from tests.factories import TRACK, new_session, session_file

DRIVER, STRANGER = new_id(), new_id()
LAP_TIME = ModelType.LAP_TIME_PREDICTION
FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "trackPosition": 0.5}
Upload = Callable[..., tuple[Session, tuple[Job, ...]]]


@pytest.fixture(autouse=True)
def drivers(database: Database[dict[str, Any]]) -> None:
    """Two accounts: whoever has none can own nothing."""
    for user_id in (DRIVER, STRANGER):
        database["users"].insert_one({"_id": user_id, "email": user_id})


@pytest.fixture
def upload(container: Container, tmp_path: Path) -> Upload:
    """Uploads the simulated session of an index."""

    def add(index: int, *, auto_train: bool = True, user_id: str = DRIVER, **fields: object) -> object:
        return container.sessions.add(user_id, new_session(tmp_path, index=index, **fields), auto_train)

    return add  # type: ignore[return-value]


def active(container: Container) -> Version:
    return container.models.active(DRIVER, TRACK, LAP_TIME)


def laps_inside(container: Container, version: Version) -> int:
    """How many laps the stored model has learned, counted inside the model."""
    return container.runs._models.load_copy(version).laps_learned


def test_an_upload_starts_a_lineage_and_the_next_ones_grow_it(container: Container, upload: Upload) -> None:
    sessions = []
    for index in (1, 2, 3):
        session, (job,) = upload(index)
        container.runs.run(job.id)
        sessions.append(session)
    history = container.models.history(DRIVER, TRACK, LAP_TIME)
    assert [version.model_version for version in history] == ["1.0.0", "1.0.1", "1.0.2"]
    assert [version.is_active for version in history] == [False, False, True]
    assert [version.parent_id for version in history] == [None, history[0].id, history[1].id]
    assert history[2].training_session_ids == tuple(session.id for session in sessions)
    assert laps_inside(container, history[2]) == sum(session.valid_laps_count for session in sessions)


def test_a_job_of_one_upload_asks_mongodb_nothing_twice(
    container: Container,
    upload: Upload,
    database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "RENEW_SECONDS", 60.0)  # else a slow machine shows the progress too
    _, (job,) = upload(1)
    container.runs.run_next()
    _, (job,) = upload(2)
    database.command("profile", 2)
    container.runs.run_next()
    database.command("profile", 0)
    asked = Counter(found["ns"].partition(".")[2] for found in database["system.profile"].find())
    database.drop_collection("system.profile")
    assert container.jobs.get(DRIVER, job.id).status is JobStatus.SUCCEEDED
    assert asked == {
        "jobs": 4,  # whose turn it is, the claim, the end, and whether another one waits
        "turns": 1,
        "lineages": 3,  # as it is, moved on, and whether it has drifted
        "aimodels": 3,  # the base, no longer active, and the new version
        "models.chunks": 2,
        "models.files": 1,
        "experiments": 1,
        "sessions": 1,
        "laps.chunks": 1,
        "activations": 1,
        "webhooks": 1,
    }


def test_uploads_that_pile_up_are_learned_together_in_one_job(container: Container, upload: Upload) -> None:
    first, (job,) = upload(1)
    second, (joined,) = upload(2)
    assert joined.id == job.id
    container.runs.run(job.id)
    assert active(container).training_session_ids == (first.id, second.id)
    assert active(container).model_version == "1.0.0"


def test_an_upload_while_its_lineage_trains_waits_for_a_job_of_its_own(
    container: Container, upload: Upload
) -> None:
    _, (running,) = upload(1)
    jobs: JobStore = container.runs._jobs
    held = jobs.claim(running.id)
    assert held is not None
    _, (waiting,) = upload(2)
    assert waiting.id != running.id
    assert jobs.claim(waiting.id) is None, "two trainings of one lineage must never run at once"


def test_the_same_bytes_are_one_session_and_learned_once(container: Container, upload: Upload) -> None:
    session, (job,) = upload(1)
    container.runs.run(job.id)
    again, jobs = upload(1)
    assert again == session
    assert [seen.id for seen in jobs] == [job.id]
    container.runs.run(job.id)
    assert laps_inside(container, active(container)) == session.valid_laps_count


def test_a_session_uploaded_without_training_is_trained_when_it_comes_again_with(
    container: Container, upload: Upload
) -> None:
    session, none = upload(1, auto_train=False)
    assert none == ()
    again, (job,) = upload(1)
    assert again.id == session.id
    container.runs.run(job.id)
    assert active(container).training_session_ids == (session.id,)


def test_a_worker_that_was_taken_over_cannot_commit(container: Container, upload: Upload) -> None:
    _, (job,) = upload(1)
    jobs: JobStore = container.runs._jobs
    zombie = jobs.claim(job.id)
    assert zombie is not None
    assert jobs.put_back(zombie, {}, timedelta(0)) is not None
    container.runs.run(job.id)
    committed = active(container)
    with pytest.raises(LeaseLost):
        container.runs._perform(zombie)
    assert [one.id for one in container.models.history(DRIVER, TRACK, LAP_TIME)] == [committed.id]


def test_a_taken_over_worker_stops_and_leaves_no_binary(
    container: Container, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, (job,) = upload(1)
    jobs: JobStore = container.runs._jobs
    draft = container.runs._models.draft
    prepared = []

    def slow_draft(*arguments: object) -> Draft:
        drafted = draft(*arguments)  # type: ignore[arg-type]
        prepared.append(drafted.version)
        if len(prepared) == 1:  # meanwhile the lease runs out and another worker does the job
            held = replace(job, lease_token=_token(jobs, job), status=JobStatus.RUNNING)
            assert jobs.put_back(held, {}, timedelta(0)) is not None
            container.runs.run(job.id)
        return drafted

    monkeypatch.setattr(container.runs._models, "draft", slow_draft)
    container.runs.run(job.id)
    assert len(prepared) == 2, "both workers must have trained"
    assert active(container).id == prepared[1].id
    assert laps_inside(container, active(container)) == session.valid_laps_count
    files = container.mongo_client[container.settings.database]["models.files"]
    assert files.count_documents({}) == 1


def _token(jobs: JobStore, job: Job) -> str:
    found = jobs._jobs.find_one({"_id": job.id})
    assert found is not None
    token: str = found["leaseToken"]
    return token


def test_a_job_whose_worker_died_is_taken_over_by_the_sweep(settings: Settings, tmp_path: Path) -> None:
    with build_container(replace(settings, lease_seconds=0.01)) as container:
        session, (job,) = container.sessions.add(DRIVER, new_session(tmp_path), True)
        assert container.runs._jobs.claim(job.id) is not None, "a worker took it and died"
        time.sleep(0.02)
        container.platform.sweep()
        assert container.jobs.get(DRIVER, job.id).status is JobStatus.QUEUED
    with build_container(settings) as container:
        container.runs.run(job.id)
        done = container.jobs.get(DRIVER, job.id)
        assert (done.status, done.attempts, done.error) == (JobStatus.SUCCEEDED, 2, None)
        assert active(container).training_session_ids == (session.id,)


def test_a_job_that_kills_every_worker_is_given_up_with_a_reason(settings: Settings, tmp_path: Path) -> None:
    with build_container(replace(settings, lease_seconds=0.01, job_attempts=2)) as container:
        _, (job,) = container.sessions.add(DRIVER, new_session(tmp_path), True)
        for _ in range(2):
            assert container.runs._jobs.claim(job.id) is not None
            time.sleep(0.02)
            container.platform.sweep()
        failed = container.jobs.get(DRIVER, job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "job_given_up"


def test_activating_another_version_in_mid_training_makes_the_job_start_again_from_it(
    container: Container, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (1, 2):
        container.runs.run(upload(index)[1][0].id)
    first, second = container.models.history(DRIVER, TRACK, LAP_TIME)
    third, (job,) = upload(3)
    learn = container.runs._lessons.learn

    def roll_back_meanwhile(*arguments: object) -> object:
        outcome = learn(*arguments)  # type: ignore[arg-type]
        if active(container).id == second.id:
            container.models.activate(DRIVER, first.id)
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", roll_back_meanwhile)
    container.runs.run(job.id)
    assert container.jobs.get(DRIVER, job.id).status is JobStatus.QUEUED
    container.runs.run(job.id)
    newest = active(container)
    assert (newest.model_version, newest.parent_id) == ("1.0.2", first.id)
    assert newest.training_session_ids == (*first.training_session_ids, third.id)


def test_a_cancelled_running_job_leaves_no_version(
    container: Container, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "RENEW_SECONDS", 0.0)
    _, (job,) = upload(1)
    learn = container.runs._lessons.learn

    def cancel_then_learn(*arguments: object) -> object:
        assert container.jobs.cancel(DRIVER, job.id).cancel_requested
        return learn(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(container.runs._lessons, "learn", cancel_then_learn)
    container.runs.run(job.id)
    assert container.jobs.get(DRIVER, job.id).status is JobStatus.CANCELLED
    assert container.models.history(DRIVER, TRACK, LAP_TIME) == ()
    with pytest.raises(JobFinished):
        container.jobs.cancel(DRIVER, job.id)


def test_a_waiting_job_is_cancelled_at_once_and_never_run(container: Container, upload: Upload) -> None:
    _, (job,) = upload(1)
    assert container.jobs.cancel(DRIVER, job.id).status is JobStatus.CANCELLED
    container.runs.run(job.id)
    with pytest.raises(ModelNotFound):
        active(container)


def test_an_increment_skips_what_is_learned_and_without_news_makes_no_version(
    container: Container, upload: Upload
) -> None:
    session, (job,) = upload(1)
    container.runs.run(job.id)
    version = active(container)
    request = IncrementRequest(model_id=version.id, session_ids=(session.id,))
    asked = container.training.increment(DRIVER, request)
    container.runs.run(asked.id)
    done = container.jobs.get(DRIVER, asked.id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.result is not None
    assert done.result["skippedSessionIds"] == [session.id]
    assert done.model_id == version.id
    assert [one.id for one in container.models.history(DRIVER, TRACK, LAP_TIME)] == [version.id]


def test_an_increment_of_an_older_version_follows_the_newest_number(
    container: Container, upload: Upload
) -> None:
    for index in (1, 2):
        container.runs.run(upload(index)[1][0].id)
    first = container.models.history(DRIVER, TRACK, LAP_TIME)[0]
    third, _ = upload(3, auto_train=False)
    job = container.training.increment(DRIVER, IncrementRequest(model_id=first.id, session_ids=(third.id,)))
    container.runs.run(job.id)
    newest = active(container)
    assert (newest.model_version, newest.parent_id) == ("1.0.2", first.id)
    assert newest.training_session_ids == (*first.training_session_ids, third.id)


def test_training_from_scratch_raises_the_major_number(container: Container, upload: Upload) -> None:
    session, (job,) = upload(1)
    container.runs.run(job.id)
    request = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(session.id,))
    job = container.training.train(DRIVER, request)
    container.runs.run(job.id)
    assert active(container).model_version == "2.0.0"
    assert active(container).parent_id is None


@pytest.mark.parametrize(
    ("model_type", "row"),
    [
        (LAP_TIME, FRAME | {"currentLapTime": 50.0}),
        (ModelType.SECTOR_ANALYSIS, {}),
        (ModelType.SETUP_OPTIMIZATION, {"setup": {"rear_wing": 6.0}}),
    ],
)
def test_every_model_type_trains_and_predicts(
    container: Container, upload: Upload, model_type: ModelType, row: dict[str, Any]
) -> None:
    wings = [{"rear_wing": wing} for wing in (2.0, 5.0, 8.0, 11.0, 14.0)]
    uploads = [upload(i, auto_train=False, setup=setup)[0] for i, setup in enumerate(wings, start=1)]
    ids = tuple(session.id for session in uploads)
    request = TrainRequest(track_name=TRACK, model_type=model_type, session_ids=ids)
    job = container.training.train(DRIVER, request)
    container.runs.run(job.id)
    done = container.jobs.get(DRIVER, job.id)
    assert done.status is JobStatus.SUCCEEDED, done.error
    best = min(session.best_lap_time or 0.0 for session in uploads)
    ask = PredictRequest(
        rows=(row,),
        is_list=False,
        model_id=done.model_id,
        include_confidence=True,
        include_feature_importance=True,
    )
    answer = container.models.predict(DRIVER, ask)
    assert abs(answer["predictions"]["lap_time"] - best) < 0.1 * best
    assert answer["confidence"]["lower"] < answer["predictions"]["lap_time"] < answer["confidence"]["upper"]


def test_requests_are_checked_before_anything_is_recorded(container: Container, upload: Upload) -> None:
    session, _ = upload(1, auto_train=False)
    stranger, _ = upload(2, auto_train=False, user_id=STRANGER)
    asked = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(session.id,))
    with pytest.raises(SessionNotFound, match="not yours"):
        container.training.train(DRIVER, replace(asked, session_ids=(stranger.id,)))
    with pytest.raises(Invalid, match="not driven on"):
        container.training.train(DRIVER, replace(asked, track_name="elsewhere"))
    with pytest.raises(UnknownAlgorithm):
        container.training.train(DRIVER, replace(asked, algorithm="astrology"))
    with pytest.raises(InvalidHyperparameters):
        container.training.train(DRIVER, replace(asked, hyperparameters={"luck": 1}))
    with pytest.raises(SetupMissing):
        container.training.train(DRIVER, replace(asked, model_type=ModelType.SETUP_OPTIMIZATION))
    assert container.jobs.page(DRIVER).items == ()


def test_an_idempotency_key_gives_the_same_job_and_refuses_another_request(
    container: Container, upload: Upload
) -> None:
    first, second = (upload(i, auto_train=False)[0] for i in (1, 2))
    asked = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(first.id,))
    job = container.training.train(DRIVER, asked, "key-1")
    assert container.training.train(DRIVER, asked, "key-1").id == job.id
    with pytest.raises(IdempotencyKeyReused):
        container.training.train(DRIVER, replace(asked, session_ids=(second.id,)), "key-1")
    assert container.training.train(DRIVER, asked, "key-2").id != job.id


def test_a_repeated_request_answers_its_job_even_when_its_sessions_are_gone(
    container: Container, upload: Upload
) -> None:
    session, _ = upload(1, auto_train=False)
    asked = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(session.id,))
    job = container.training.train(DRIVER, asked, "key")
    container.sessions.remove(DRIVER, session.id)
    assert container.training.train(DRIVER, asked, "key").id == job.id


def test_a_failed_attempt_is_not_repeated_before_its_time(container: Container, upload: Upload) -> None:
    _, (job,) = upload(1)
    jobs: JobStore = container.runs._jobs
    held = jobs.claim(job.id)
    assert held is not None
    waiting = jobs.put_back(held, {}, timedelta(seconds=60), counts=False)
    assert waiting is not None
    assert waiting.attempts == 0
    assert jobs.claim(job.id) is None


def test_nothing_is_stored_of_a_driver_who_is_leaving(container: Container, upload: Upload) -> None:
    container.accounts.remove(DRIVER)
    with pytest.raises(Unauthorized):
        upload(1)
    with pytest.raises(Unauthorized):
        container.uploads.start(DRIVER, UploadStart(session_name="late", track_name=TRACK))
    container.platform._sessions.sweep(utc_now() + timedelta(minutes=1))
    database = container.mongo_client[container.settings.database]
    for name in ("sessions", "jobs", "uploads", "telemetry.files", "laps.files"):
        assert database[name].count_documents({}) == 0, name


def test_the_sweep_takes_files_without_a_session_and_no_others(container: Container, upload: Upload) -> None:
    session, _ = upload(1)
    gone, _ = upload(2)
    database = container.mongo_client[container.settings.database]
    database["sessions"].delete_one({"_id": gone.id})  # as if its process had died before the commit
    assert container.platform._sessions.sweep(utc_now() + timedelta(minutes=1)) == 2
    assert database["telemetry.files"].distinct("_id") == [session.id]
    assert container.sessions.trace(DRIVER, session.id, 2, 11)["channels"]["speed"][5] > 0


def test_many_calls_that_complete_an_upload_at_once_make_one_whole_session(
    container: Container, tmp_path: Path
) -> None:
    rows = pl.read_csv(session_file(tmp_path, laps=6)).to_dicts()
    upload_id = container.uploads.start(DRIVER, UploadStart(session_name="chunks", track_name=TRACK))
    for index, start in enumerate(range(0, len(rows), 200)):
        container.uploads.add_chunk(DRIVER, upload_id, index, rows[start : start + 200])
    together = Barrier(8)

    def complete(_: int) -> Session:
        together.wait()
        return container.uploads.complete(DRIVER, upload_id, False)[0]

    with ThreadPoolExecutor(max_workers=8) as pool:
        sessions = list(pool.map(complete, range(8)))
    assert {session.id for session in sessions} == {sessions[0].id}
    assert sessions[0].laps_count == 6
    with pytest.raises(UploadFinished):
        container.uploads.add_chunk(DRIVER, upload_id, 0, rows[:200])


def test_an_upload_that_cannot_be_read_stays_open_for_better_chunks(
    container: Container, tmp_path: Path
) -> None:
    rows = pl.read_csv(session_file(tmp_path)).to_dicts()
    upload_id = container.uploads.start(DRIVER, UploadStart(session_name="chunks", track_name=TRACK))
    container.uploads.add_chunk(DRIVER, upload_id, 0, [{"speed": 1.0}])
    with pytest.raises(LearningError):
        container.uploads.complete(DRIVER, upload_id, False)
    container.uploads.add_chunk(DRIVER, upload_id, 0, rows)
    session, _ = container.uploads.complete(DRIVER, upload_id, False)
    assert session.laps_count == 4


def test_old_uploads_in_chunks_are_tidied_away(container: Container) -> None:
    upload_id = container.uploads.start(DRIVER, UploadStart(session_name="given up", track_name=TRACK))
    container.uploads.add_chunk(DRIVER, upload_id, 0, [{"speed": 1.0}])
    database = container.mongo_client[container.settings.database]
    container.platform.tidy()
    assert database["uploadchunks"].count_documents({}) == 1
    old = utc_now() - timedelta(days=8)
    database["uploads"].update_one({"_id": upload_id}, {"$set": {"createdAt": old}})
    container.platform.tidy()
    assert database["uploads"].count_documents({}) == database["uploadchunks"].count_documents({}) == 0


def test_a_cursor_of_ones_own_making_is_refused(container: Container) -> None:
    made_up = (
        '["0001-01-01T00:00:00+23:59","x"]',
        '["9999-12-31T23:59:59-23:59","x"]',
        '["2026-01-01T00:00:00","\\ud800"]',
        "[]",
        "{}",
    )
    for text in made_up:
        with pytest.raises(Invalid, match="cursor"):
            container.jobs.page(DRIVER, cursor=base64.urlsafe_b64encode(text.encode()).decode())


def test_validation_measures_without_changing_the_model(container: Container, upload: Upload) -> None:
    container.runs.run(upload(1)[1][0].id)
    other, _ = upload(2, auto_train=False)
    version = active(container)
    job = container.training.validate(DRIVER, version.id, (other.id,))
    container.runs.run(job.id)
    done = container.jobs.get(DRIVER, job.id)
    assert done.result is not None
    assert done.result["metrics"]["laps"] == other.valid_laps_count
    assert done.result["metrics"]["mae"] > 0
    assert [one.id for one in container.models.history(DRIVER, TRACK, LAP_TIME)] == [version.id]


def test_jobs_of_another_driver_are_unknown(container: Container, upload: Upload) -> None:
    _, (job,) = upload(1)
    with pytest.raises(JobNotFound):
        container.jobs.get(new_id(), job.id)
    with pytest.raises(JobNotFound):
        container.jobs.cancel(new_id(), job.id)


def test_a_forgotten_redis_is_rebuilt_from_mongodb(container: Container, upload: Upload) -> None:
    container.platform.sweep()
    _, (job,) = upload(1)
    redis = container.runs._status._redis
    redis.flushall()
    assert container.jobs.get(DRIVER, job.id).status is JobStatus.QUEUED
    redis.flushall()
    container.platform.sweep()
    assert redis.llen("lapwise") == 1, "the waiting job must have been sent again"


def test_deleting_an_account_in_mid_training_leaves_nothing(
    container: Container, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (job,) = upload(1)
    learn = container.runs._lessons.learn

    def leave_meanwhile(*arguments: object) -> object:
        outcome = learn(*arguments)  # type: ignore[arg-type]
        for remove in container.accounts._removers:
            remove(DRIVER)
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", leave_meanwhile)
    container.runs.run(job.id)
    database = container.mongo_client[container.settings.database]
    for name in ("sessions", "jobs", "aimodels", "lineages", "models.files", "telemetry.files", "laps.files"):
        assert database[name].count_documents({}) == 0, name


def test_predictions_come_from_the_active_version_and_name_it(container: Container, upload: Upload) -> None:
    container.runs.run(upload(1)[1][0].id)
    version = active(container)
    request = PredictRequest(rows=(FRAME,), is_list=False, track_name=TRACK, model_type=LAP_TIME)
    answer = container.models.predict(DRIVER, request)
    assert answer["modelId"] == version.id
    best = container.sessions.page(DRIVER).items[0].best_lap_time
    assert best is not None
    assert abs(answer["predictions"]["lap_time"] - best) < 0.2 * best
    assert utc_now() > version.created_at
