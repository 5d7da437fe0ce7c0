"""The pages of sessions, versions, sectors and setups: what they show, to whom, and what where nothing is."""

import re
from io import BytesIO
from unittest.mock import Mock

import polars as pl
import pytest
from flask.testing import FlaskClient

from app import create_app
from app.container import Container
from app.stores.sessions import SessionStore
from tests.factories import TRACK, session_file
from tests.integration.drivers import PASSWORD, Driver, Json, NewDriver

CHANNELS = ["speed", "throttle", "brake", "gear"]
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
    charts = f"/charts/traces/{session['id']}"
    assert f'data-traces="{charts}"' in page
    assert roots(browser, f"{charts}/{laps[0]}/{laps[1]}") == ["gap", *CHANNELS, "map"]
    assert roots(browser, f"{charts}/{laps[0]}/{laps[0]}") == [*CHANNELS, "map"]  # a lap with itself
    assert browser.get(f"{charts}/{laps[0]}/99").status_code == 404
    assert chosen(page, "b") == [laps[-1]]
    other = shown(browser, f"/sessions/{session['id']}?a={laps[1]}&b=99")
    assert (chosen(other, "a"), chosen(other, "b")) == ([laps[1]], [laps[-1]])  # there is no lap 99
    stranger = signed_in(container, new_driver("bob"))
    assert stranger.get(f"/sessions/{session['id']}").status_code == 404
    assert stranger.get(f"{charts}/{laps[0]}/{laps[1]}").status_code == 404


def test_the_laps_of_a_page_are_read_once_for_its_charts_too_until_the_session_is_removed(
    browser: FlaskClient, ann: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = ann.upload(1, laps=6, auto_train=False)["session"]["id"]
    read = Mock(side_effect=SessionStore.read_laps)
    monkeypatch.setattr(SessionStore, "read_laps", lambda *given: read(*given))
    shown(browser, f"/sessions/{id}?a=2&b=3")
    assert roots(browser, f"/charts/traces/{id}/2/3") == ["gap", *CHANNELS, "map"]
    assert roots(browser, f"/charts/traces/{id}/2/3?theme=dark") == ["gap", *CHANNELS, "map"]
    assert read.call_count == 1
    shown(browser, f"/sessions/{id}?a=2&b=4")
    assert read.call_count == 2
    ann.call("DELETE", f"/racing-session/{id}", status=204)
    assert browser.get(f"/charts/traces/{id}/2/3").status_code == 404


def test_a_session_without_coordinates_or_pedals_is_shown_without_their_charts(
    browser: FlaskClient, ann: Driver
) -> None:
    path = session_file(ann.folder, laps=4)
    frames = pl.read_csv(path).drop("x", "y", "brake")
    answer = ann.client.post(
        "/racing-session/upload",
        data={"file": (BytesIO(frames.write_csv().encode()), "s.csv"), "trackName": TRACK},
    )
    assert answer.json is not None
    id = answer.json["session"]["id"]
    page = shown(browser, f"/sessions/{id}")
    assert re.findall(r'data-root="(\w+)"', page) == ["gap", "speed", "throttle", "gear"]
    assert roots(browser, f"/charts/traces/{id}/2/3") == ["gap", "speed", "throttle", "gear"]


def test_a_session_with_one_lap_that_counts_is_shown_by_that_lap_alone(
    browser: FlaskClient, ann: Driver
) -> None:
    session = ann.upload(1, laps=3, auto_train=False)["session"]
    page = shown(browser, f"/sessions/{session['id']}")
    assert (chosen(page, "a"), chosen(page, "b")) == ([2], [2])
    assert 'data-trace="gap" hidden' in page


def roots(browser: FlaskClient, path: str) -> list[str]:
    """The names of the charts in a document."""
    told = browser.get(path).json
    assert told is not None
    return [root["attributes"]["name"] for root in told["doc"]["roots"]]


def chosen(page: str, name: str) -> list[int]:
    """The lap that is chosen as A or B."""
    picked = re.findall(rf'name="{name}" value="(\d+)" aria-label="[^"]*" checked', page)
    return [int(lap) for lap in picked]


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
    assert "data-traces" not in page


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
    assert advice.count('class="curve"') == len(SETUPS[0])
    assert "Setup of" in shown(browser, f"/predict/{setup}")
