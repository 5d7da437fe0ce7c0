"""Drift is answered by one retraining, of which the better version comes out active, with the reason."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.domain import (
    FoundDrift,
    Job,
    JobKind,
    JobStatus,
    LineageKey,
    ModelType,
    Session,
    Version,
    new_id,
    utc_now,
)
from app.errors import LineageChanged, LineageNotFound
from app.experiment import ExperimentRequest
from app.mongo import in_transaction
from app.services import challenges, retraining
from app.services.challenges import Verdict
from app.settings import Settings
from app.stores.webhooks import HookEvent
from tests.factories import TRACK, new_session

DRIVER = new_id()
KEY = LineageKey(user_id=DRIVER, track_name=TRACK, model_type=ModelType.LAP_TIME_PREDICTION)
OTHER_TYRES = {"tyre_pressure": 31.0}  # about 1.6 s a lap slower in the simulator
Upload = Callable[..., Session]


@pytest.fixture(autouse=True)
def driver(database: Database[dict[str, Any]]) -> None:
    database["users"].insert_one({"_id": DRIVER, "email": DRIVER})


@pytest.fixture
def upload(container: Container, tmp_path: Path) -> Upload:
    """Uploads the simulated session of an index and learns it."""

    def add(index: int, **fields: object) -> Session:
        session, (job,) = container.sessions.add(DRIVER, new_session(tmp_path, index=index, **fields), True)
        container.runs.run(job.id)
        return session

    return add


@pytest.fixture
def lineage(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Two small sessions learned, where few laps are enough."""
    monkeypatch.setattr(retraining, "ENOUGH_LAPS", 4)
    monkeypatch.setattr(retraining, "ENOUGH_BEFORE", 1)
    monkeypatch.setattr(challenges, "BEGINNING", 0)
    monkeypatch.setattr(challenges, "LEAST_COMPARED", 1)
    return [upload(1, laps=6), upload(2, laps=8)]


def note(container: Container, session: Session) -> FoundDrift:
    """As if the active version had found drift from a session on."""
    found = FoundDrift(
        id=new_id(),
        model_id=active(container).id,
        detected_at=utc_now(),
        session_id=session.id,
        lap=5,
        began_session_id=session.id,
        began_lap=3,
        direction="slower",
        size=1.0,
    )
    store = container.retraining._drifts
    in_transaction(container.mongo_client, lambda tx: store.note(KEY, found, tx=tx))
    return found


def active(container: Container) -> Version:
    return container.models.active(DRIVER, TRACK, KEY.model_type)


def history(container: Container) -> list[str]:
    return [version.model_version for version in container.models.history(DRIVER, TRACK, KEY.model_type)]


def retrainings(container: Container) -> tuple[Job, ...]:
    return container.jobs.page(DRIVER, kind=JobKind.RETRAIN).items


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sessions_at_another_pace_lead_to_a_retraining_with_its_reason(
    container: Container, upload: Upload
) -> None:
    wanted = (HookEvent.DRIFT_DETECTED, HookEvent.MODEL_RETRAINED)
    hook = container.webhooks.register(DRIVER, "https://example.org/", wanted)
    for index in (1, 2, 3):
        upload(index, laps=25, sample_rate=4.0, seed=7)
    since = [upload(index, laps=25, sample_rate=4.0, seed=7, setup=OTHER_TYRES) for index in (4, 5)]
    drift = container.retraining.settings(KEY).drift
    assert drift is not None
    assert (drift.direction, drift.session_id, drift.began_session_id) == ("slower", since[0].id, since[0].id)
    assert drift.size == pytest.approx(1.6, abs=0.6)
    (notice,) = container.webhooks.deliveries(DRIVER, hook.id).items
    assert (notice.event, json.loads(notice.body)["data"]["driftId"]) == ("drift.detected", drift.id)
    (job,) = retrainings(container)
    assert (job.status, job.id) == (JobStatus.QUEUED, drift.job_id)
    incumbent = active(container)
    container.runs.run(job.id)
    done = container.jobs.get(DRIVER, job.id)
    assert done.status is JobStatus.SUCCEEDED, done.error
    assert done.result is not None
    challenger = container.models.get(DRIVER, str(done.model_id))
    assert (challenger.model_version, challenger.parent_id) == ("2.0.0", None)
    assert challenger.training_session_ids == tuple(session.id for session in since)
    notice, _ = container.webhooks.deliveries(DRIVER, hook.id).items
    assert (notice.event, json.loads(notice.body)["data"]["modelId"]) == ("model.retrained", challenger.id)
    told = challenger.model_metadata["retraining"]
    assert told == {name: done.result[name] for name in told}
    assert told["comparedLaps"] >= challenges.LEAST_COMPARED
    assert told["incumbent"]["modelId"] == incumbent.id
    better = told["challenger"]["mae"] < (1 - challenges.MARGIN) * told["incumbent"]["mae"]
    assert challenger.is_active is better
    assert told["outcome"] == ("activated" if better else "kept")
    assert "slower" in challenger.description
    assert active(container).id == (challenger.id if better else incumbent.id)


@pytest.mark.parametrize(
    ("margin", "outcome", "cause"), [(-1e9, "activated", "retrained"), (1.0, "kept", "trained")]
)
def test_the_better_version_is_active_and_learns_what_was_uploaded_meanwhile(
    container: Container,
    upload: Upload,
    lineage: list[Session],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    margin: float,
    outcome: str,
    cause: str,
) -> None:
    monkeypatch.setattr(challenges, "MARGIN", margin)
    incumbent = active(container)
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    learn, meanwhile = container.runs._challenges._lessons.learn, []

    def upload_meanwhile(*arguments: Any) -> object:
        meanwhile.extend(container.sessions.add(DRIVER, new_session(tmp_path, index=3), True)[1])
        return learn(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(container.runs._challenges._lessons, "learn", upload_meanwhile)
        container.runs.run(job.id)
    (waiting,) = meanwhile
    assert waiting.id != job.id, "an upload never joins a retraining"
    done = container.jobs.get(DRIVER, job.id)
    assert done.result is not None
    assert done.result["outcome"] == outcome
    winner = incumbent if outcome == "kept" else container.models.get(DRIVER, str(done.model_id))
    assert active(container).id == winner.id
    why = container.models.activations(DRIVER, TRACK, KEY.model_type).items[0]
    assert (why.model_id, why.cause, why.job_id) == (winner.id, cause, winner.job_id)
    container.runs.run(waiting.id)
    newest = active(container)
    assert newest.training_session_ids == (*winner.training_session_ids, *waiting.session_ids)
    assert (newest.model_version, newest.parent_id) == ("2.0.1", winner.id)
    assert history(container) == ["1.0.0", "1.0.1", "2.0.0", "2.0.1"]


def test_an_upload_learned_before_the_retraining_runs_is_part_of_it(
    container: Container, upload: Upload, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenges, "MARGIN", -1e9)
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    held = container.runs._jobs.claim(job.id)
    assert held is not None
    assert container.runs._jobs.put_back(held, {}, timedelta(hours=1)) is not None, "it is tried later"
    third = upload(3)
    container.mongo_client[container.settings.database]["jobs"].update_one(
        {"_id": job.id}, {"$set": {"notBefore": None}}
    )
    container.runs.run(job.id)
    assert active(container).model_version == "2.0.0"
    assert active(container).training_session_ids == (lineage[1].id, third.id)


def test_many_sweeps_at_once_start_one_job(container: Container, lineage: list[Session]) -> None:
    note(container, lineage[1])
    together = Barrier(8)

    def sweep(_: int) -> None:
        together.wait()
        container.retraining.sweep()

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(sweep, range(8)))
    (job,) = retrainings(container)
    assert job.session_ids == (lineage[1].id,)
    container.retraining.sweep()
    assert retrainings(container) == (job,)


def test_a_lineage_is_not_retrained_again_before_the_cool_down_is_over(
    container: Container, lineage: list[Session]
) -> None:
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    container.runs.run(job.id)
    note(container, lineage[1])
    container.retraining.sweep()
    assert len(retrainings(container)) == 1
    lineages = container.mongo_client[container.settings.database]["lineages"]
    lineages.update_one({"_id": KEY.id}, {"$set": {"retrainAfter": utc_now()}})
    container.retraining.sweep()
    assert len(retrainings(container)) == 2


def test_a_second_job_never_waits_beside_a_first_even_without_a_cool_down(
    settings: Settings, container: Container, lineage: list[Session]
) -> None:
    with build_container(replace(settings, retrain_cooldown_seconds=0.0)) as hasty:
        note(hasty, lineage[1])
        assert hasty.retraining.consider(KEY) is not None
        note(hasty, lineage[1])
        assert hasty.retraining.consider(KEY) is None
        assert len(retrainings(hasty)) == 1


def test_a_lineage_whose_setting_is_off_does_nothing_until_it_is_on(
    container: Container, lineage: list[Session]
) -> None:
    assert container.retraining.settings(KEY).automatic_retraining
    assert not container.retraining.set_automatic(KEY, automatic_retraining=False).automatic_retraining
    note(container, lineage[1])
    assert container.retraining.consider(KEY) is None
    container.retraining.sweep()
    assert retrainings(container) == ()
    container.retraining.set_automatic(KEY, automatic_retraining=True)
    assert len(retrainings(container)) == 1


def test_a_drift_waits_until_the_sessions_since_hold_enough_laps(
    container: Container, upload: Upload, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "ENOUGH_LAPS", lineage[1].valid_laps_count + 1)
    note(container, lineage[1])
    container.retraining.sweep()
    assert retrainings(container) == ()
    third = upload(3)
    (job,) = retrainings(container)
    assert job.session_ids == (lineage[1].id, third.id)


def test_a_drift_of_a_version_the_driver_left_is_forgotten(
    container: Container, lineage: list[Session]
) -> None:
    note(container, lineage[1])
    container.models.activate(DRIVER, container.models.history(DRIVER, TRACK, KEY.model_type)[0].id)
    container.retraining.sweep()
    assert retrainings(container) == ()
    assert container.retraining.settings(KEY).drift is None


def test_a_driver_who_goes_back_before_the_job_runs_makes_it_end_without_a_version(
    container: Container, lineage: list[Session]
) -> None:
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    container.models.activate(DRIVER, container.models.history(DRIVER, TRACK, KEY.model_type)[0].id)
    container.runs.run(job.id)
    done = container.jobs.get(DRIVER, job.id)
    assert (done.status, done.model_id) == (JobStatus.SUCCEEDED, None)
    assert done.result is not None
    assert done.result["outcome"] == "not_needed"
    assert history(container) == ["1.0.0", "1.0.1"]


def test_a_worker_that_dies_in_a_retraining_leaves_nothing_and_its_job_is_done_once(
    container: Container, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    zombie = container.runs._jobs.claim(job.id)
    assert zombie is not None
    assert container.runs._jobs.put_back(zombie, {}, timedelta(0)) is not None
    container.runs.run(job.id)
    with pytest.raises(challenges.LeaseLost):
        container.runs._perform(zombie)
    assert history(container) == ["1.0.0", "1.0.1", "2.0.0"]
    files = container.mongo_client[container.settings.database]["models.files"]
    assert files.count_documents({}) == 3
    container.retraining.sweep()
    assert len(retrainings(container)) == 1


def test_a_roll_back_in_mid_retraining_is_not_overwritten(
    container: Container, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenges, "MARGIN", -1e9)
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    first = container.models.history(DRIVER, TRACK, KEY.model_type)[0]
    learn = container.runs._challenges._lessons.learn

    def roll_back_meanwhile(*arguments: Any) -> object:
        container.models.activate(DRIVER, first.id)
        return learn(*arguments)

    monkeypatch.setattr(container.runs._challenges._lessons, "learn", roll_back_meanwhile)
    container.runs.run(job.id)
    assert container.jobs.get(DRIVER, job.id).status is JobStatus.QUEUED
    container.runs.run(job.id)
    assert active(container).id == first.id
    assert history(container) == ["1.0.0", "1.0.1"]


def test_a_retraining_is_told_in_the_transaction_that_adds_its_version(
    container: Container, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = container.webhooks.register(DRIVER, "https://example.org/", (HookEvent.MODEL_RETRAINED,))
    note(container, lineage[1])
    job = container.retraining.consider(KEY)
    assert job is not None
    succeed, tries = container.runs._jobs.succeed, []

    def fail_once(*arguments: Any, **options: Any) -> Job:
        tries.append(container.webhooks.deliveries(DRIVER, hook.id).items)
        if len(tries) == 1:
            raise LineageChanged
        return succeed(*arguments, **options)

    monkeypatch.setattr(container.runs._jobs, "succeed", fail_once)
    container.runs.run(job.id)
    assert container.webhooks.deliveries(DRIVER, hook.id).items == ()
    container.runs.run(job.id)
    (delivery,) = container.webhooks.deliveries(DRIVER, hook.id).items
    data = json.loads(delivery.body)["data"]
    assert (delivery.event, data["trackName"], data["jobId"]) == ("model.retrained", TRACK, job.id)
    assert tries == [(), ()], "before the commit nobody sees it"


def test_settings_of_a_lineage_that_is_not_there_are_unknown(container: Container) -> None:
    with pytest.raises(LineageNotFound):
        container.retraining.settings(KEY)
    with pytest.raises(LineageNotFound):
        container.retraining.set_automatic(KEY, automatic_retraining=False)


@pytest.mark.parametrize(
    ("laps", "challenger", "incumbent", "wins"),
    [
        (15, 0.50, 0.60, True),
        (14, 0.50, 0.60, False),
        (15, 0.595, 0.60, False),
        (15, 0.60, 0.50, False),
        (0, None, None, False),
    ],
)
def test_a_challenger_wins_when_clearly_better_on_enough_laps(
    laps: int, challenger: float | None, incumbent: float | None, wins: bool
) -> None:
    verdict = Verdict(laps=laps, challenger_mae=challenger, incumbent_mae=incumbent)
    assert verdict.challenger_wins is wins


def test_a_young_lineage_adapts_without_a_retraining(
    container: Container, lineage: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "ENOUGH_BEFORE", 2)
    note(container, lineage[1])
    assert container.retraining.consider(KEY) is None
    assert retrainings(container) == ()


def test_a_drift_waits_while_a_live_experiment_compares_two_versions(
    container: Container, lineage: list[Session]
) -> None:
    older, newer = container.models.history(DRIVER, TRACK, KEY.model_type)
    container.experiments.start(DRIVER, newer.id, ExperimentRequest(challenger_id=older.id, share=0.5))
    note(container, lineage[1])
    assert container.retraining.consider(KEY) is None
    container.experiments.stop(DRIVER, newer.id)
    job = container.retraining.consider(KEY)
    assert job is not None
    assert retrainings(container) == (job,)
