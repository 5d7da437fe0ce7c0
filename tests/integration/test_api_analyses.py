"""Analyses of laps through HTTP, on a real MongoDB and a real Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pymongo.database import Database

from app import create_app
from app.container import Container, build_container
from app.domain import NewSession
from app.settings import Settings
from tests.factories import TRACK, session_file

Found = dict[str, Any]


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    with build_container(settings) as built:
        yield built


def registered(container: Container, email: str) -> tuple[FlaskClient, str]:
    """A client of a new driver, and the driver's id."""
    client = create_app(container=container).test_client()
    body = {"email": email, "password": "a long pass phrase"}
    user: Found = client.post("/auth/register", json=body).get_json()["user"]
    token = client.post("/auth/login", json=body).get_json()["accessToken"]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client, user["id"]


@pytest.fixture
def driver(container: Container) -> tuple[FlaskClient, str]:
    return registered(container, "ann@example.org")


@pytest.fixture
def upload(container: Container, driver: tuple[FlaskClient, str], tmp_path: Path) -> Any:
    """Uploads a simulated session and answers its id."""

    def added(*, index: int, track_name: str = TRACK, car_model: str | None = "gt3", laps: int = 5) -> str:
        path = session_file(tmp_path, index=index, laps=laps)
        new = NewSession(path=path, track_name=track_name, car_model=car_model, setup={})
        session, _ = container.sessions.add(driver[1], new, False)
        return session.id

    return added


def analysis(client: FlaskClient, session_id: str, lap: int, **query: Any) -> Any:
    return client.get(f"/racing-session/{session_id}/laps/{lap}/analysis", query_string=query)


def valid_laps(client: FlaskClient, session_id: str) -> list[Found]:
    laps = client.get(f"/racing-session/{session_id}/laps").get_json()
    return sorted((lap for lap in laps if lap["valid"]), key=lambda lap: lap["lapTime"])


def error(answer: Any, status: int) -> Found:
    assert answer.status_code == status
    found: Found = answer.get_json()["error"]
    return found


def test_a_lap_is_explained_against_the_best_one_so_far(driver: tuple[FlaskClient, str], upload: Any) -> None:
    client, _ = driver
    first, second = upload(index=1), upload(index=2)
    best = min((lap["lapTime"], session, lap["lap"]) for session in (first, second)
               for lap in valid_laps(client, session))  # fmt: skip
    slowest = valid_laps(client, second)[-1]
    found = analysis(client, second, slowest["lap"]).get_json()
    assert (found["sessionId"], found["lap"], found["lapTime"]) == (
        second,
        slowest["lap"],
        slowest["lapTime"],
    )
    reference = found["reference"]
    assert (reference["lapTime"], reference["sessionId"], reference["lap"]) == best
    assert found["gap"] == pytest.approx(slowest["lapTime"] - best[0])
    for parts in ("sectors", "miniSectors"):
        assert sum(part["loss"] for part in found[parts]) == pytest.approx(found["gap"], abs=0.01)
    assert [part["number"] for part in found["miniSectors"]] == list(range(1, 21))
    findings = [finding for part in found["miniSectors"] for finding in part["findings"]]
    assert {finding["unit"] for finding in findings} >= {"m", "km/h"}
    assert found["length"] == pytest.approx(4529, abs=30)


def test_a_later_session_is_no_reference_unless_it_is_named(
    driver: tuple[FlaskClient, str], upload: Any
) -> None:
    client, _ = driver
    first, second = upload(index=1), upload(index=9)  # practice made the second faster
    fastest = valid_laps(client, first)[0]["lap"]
    assert analysis(client, first, fastest).get_json()["reference"]["sessionId"] == first
    named = analysis(client, first, fastest, referenceSessionId=second).get_json()["reference"]
    assert named["lap"] == valid_laps(client, second)[0]["lap"]
    other = valid_laps(client, second)[-1]["lap"]
    query = {"referenceSessionId": second, "referenceLap": other}
    assert analysis(client, first, fastest, **query).get_json()["reference"]["lap"] == other


def test_another_car_and_a_wet_day_are_no_references(
    driver: tuple[FlaskClient, str], upload: Any, database: Database[Found]
) -> None:
    client, _ = driver
    upload(index=9, car_model="prototype")
    wet = upload(index=8)
    database["sessions"].update_one({"_id": wet}, {"$set": {"laps.$[].wetness": 0.9}})
    own = upload(index=1)
    slowest = valid_laps(client, own)[-1]["lap"]
    assert analysis(client, own, slowest).get_json()["reference"]["sessionId"] == own


def test_without_any_other_lap_the_answer_says_what_to_do(
    driver: tuple[FlaskClient, str], upload: Any
) -> None:
    client, _ = driver
    session = upload(index=1, laps=3)  # out, one at speed, in
    (only,) = valid_laps(client, session)
    for query in ({}, {"referenceSessionId": session}):
        found = error(analysis(client, session, only["lap"], **query), 404)
        assert found["code"] == "reference_not_found"
        assert "referenceSessionId and referenceLap" in found["message"]


def test_laps_that_cannot_be_compared_are_named(driver: tuple[FlaskClient, str], upload: Any) -> None:
    client, _ = driver
    session, elsewhere = upload(index=1), upload(index=2, track_name="monza")
    timed = valid_laps(client, session)[0]["lap"]
    laps = client.get(f"/racing-session/{session}/laps").get_json()
    untimed = next(lap["lap"] for lap in laps if lap["lapTime"] is None)
    assert "not timed" in error(analysis(client, session, untimed), 422)["details"]["lap"][0]
    refused = error(analysis(client, session, timed, referenceLap=untimed), 422)
    assert "not timed" in refused["details"]["referenceLap"][0]
    refused = error(analysis(client, session, timed, referenceSessionId=elsewhere), 422)
    assert "monza" in refused["details"]["referenceSessionId"][0]
    assert error(analysis(client, session, 99), 404)["code"] == "lap_not_found"
    assert error(analysis(client, session, timed, referenceLap=99), 404)["code"] == "lap_not_found"
    assert set(error(analysis(client, session, timed, referenceLap="x"), 422)["details"]) == {"referenceLap"}


def test_another_driver_s_laps_are_neither_explained_nor_references(
    container: Container, driver: tuple[FlaskClient, str], upload: Any, tmp_path: Path
) -> None:
    client, _ = driver
    session = upload(index=1)
    lap = valid_laps(client, session)[0]["lap"]
    stranger, stranger_id = registered(container, "eve@example.org")
    assert error(analysis(stranger, session, lap), 404)["code"] == "session_not_found"
    path = session_file(tmp_path, index=3, laps=5)
    own, _ = container.sessions.add(
        stranger_id, NewSession(path=path, track_name=TRACK, car_model="gt3"), False
    )
    lap = valid_laps(stranger, own.id)[-1]["lap"]
    assert (
        error(analysis(stranger, own.id, lap, referenceSessionId=session), 404)["code"] == "session_not_found"
    )
    assert analysis(stranger, own.id, lap).get_json()["reference"]["sessionId"] == own.id
