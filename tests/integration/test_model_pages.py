"""The pages of sessions, versions, sectors and setups: what they show, to whom, and what where nothing is."""

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.container import Container
from tests.factories import TRACK
from tests.integration.drivers import PASSWORD, Driver, Json, NewDriver

SETUPS = [
    {"rear_wing": 4.0, "brake_bias": 58.0},
    {"rear_wing": 7.0, "brake_bias": 59.0},
    {"rear_wing": 5.0, "brake_bias": 60.0},
]


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def browser(container: Container, ann: Driver) -> FlaskClient:
    """A browser in which Ann has signed in."""
    return signed_in(container, ann)


def signed_in(container: Container, driver: Driver) -> FlaskClient:
    client = create_app(container=container).test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    client.post("/login", data={"email": driver.email, "password": PASSWORD})
    return client


def shown(browser: FlaskClient, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_version_is_shown_with_its_lineage_and_what_can_be_done_with_it(
    browser: FlaskClient, ann: Driver
) -> None:
    first, second = ann.grow(1), ann.grow(2)
    page = shown(browser, f"/models/{first.id}")
    assert "Make 1.0.0 active" in page
    assert f'href="/models/{second.id}"' in page
    assert "Make 1.0.1 active" not in shown(browser, f"/models/{second.id}")
    assert all(f"export?format={name}" in page for name in ("lapwise", "json", "onnx"))
    chart = browser.get(f"/charts/versions/{first.id}").json
    assert chart is not None
    assert "doc" in chart


def test_a_shared_version_shows_nothing_of_its_owners_lineage(
    container: Container, ann: Driver, new_driver: NewDriver
) -> None:
    version, bob = ann.grow(1), new_driver("bob")
    browser = signed_in(container, bob)
    assert browser.get(f"/models/{version.id}").status_code == 404
    ann.call("POST", f"/ai-model/{version.id}/share", {"email": bob.email}, status=201)
    page = shown(browser, f"/models/{version.id}")
    assert "data-remove" not in page
    assert "Versions" not in page
    assert ann.email not in page
    assert browser.get(f"/charts/versions/{version.id}").status_code == 404
    assert "Predicted lap" in shown(browser, f"/predict/{version.id}")


def test_a_session_is_shown_with_its_laps_and_two_of_them_laid_over_each_other(
    browser: FlaskClient, ann: Driver, container: Container, new_driver: NewDriver
) -> None:
    session = ann.upload(1, laps=6, auto_train=False)["session"]
    laps = [lap["lap"] for lap in ann_laps(ann, session) if lap["valid"]]
    page = shown(browser, f"/sessions/{session['id']}")
    assert page.count("<tr") >= session["lapsCount"]
    assert "/charts/trace/" in page
    for channel in ("gap", "speed", "throttle", "brake", "gear"):
        path = f"/charts/trace/{session['id']}/{laps[0]}/{laps[1]}/{channel}"
        assert "doc" in (browser.get(path).json or {})
    assert browser.get(f"/charts/trace/{session['id']}/{laps[0]}/{laps[1]}/secrets").status_code == 404
    assert browser.get(f"/charts/trace/{session['id']}/{laps[0]}/99/speed").status_code == 404
    stranger = signed_in(container, new_driver("bob"))
    assert stranger.get(f"/sessions/{session['id']}").status_code == 404
    assert stranger.get(f"/charts/trace/{session['id']}/{laps[0]}/{laps[1]}/speed").status_code == 404


def ann_laps(ann: Driver, session: Json) -> list[Json]:
    return list(ann.get(f"/racing-session/{session['id']}/laps"))  # type: ignore[arg-type]  # a list of laps


def test_a_table_of_laps_is_shown_without_charts(
    browser: FlaskClient, container: Container, ann: Driver
) -> None:
    file = ann.folder / "laps.csv"
    file.write_text("lap,lapTime,sector1,sector2,sector3\n1,90.1,30,30,30.1\n2,89.8,30,29.9,29.9\n")
    with file.open("rb") as stream:
        answer = ann.client.post(
            "/racing-session/upload", data={"file": (stream, "laps.csv"), "trackName": "spa"}
        )
    assert answer.json is not None
    page = shown(browser, f"/sessions/{answer.json['session']['id']}")
    assert "1:29.800" in page
    assert "/charts/trace/" not in page


def test_sectors_and_setups_are_shown_once_there_is_a_model_and_said_to_be_missing_before(
    browser: FlaskClient, ann: Driver
) -> None:
    assert "No model of your sectors yet" in shown(browser, f"/sectors/{TRACK}")
    assert "No model of your setups yet" in shown(browser, f"/setup/{TRACK}")
    ids = [
        ann.upload(number, setup=setup, auto_train=False)["session"]["id"]
        for number, setup in enumerate(SETUPS)
    ]
    ann.train(ids, modelType="sector_analysis")
    setup = ann.train(ids, modelType="setup_optimization")
    sectors = shown(browser, f"/sectors/{TRACK}")
    assert "Best sectors together" in sectors
    assert "focus" in sectors
    advice = shown(browser, f"/setup/{TRACK}")
    assert "Drive this next" in advice
    assert "rear wing" in advice
    assert "Setup of" in shown(browser, f"/predict/{setup}")
