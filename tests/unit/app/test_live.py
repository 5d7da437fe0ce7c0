"""What is decided before a live connection opens, without its socket."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api.live import check_origin
from app.domain import ModelType, PredictRequest
from app.errors import Invalid, OriginRefused
from app.services.live import Car, Live
from learning.errors import NothingToLearn
from learning.zoo import create_model

MODEL = "6655f0c2a4b1c2d3e4f50617"
PATH = f"/ai-model/{MODEL}/live"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def opened(services: SimpleNamespace) -> list[tuple[Any, ...]]:
    """The calls that ask for a car."""
    calls: list[tuple[Any, ...]] = []
    services.live.open = lambda *asked, **options: calls.append((*asked, options))
    return calls


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def test_without_a_handshake_the_answer_says_what_to_do(
    driver: FlaskClient, opened: list[tuple[Any, ...]]
) -> None:
    answer = driver.get(PATH)
    assert code_of(answer) == (426, "upgrade_required")
    assert answer.headers["Upgrade"] == "websocket"
    assert opened[0][1] == MODEL


def test_a_handshake_that_is_wrong_is_a_400(driver: FlaskClient, opened: list[tuple[Any, ...]]) -> None:
    answer = driver.get(PATH, headers=HANDSHAKE | {"Sec-WebSocket-Key": "short"})
    assert code_of(answer) == (400, "bad_request")


def test_a_server_that_gives_no_socket_along_is_told_to_be_another(
    driver: FlaskClient, opened: list[tuple[Any, ...]]
) -> None:
    assert code_of(driver.get(PATH, headers=HANDSHAKE)) == (503, "unavailable")


def test_options_stand_in_the_query_and_wrong_ones_are_named(
    driver: FlaskClient, opened: list[tuple[Any, ...]]
) -> None:
    driver.get(f"{PATH}?include_confidence=true&confidence_level=0.8")
    assert opened[0][2] == {"include_confidence": True, "confidence_level": 0.8}
    answer = driver.get(f"{PATH}?confidence_level=1&token=secret")
    assert answer.json["error"]["details"].keys() == {"confidence_level", "token"}  # type: ignore[index]


def test_a_token_among_the_subprotocols_is_as_good_as_in_its_header(
    driver: FlaskClient, stranger: FlaskClient, opened: list[tuple[Any, ...]]
) -> None:
    token = driver.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    shown = {"Sec-WebSocket-Protocol": f"lapwise.live, bearer.{token}"}
    assert code_of(stranger.get(PATH, headers=shown)) == (426, "upgrade_required")
    assert code_of(stranger.get(PATH, headers={"Sec-WebSocket-Protocol": "bearer.x"}))[0] == 401


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "https://laps.example.evil.example", "null", "laps.example"]
)
def test_a_cookie_counts_only_on_the_platforms_own_pages(api: Any, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    with (
        api.test_request_context(PATH, headers=headers, base_url="https://laps.example"),
        pytest.raises(OriginRefused),
    ):
        check_origin()


def test_a_page_of_the_platform_or_a_shown_token_may_open_a_connection(api: Any) -> None:
    for headers in ({"Origin": "https://laps.example"}, {"Authorization": "Bearer x"}):
        with api.test_request_context(PATH, headers=headers, base_url="https://laps.example"):
            check_origin()


@pytest.mark.parametrize("kind", [ModelType.SECTOR_ANALYSIS, ModelType.SETUP_OPTIMIZATION])
def test_only_lap_time_models_answer_frame_by_frame(kind: ModelType) -> None:
    sharing: Any = SimpleNamespace(readable=lambda *_: SimpleNamespace(model_type=kind))
    nothing: Any = None
    with pytest.raises(Invalid) as refused:
        Live(accounts=nothing, sharing=sharing, store=nothing, usage=nothing).open("ann", MODEL)
    assert refused.value.details["id"] == [f"is a model of type {kind}"]


def test_a_frame_that_its_model_refuses_after_all_gets_the_reason_of_its_own() -> None:
    """Two cars ask a model that has learned nothing."""
    nothing: Any = None
    version: Any = SimpleNamespace(id=MODEL, model_version="1.0.0")
    request = PredictRequest(rows=(), is_list=False, model_id=MODEL)
    model = create_model(ModelType.LAP_TIME_PREDICTION)
    cars = [Car(user_id="ann", version=version, model=model, request=request) for _ in range(2)]
    for number, car in enumerate(cars):
        car.take({"speed": 1, "throttle": 0, "brake": 0, "gear": 1, "track_position": 0.1}, {"id": number})
    told = Live(accounts=nothing, sharing=nothing, store=nothing, usage=nothing).answers(cars)
    assert [(car, tag["id"], type(answer)) for car, tag, answer in told] == [
        (cars[0], 0, NothingToLearn),
        (cars[1], 1, NothingToLearn),
    ]
    assert [car.due for car in cars] == [None, None]
