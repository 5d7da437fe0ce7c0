"""The pages by which a driver looks into versions, compares them, trains by hand and brings models in."""

import pytest
from flask.testing import FlaskClient

from app.container import Container
from tests.factories import TRACK
from tests.integration.drivers import Driver, NewDriver
from tests.integration.test_model_pages import shown, signed_in


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def browser(container: Container, ann: Driver) -> FlaskClient:
    """A browser in which Ann has signed in."""
    return signed_in(container, ann)


def test_a_version_shows_what_it_predicted_what_changed_and_its_error_with_its_interval(
    browser: FlaskClient, ann: Driver, container: Container, new_driver: NewDriver
) -> None:
    first, second = ann.grow(1), ann.grow(2)
    told = ann.get(f"/ai-model/{second.id}")["validationResults"]["sessions"][second.training_session_ids[1]]
    predictions = told["predictions"]
    assert [*predictions] == ["lap", "lapTime", "predicted", "lower", "upper"]
    assert len(predictions["lap"]) == told["scored"]
    page = shown(browser, f"/models/{second.id}")
    assert f'"/charts/predicted/{second.id}"' in page
    assert f'against <a href="/models/{first.id}">1.0.0</a>' in page
    assert "With 95 % certainty the mean error lies between" in page
    assert f'data-activate="{first.id}"' in page
    for path in (f"/charts/predicted/{second.id}", f"/charts/versions/{second.id}"):
        assert "doc" in (browser.get(path).json or {})
    bob = new_driver("bob")
    ann.call("POST", f"/ai-model/{second.id}/share", {"email": bob.email}, status=201)
    reader = signed_in(container, bob)
    assert reader.get(f"/charts/predicted/{second.id}").status_code == 404
    assert "Predicted against actual" not in shown(reader, f"/models/{second.id}")


def test_two_versions_of_one_lineage_are_compared_and_no_others(
    browser: FlaskClient, ann: Driver, container: Container, new_driver: NewDriver
) -> None:
    first = ann.grow(1)
    assert "There is one version only" in shown(browser, f"/compare?b={first.id}")
    second = ann.grow(2)
    page = shown(browser, f"/compare?b={second.id}")  # with its parent
    assert f'data-a="{first.id}" data-b="{second.id}"' in page
    assert "Mean error" in page
    assert "learned by 1.0.0 and 1.0.1" in page
    assert "These are the same" in shown(browser, f"/compare?a={first.id}&b={first.id}")
    sectors = ann.train(list(first.training_session_ids), modelType="sector_analysis")
    for query in (f"a={sectors}&b={first.id}", "b=nobody", f"a=nobody&b={first.id}", ""):
        assert browser.get(f"/compare?{query}").status_code == 404
    assert signed_in(container, new_driver("bob")).get(f"/compare?b={first.id}").status_code == 404


def test_training_by_hand_offers_every_algorithm_with_its_values_and_starts_from_a_version(
    browser: FlaskClient, ann: Driver, container: Container, new_driver: NewDriver
) -> None:
    assert "No session to learn" in shown(browser, "/train/nowhere")
    session = ann.upload(1, auto_train=False)["session"]
    page = shown(browser, f"/train/{TRACK}?type=setup_optimization")
    assert f'value="{session["id"]}"' in page
    known = ann.get("/model/algorithms")["items"]
    assert all(f'data-type="{one["modelType"]}" data-algorithm="{one["name"]}"' in page for one in known)
    assert '<textarea id="bounds"' in page
    model_id = ann.train([session["id"]], algorithm="linear", hyperparameters={"l2": 0.25})
    again = shown(browser, f"/train/{TRACK}?from={model_id}")
    assert '<option value="linear" selected>' in again
    assert 'id="l2" name="l2" type="number" value="0.25"' in again
    stranger = signed_in(container, new_driver("bob"))
    assert stranger.get(f"/train/{TRACK}?from={model_id}").status_code == 404
    assert session["id"] not in shown(stranger, f"/train/{TRACK}")


def test_models_are_brought_in_on_a_page_of_their_own(browser: FlaskClient) -> None:
    page = shown(browser, "/import")
    assert "data-import" in page
    assert "256.0 MiB" in page
