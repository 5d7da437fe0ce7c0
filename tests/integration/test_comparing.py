"""Comparison of versions through HTTP, on real servers, with the worker's calls made by hand."""

from typing import Any

import pytest

from app.container import Container
from app.domain import new_id
from app.services import attempts
from tests.integration.drivers import Driver, NewDriver

VALID = 7  # laps of a session of nine: not the first, out of the pits, nor the last
LINEAR = {"algorithm": "linear", "hyperparameters": {"learning_rate": 0.05}}


@pytest.fixture
def driver(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def versions(driver: Driver) -> tuple[str, str]:
    """A linear model that learns too fast, and the default; both know one session."""
    session_id = driver.upload(801, laps=8, auto_train=False)["session"]["id"]
    return driver.train([session_id], **LINEAR), driver.train([session_id])


def compared(driver: Driver, model_ids: list[str], session_ids: list[str], **fields: Any) -> Any:
    body = {"modelIds": model_ids, "sessionIds": session_ids} | fields
    done = driver.run(driver.call("POST", "/ai-model/compare", body, status=202))
    assert done["status"] == "succeeded", done["error"]
    return done


def uploaded(driver: Driver, *indices: int, laps: int = 9) -> list[str]:
    return [driver.upload(index, laps=laps, auto_train=False)["session"]["id"] for index in indices]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_two_versions_are_told_apart_on_sessions_that_neither_has_learned(
    driver: Driver, versions: tuple[str, str]
) -> None:
    before = [driver.call("GET", f"/ai-model/{model_id}") for model_id in versions]
    fresh = uploaded(driver, 802, 803, 804, 805, 806)
    done = compared(driver, [*versions], fresh, level=0.8)
    result = done["result"]
    assert (done["kind"], done["modelId"]) == ("compare", None)
    assert result["verdict"] == result["pairs"][0]["verdict"] == "b_better"
    assert (result["best"], result["notBeaten"]) == (versions[1], [versions[1]])
    assert result["withheld"] is None
    assert result["warnings"] == []
    assert result["judgedOn"]["sessionIds"] == fresh
    assert done["progress"]["done"] == 2 * result["judgedOn"]["laps"], "each lap once for each model"
    (pair,) = result["pairs"]
    assert (pair["a"], pair["b"]) == versions
    assert 0 < pair["interval"]["lower"] < pair["meanDifference"] < pair["interval"]["upper"]
    errors = [lap["errors"] for lap in result["laps"]]
    assert len(errors) == result["judgedOn"]["laps"]
    assert sum(a - b for a, b in errors) / len(errors) == pytest.approx(pair["meanDifference"], abs=1e-5)
    assert [one["mae"] for one in result["models"]] == [
        pytest.approx(one["metrics"]["mae"]) for one in result["models"]
    ]
    assert [driver.call("GET", f"/ai-model/{model_id}") for model_id in versions] == before


def test_a_comparison_agrees_with_a_validation_of_each(driver: Driver, versions: tuple[str, str]) -> None:
    (fresh,) = uploaded(driver, 802)
    result = compared(driver, [*versions], [fresh])["result"]
    body = {"modelId": versions[0], "sessionIds": [fresh]}
    validated = driver.run(driver.call("POST", "/model/validate", body, status=202))["result"]
    assert result["models"][0]["metrics"] == validated["metrics"]


def test_sessions_that_a_version_has_learned_do_not_judge(driver: Driver, versions: tuple[str, str]) -> None:
    (learned,) = driver.call("GET", f"/ai-model/{versions[0]}")["trainingSessionIds"]
    fresh = uploaded(driver, 802, 803, 804)
    result = compared(driver, [*versions], [learned, *fresh])["result"]
    assert [one["learnedSessionIds"] for one in result["models"]] == [[learned], [learned]]
    assert result["judgedOn"] == {"sessionIds": fresh, "learned": False, "laps": 3 * VALID, "lapsLeftOut": 0}
    assert {lap["sessionId"] for lap in result["laps"]} == set(fresh)
    assert result["verdict"] in ("b_better", "no_difference")
    assert "looks better" in result["warnings"][0]


def test_without_a_session_that_is_new_to_all_the_verdict_is_withheld(
    driver: Driver, versions: tuple[str, str]
) -> None:
    fresh = uploaded(driver, 802, 803, 804)
    grown = driver.run(
        driver.call(
            "POST",
            "/model/incremental-training",
            {"modelId": versions[1], "newSessionIds": fresh},
            status=202,
        )
    )["modelId"]
    result = compared(driver, [versions[1], grown], fresh)["result"]
    assert (result["verdict"], result["pairs"][0]["verdict"]) == (None, None)
    assert (result["withheld"], result["judgedOn"]["learned"]) == ("sessions_learned", True)
    assert result["judgedOn"]["laps"] == 3 * VALID
    assert (result["best"], result["notBeaten"]) == (None, [])
    assert "none of them has learned" in result["warnings"][0]


def test_a_handful_of_laps_gives_figures_but_no_verdict(driver: Driver, versions: tuple[str, str]) -> None:
    result = compared(driver, [*versions], uploaded(driver, 802))["result"]
    assert (result["verdict"], result["withheld"]) == (None, "too_few_laps")
    assert result["judgedOn"]["laps"] == VALID
    assert "fewer than 20 laps" in result["warnings"][0]


def test_laps_that_one_version_cannot_predict_are_left_out_for_all(
    driver: Driver, versions: tuple[str, str]
) -> None:
    fresh = uploaded(driver, 802)
    other = driver.upload(803, laps=5, auto_train=False, car_model="halden_gt3")["session"]["id"]
    with_halden_gt3 = driver.train([fresh[0], other])
    strange = driver.upload(804, laps=5, auto_train=False, car_model="halden_gt3")["session"]["id"]
    known = uploaded(driver, 805)
    result = compared(driver, [versions[1], with_halden_gt3], [strange, *known])["result"]
    assert result["judgedOn"]["lapsLeftOut"] == 3
    assert {lap["sessionId"] for lap in result["laps"]} == set(known)


def test_of_three_versions_all_pairs_are_compared_and_the_best_is_named(
    driver: Driver, versions: tuple[str, str]
) -> None:
    fresh = uploaded(driver, 802, 803, 804)
    (learned,) = driver.call("GET", f"/ai-model/{versions[0]}")["trainingSessionIds"]
    third = driver.train([learned], algorithm="nearest_moments")
    result = compared(driver, [*versions, third], fresh)["result"]
    assert [(pair["a"], pair["b"]) for pair in result["pairs"]] == [
        versions,
        (versions[0], third),
        (versions[1], third),
    ]
    assert result["verdict"] is None, "there is one for each pair"
    assert {pair["verdict"] for pair in result["pairs"]} <= {"a_better", "b_better", "no_difference"}
    assert all(pair["pAdjusted"] >= pair["p"] for pair in result["pairs"])
    assert set(result["notBeaten"]) <= {*versions, third}


def test_what_cannot_be_compared_is_refused_and_the_field_named(
    driver: Driver, versions: tuple[str, str]
) -> None:
    (session_id,) = driver.call("GET", f"/ai-model/{versions[0]}")["trainingSessionIds"]
    sectors = driver.train([session_id], modelType="sector_analysis")
    good = {"modelIds": [*versions], "sessionIds": [session_id]}
    refused = (
        ({"modelIds": [versions[0]]}, 422, "modelIds"),
        ({"modelIds": [versions[0], versions[0]]}, 422, "modelIds"),
        ({"modelIds": [new_id() for _ in range(11)]}, 422, "modelIds"),
        ({"modelIds": [versions[0], sectors]}, 422, "modelIds"),
        ({"sessionIds": []}, 422, "sessionIds"),
        ({"level": 1.0}, 422, "level"),
        ({"level": "0.9"}, 422, "level"),
        ({"modelIds": [versions[0], new_id()]}, 404, None),
        ({"sessionIds": [new_id()]}, 404, "sessionIds"),
    )
    for change, status, field in refused:
        error = driver.call("POST", "/ai-model/compare", good | change, status=status)["error"]
        assert field is None or field in error["details"], change


def test_another_drivers_models_and_sessions_are_unknown(
    driver: Driver, versions: tuple[str, str], new_driver: NewDriver
) -> None:
    stranger = new_driver("bob")
    mine = uploaded(driver, 802)
    theirs = uploaded(stranger, 801)
    their_versions = [stranger.train(theirs), stranger.train(theirs)]
    for model_ids, session_ids in (
        ([*versions], mine),
        ([their_versions[0], versions[0]], theirs),
        (their_versions, mine),
    ):
        body = {"modelIds": model_ids, "sessionIds": session_ids}
        stranger.call("POST", "/ai-model/compare", body, status=404)


def test_a_repeated_request_answers_the_same_job(driver: Driver, versions: tuple[str, str]) -> None:
    body = {"modelIds": [*versions], "sessionIds": uploaded(driver, 802)}
    key = {"Idempotency-Key": "compare-1"}
    first, again = (driver.ask("POST", "/ai-model/compare", body, **key) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.json is not None
    assert again.json is not None
    assert first.headers["Location"] == f"/jobs/{first.json['id']}"
    assert again.json["id"] == first.json["id"]
    other = driver.ask("POST", "/ai-model/compare", body | {"level": 0.9}, **key)
    assert other.status_code == 409


def test_a_comparison_is_cancelled_in_mid_work(
    driver: Driver, versions: tuple[str, str], platform: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "RENEW_SECONDS", 0.0)
    body = {"modelIds": [*versions], "sessionIds": uploaded(driver, 802)}
    job = driver.call("POST", "/ai-model/compare", body, status=202)
    measuring = platform.runs._measuring
    measured = measuring._measured

    def cancel_then_measure(*arguments: Any) -> Any:
        driver.call("DELETE", f"/jobs/{job['id']}")
        return measured(*arguments)

    monkeypatch.setattr(measuring, "_measured", cancel_then_measure)
    assert driver.run(job)["status"] == "cancelled"


def test_a_comparison_of_what_was_removed_meanwhile_fails_with_the_reason(
    driver: Driver, versions: tuple[str, str]
) -> None:
    gone, left = uploaded(driver, 802, 803)
    body = {"modelIds": [*versions], "sessionIds": [gone, left]}
    first, second = (driver.call("POST", "/ai-model/compare", body, status=202) for _ in range(2))
    driver.call("DELETE", f"/racing-session/{gone}", status=204)
    assert driver.run(first)["result"]["missingSessionIds"] == [gone]
    driver.call("DELETE", f"/ai-model/{versions[0]}", status=204)
    assert driver.run(second)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("model_type", "algorithm"), [("sector_analysis", "linear"), ("setup_optimization", "bayesian_additive")]
)
def test_every_model_type_is_compared_by_the_laps_it_predicts(
    driver: Driver, model_type: str, algorithm: str
) -> None:
    setups = [{"rear_wing": wing} for wing in (2.0, 8.0, 14.0)]
    sessions = [
        driver.upload(index, laps=9, auto_train=False, setup=setup)["session"]["id"]
        for index, setup in enumerate(setups, start=801)
    ]
    versions = [
        driver.train(sessions[:2], modelType=model_type),
        driver.train(sessions[:2], modelType=model_type, algorithm=algorithm),
    ]
    result = compared(driver, versions, sessions[2:])["result"]
    assert result["judgedOn"]["laps"] == VALID
    assert [one["algorithm"] for one in result["models"]][1] == algorithm
    for lap in result["laps"]:
        assert all(0 <= error < lap["lapTime"] for error in lap["errors"])
