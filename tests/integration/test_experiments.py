"""Live experiments through HTTP, on real servers, with the worker's calls made by hand."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container
from app.domain import JobStatus, Version, new_id, utc_now
from app.services import experiments as experiments_module
from app.services.comparing import scored
from tests.factories import TRACK
from tests.integration.drivers import LAP_TIME, Driver, Json, NewDriver

LINEAR = {"algorithm": "linear", "hyperparameters": {"learning_rate": 0.05}}
Found = dict[str, Any]


@pytest.fixture
def container(platform: Container, monkeypatch: pytest.MonkeyPatch) -> Container:
    """The platform, in which every process knows of an experiment at once."""
    monkeypatch.setattr(experiments_module, "SEEN_WITHIN", 0.0)
    return platform


@pytest.fixture
def driver(container: Container, new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def sides(driver: Driver) -> tuple[str, str]:
    """The active version, a linear model that learns too fast, and a challenger, the default."""
    session_id = driver.upload(801, laps=8, auto_train=False)["session"]["id"]
    incumbent, challenger = driver.train([session_id], **LINEAR), driver.train([session_id])
    driver.call("POST", f"/ai-model/{incumbent}/activate")
    return incumbent, challenger


def start(driver: Driver, sides: tuple[str, str], **fields: Any) -> Json:
    body = {"challengerId": sides[1], "share": 0.5} | fields
    return driver.call("POST", f"/ai-model/{sides[0]}/experiment", body, status=201)


def shown(driver: Driver, model_id: str) -> Json:
    return driver.call("GET", f"/ai-model/{model_id}/experiment")


def activations(driver: Driver) -> list[tuple[str, ...]]:
    """What became active and why, newest first."""
    entries = driver.get(f"/ai-model/activations/{TRACK}/{LAP_TIME}")["items"]
    return [(entry["modelId"], entry["cause"], entry["by"], entry["reason"]) for entry in entries]


def history(driver: Driver) -> list[str]:
    versions = driver.call("GET", f"/ai-model/performance-history/{TRACK}/{LAP_TIME}")["versions"]
    return [version["version"] for version in versions]


def test_an_experiment_says_what_was_agreed_and_how_it_stands(driver: Driver, sides: tuple[str, str]) -> None:
    started = start(driver, sides, share=0.2, level=0.9, minLaps=40, maxDays=7)
    assert started == shown(driver, sides[0]) == shown(driver, sides[1])
    assert (started["status"], started["reason"], started["outcome"]) == ("running", None, None)
    assert (started["incumbentId"], started["challengerId"]) == sides
    assert (started["share"], started["level"], started["minLaps"]) == (0.2, 0.9, 40)
    assert started["autoPromote"] is False
    assert started["results"] == {
        "sessions": 0,
        "laps": 0,
        "lapsLeftOut": 0,
        "incumbentMae": None,
        "challengerMae": None,
        "meanDifference": None,
        "interval": None,
        "evidence": 1.0,
        "evidenceNeeded": pytest.approx(10),
    }


def test_a_share_of_the_clients_gets_the_challenger_and_keeps_it(
    driver: Driver, sides: tuple[str, str]
) -> None:
    experiment = start(driver, sides, share=0.3)
    clients = [f"client {number}" for number in range(100)]
    answers = [driver.predict(clientId=client) for client in clients]
    variants = [answer["variant"] for answer in answers]
    assert 15 <= variants.count("challenger") <= 45
    by_variant = dict(zip(("incumbent", "challenger"), sides, strict=True))
    assert [answer["modelId"] for answer in answers] == [by_variant[variant] for variant in variants]
    assert {answer["experimentId"] for answer in answers} == {experiment["id"]}
    assert [driver.predict(clientId=client)["variant"] for client in clients[:20]] == variants[:20]


def test_a_client_without_a_name_is_its_driver(driver: Driver, sides: tuple[str, str]) -> None:
    start(driver, sides, share=1)
    assert {driver.predict()["variant"] for _ in range(3)} == {"challenger"}


def test_a_version_that_is_named_answers_itself(driver: Driver, sides: tuple[str, str]) -> None:
    start(driver, sides, share=1)
    answer = driver.predict(sides[0])
    assert (answer["modelId"], "variant" in answer) == (sides[0], False)


def test_an_upload_scores_both_sides_before_it_grows_both(
    driver: Driver, sides: tuple[str, str], container: Container
) -> None:
    start(driver, sides)
    done = driver.learn(802, laps=8)
    session_id = done["sessionIds"][0]
    after = shown(driver, sides[0])
    (score,) = after["scores"]
    assert (score["incumbentId"], score["challengerId"]) == sides
    errors = [errors_of(container, driver, model_id, session_id) for model_id in sides]
    assert score["differences"] == [pytest.approx(a - b, abs=1e-6) for a, b in zip(*errors, strict=True)]
    assert score["challengerMae"] == pytest.approx(sum(errors[1]) / len(errors[1]))
    assert after["results"]["laps"] == len(errors[0])
    for side, grown in zip(sides, (after["incumbentId"], after["challengerId"]), strict=True):
        version = driver.call("GET", f"/ai-model/{grown}")
        assert (version["parentId"], version["trainingSessionIds"][-1]) == (side, session_id)
        assert version["isActive"] is (side == sides[0])
    assert history(driver) == ["1.0.0", "2.0.0", "2.0.1", "2.0.2"]
    assert done["result"]["experiment"]["scoredSessionIds"] == [session_id]
    assert done["progress"]["done"] == done["progress"]["total"]
    assert shown(driver, after["challengerId"])["id"] == after["id"]


def errors_of(container: Container, driver: Driver, model_id: str, session_id: str) -> list[float]:
    """What the stored version says of the session's laps, asked outside of any experiment."""
    runs = container.runs
    sessions = runs._lessons._sessions
    version = container.models.get(driver.id, model_id)
    laps = sessions.decoded_laps(sessions.get(driver.id, session_id))
    return [lap.error or 0.0 for lap in scored(runs._models.load(version), laps)[0]]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_better_challenger_is_found_and_becomes_active_by_itself(
    driver: Driver, sides: tuple[str, str]
) -> None:
    start(driver, sides, level=0.8, minLaps=20, autoPromote=True)
    sessions = [driver.learn(index, laps=8)["sessionIds"][0] for index in range(802, 810)]
    after = shown(driver, sides[0])
    assert (after["status"], after["reason"], after["outcome"]) == (
        "ended",
        "decided",
        "challenger_better",
    )
    assert after["promotedId"] == after["challengerId"]
    assert after["results"]["evidence"] >= after["results"]["evidenceNeeded"] == pytest.approx(5)
    assert after["results"]["interval"]["lower"] > 0
    scored_sessions = [score["sessionId"] for score in after["scores"]]
    assert scored_sessions == sessions[: len(scored_sessions)]
    active = driver.active()
    won = (after["promotedId"], "won", "platform", f"experiment {after['id']}")
    assert won in activations(driver)
    assert active["algorithm"] == "expert_mixture"
    assert active["trainingSessionIds"][1:] == sessions, "nothing that came meanwhile is lost"
    assert "variant" not in driver.predict()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_challenger_promoted_later_catches_up_with_what_came_since(
    driver: Driver, sides: tuple[str, str]
) -> None:
    start(driver, sides, level=0.8, minLaps=20)
    sessions = [driver.learn(index, laps=8)["sessionIds"][0] for index in range(802, 810)]
    after = shown(driver, sides[0])
    assert (after["reason"], after["outcome"], after["promotedId"]) == ("decided", "challenger_better", None)
    assert driver.active()["algorithm"] == "linear", "nobody asked for the promotion yet"
    since = sessions[len(after["scores"]) :]
    since.append(driver.learn(810, laps=8)["sessionIds"][0])
    promoted = driver.call("POST", f"/ai-model/{sides[0]}/experiment/promote")
    assert promoted["promotedId"] == driver.active()["id"] == after["challengerId"]
    (job,) = driver.call("GET", "/jobs?status=queued")["items"]
    assert sorted(job["sessionIds"]) == sorted(since)
    driver.run(job)
    assert set(driver.active()["trainingSessionIds"][1:]) == {*sessions, *since}


def test_a_challenger_is_promoted_in_one_call(driver: Driver, sides: tuple[str, str]) -> None:
    start(driver, sides)
    promoted = driver.call("POST", f"/ai-model/{sides[0]}/experiment/promote")
    assert (promoted["status"], promoted["reason"], promoted["promotedId"]) == (
        "ended",
        "promoted",
        sides[1],
    )
    assert driver.active()["id"] == sides[1]
    assert activations(driver)[0] == (sides[1], "promoted", "driver", f"experiment {promoted['id']}")
    driver.call("POST", f"/ai-model/{sides[0]}/activate")
    again = driver.call("POST", f"/ai-model/{sides[0]}/experiment/promote")
    assert again == promoted
    assert driver.active()["id"] == sides[0], "a repeat must not undo what was done since"


def test_an_experiment_ends_by_hand_and_its_challenger_is_not_promoted_after(
    driver: Driver, sides: tuple[str, str]
) -> None:
    start(driver, sides, share=1)
    assert driver.predict()["variant"] == "challenger"
    ended = driver.call("DELETE", f"/ai-model/{sides[0]}/experiment")
    assert (ended["status"], ended["reason"]) == ("ended", "stopped")
    assert driver.call("DELETE", f"/ai-model/{sides[0]}/experiment") == ended
    answer = driver.predict()
    assert (answer["modelId"], "experimentId" in answer) == (sides[0], False)
    error = driver.call("POST", f"/ai-model/{sides[0]}/experiment/promote", status=409)["error"]
    assert error["code"] == "experiment_ended"
    assert start(driver, sides)["id"] != ended["id"]


def test_what_cannot_be_an_experiment_is_refused(driver: Driver, sides: tuple[str, str]) -> None:
    (session_id,) = driver.call("GET", f"/ai-model/{sides[0]}")["trainingSessionIds"]
    sectors = driver.train([session_id], modelType="sector_analysis")
    refused = (
        ({"share": 0}, 422, "share"),
        ({"share": 1.1}, 422, "share"),
        ({"share": True}, 422, "share"),
        ({"share": None}, 422, "share"),
        ({"level": 0.2}, 422, "level"),
        ({"minLaps": 0}, 422, "minLaps"),
        ({"maxDays": 91}, 422, "maxDays"),
        ({"challengerId": sides[0]}, 422, "challengerId"),
        ({"challengerId": sectors}, 422, "challengerId"),
        ({"challengerId": new_id()}, 404, None),
    )
    good = {"challengerId": sides[1], "share": 0.5}
    for change, status, field in refused:
        path = f"/ai-model/{sides[0]}/experiment"
        error = driver.call("POST", path, good | change, status=status)["error"]
        assert field is None or field in error["details"], change
    swapped = good | {"challengerId": sides[0]}
    error = driver.call("POST", f"/ai-model/{sides[1]}/experiment", swapped, status=409)["error"]
    assert error["code"] == "not_active"
    assert driver.call("GET", f"/ai-model/{sides[0]}/experiment", status=404)["error"]["code"] == (
        "experiment_not_found"
    )
    assert driver.call("GET", f"/ai-model/{new_id()}/experiment", status=404)["error"]["code"] == (
        "model_not_found"
    )
    start(driver, sides)
    error = driver.call("POST", f"/ai-model/{sides[0]}/experiment", good, status=409)["error"]
    assert error["code"] == "experiment_running"


def test_another_drivers_experiment_is_unknown_and_stays_as_it_is(
    driver: Driver, sides: tuple[str, str], new_driver: NewDriver
) -> None:
    stranger = new_driver("bob")
    started = start(driver, sides)
    mine = stranger.train([stranger.upload(1, auto_train=False)["session"]["id"]])
    path = f"/ai-model/{sides[0]}/experiment"
    body = {"challengerId": mine, "share": 1}
    for method, address, sent in (
        ("POST", path, body),
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/promote", None),
        ("POST", f"/ai-model/{mine}/experiment", {"challengerId": sides[1], "share": 1}),
    ):
        stranger.call(method, address, sent, status=404)
    assert shown(driver, sides[0]) == started
    assert "variant" not in stranger.predict()


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "/ai-model/{challenger}/activate", None, "another_version_activated"),
        ("DELETE", "/ai-model/{challenger}", None, "challenger_removed"),
        ("DELETE", "/ai-model/{incumbent}", None, "incumbent_removed"),
    ],
)
def test_an_experiment_ends_when_a_side_goes_or_another_version_is_chosen(
    driver: Driver, sides: tuple[str, str], method: str, path: str, body: Any, reason: str
) -> None:
    start(driver, sides, share=1)
    address = path.format(incumbent=sides[0], challenger=sides[1])
    driver.ask(method, address, body)
    ended = shown(driver, sides[0])
    assert (ended["status"], ended["reason"], ended["promotedId"]) == ("ended", reason, None)
    assert "variant" not in driver.predict()


def test_a_training_outside_of_the_experiment_ends_it(driver: Driver, sides: tuple[str, str]) -> None:
    start(driver, sides)
    (session_id,) = driver.call("GET", f"/ai-model/{sides[0]}")["trainingSessionIds"]
    trained = driver.train([session_id])
    assert driver.active()["id"] == trained
    assert shown(driver, sides[0])["reason"] == "another_version_activated"


def test_an_experiment_whose_time_is_over_ends_without_a_difference(
    driver: Driver, sides: tuple[str, str], container: Container, database: Database[Found]
) -> None:
    start(driver, sides, share=1)
    database["experiments"].update_one({}, {"$set": {"endsAt": utc_now() - timedelta(seconds=1)}})
    assert "variant" not in driver.predict(), "also before the sweep has come by"
    container.platform.sweep()
    ended = shown(driver, sides[0])
    assert (ended["reason"], ended["outcome"]) == ("time_over", "no_difference")


def test_a_challenger_that_fails_ends_its_experiment_and_not_the_learning(
    driver: Driver, sides: tuple[str, str], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(driver, sides)

    def fail(*_: object) -> Version:
        raise ZeroDivisionError

    monkeypatch.setattr(container.runs._trials, "_learn", fail)
    done = driver.learn(802)
    assert done["status"] == "succeeded"
    assert driver.active()["trainingSessionIds"][-1] == done["sessionIds"][0]
    assert shown(driver, sides[0])["reason"] == "challenger_failed"


def test_the_versions_of_a_running_experiment_are_in_use(
    driver: Driver, sides: tuple[str, str], container: Container
) -> None:
    store = container.experiments._store
    assert store.models_in_use(driver.id) == set()
    start(driver, sides)
    assert store.models_in_use(driver.id) == {*sides}
    driver.call("DELETE", f"/ai-model/{sides[0]}/experiment")
    assert store.models_in_use(driver.id) == set()


def test_who_leaves_takes_experiments_along(
    driver: Driver, sides: tuple[str, str], database: Database[Found]
) -> None:
    start(driver, sides)
    driver.call("DELETE", "/auth/me", status=204)
    assert database["experiments"].count_documents({}) == 0


def test_a_session_is_scored_once_though_its_job_ran_twice(
    driver: Driver, sides: tuple[str, str], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(driver, sides)
    (job,) = driver.upload(802)["jobs"]
    trials, jobs = container.runs._trials, container.runs._jobs
    grow, grown = trials.grow, []

    def slow_grow(*arguments: Any) -> Any:
        outcome = grow(*arguments)
        grown.append(outcome)
        if len(grown) == 1:  # meanwhile the lease runs out and another worker does the job
            held = replace(arguments[3].job, status=JobStatus.RUNNING)
            assert jobs.put_back(held, {}, timedelta(0)) is not None
            container.runs.run(job["id"])
        return outcome

    monkeypatch.setattr(trials, "grow", slow_grow)
    container.runs.run(job["id"])
    assert len(grown) == 2, "both workers must have scored and learned"
    after = shown(driver, sides[0])
    assert [score["sessionId"] for score in after["scores"]] == job["sessionIds"]
    assert history(driver) == ["1.0.0", "2.0.0", "2.0.1", "2.0.2"]
    files = container.mongo_client[container.settings.database]["models.files"]
    assert files.count_documents({}) == 4, "the slow worker's binaries are gone"


def test_an_experiment_that_starts_in_mid_training_is_heeded_by_it(
    driver: Driver, sides: tuple[str, str], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = driver.upload(802)["jobs"]
    learn, started = container.runs._lessons.learn, []

    def start_meanwhile(*arguments: Any) -> Any:
        outcome = learn(*arguments)
        if not started:
            started.append(start(driver, sides))
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", start_meanwhile)
    assert driver.run(job)["status"] == "queued"
    assert driver.run(job)["status"] == "succeeded"
    after = shown(driver, sides[0])
    assert (after["status"], after["results"]["sessions"]) == ("running", 1)


def test_an_experiment_that_ends_in_mid_training_lets_the_incumbent_learn_alone(
    driver: Driver, sides: tuple[str, str], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(driver, sides)
    (job,) = driver.upload(802)["jobs"]
    trials = container.runs._trials
    grow = trials.grow

    def stop_meanwhile(*arguments: Any) -> Any:
        outcome = grow(*arguments)
        driver.call("DELETE", f"/ai-model/{sides[0]}/experiment")
        return outcome

    monkeypatch.setattr(trials, "grow", stop_meanwhile)
    assert driver.run(job)["status"] == "succeeded"
    assert history(driver) == ["1.0.0", "2.0.0", "2.0.1"]
    assert driver.active()["trainingSessionIds"][-1] == job["sessionIds"][0]
    assert shown(driver, sides[0])["scores"] == []
    files = container.mongo_client[container.settings.database]["models.files"]
    assert files.count_documents({}) == 3


def test_a_session_removed_in_mid_training_is_neither_scored_nor_learned(
    driver: Driver, sides: tuple[str, str], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(driver, sides)
    (job,) = driver.upload(802)["jobs"]
    learn = container.runs._lessons.learn

    def remove_meanwhile(*arguments: Any) -> Any:
        outcome = learn(*arguments)
        driver.ask("DELETE", f"/racing-session/{job['sessionIds'][0]}")
        return outcome

    monkeypatch.setattr(container.runs._lessons, "learn", remove_meanwhile)
    assert driver.run(job)["status"] == "queued"
    assert driver.run(job)["error"]["code"] == "session_not_found"
    after = shown(driver, sides[0])
    assert (after["status"], after["scores"]) == ("running", [])


def test_an_increment_of_the_incumbent_by_hand_grows_both_sides(
    driver: Driver, sides: tuple[str, str]
) -> None:
    start(driver, sides)
    session_id = driver.upload(802, auto_train=False)["session"]["id"]
    body = {"modelId": sides[0], "newSessionIds": [session_id]}
    driver.run(driver.call("POST", "/model/incremental-training", body, status=202))
    after = shown(driver, sides[0])
    assert (after["status"], after["results"]["sessions"]) == ("running", 1)
    assert len(after["challengerIds"]) == 2


def test_a_session_that_the_challenger_knows_already_is_not_scored(
    driver: Driver, sides: tuple[str, str]
) -> None:
    session_id = driver.upload(802, auto_train=False)["session"]["id"]
    knowing = driver.train([session_id])
    driver.call("POST", f"/ai-model/{sides[0]}/activate")
    start(driver, (sides[0], knowing))
    body = {"modelId": sides[0], "newSessionIds": [session_id]}
    driver.run(driver.call("POST", "/model/incremental-training", body, status=202))
    after = shown(driver, sides[0])
    assert after["scores"] == []
    assert after["challengerId"] == knowing
    assert driver.active()["trainingSessionIds"][-1] == session_id
