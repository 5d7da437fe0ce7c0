"""Requests reach the services as checked values of the domain; answers leave in the contract's names."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from marshmallow import ValidationError
from werkzeug.exceptions import BadRequest

from app import create_app
from app.api.model_schemas import TrainSchema
from app.api.observe import Metrics
from app.api.requests import SMALL_BODY, parsed_json
from app.domain import (
    IncrementRequest,
    Job,
    JobKind,
    JobStatus,
    LapSummary,
    ModelType,
    NewSession,
    Page,
    PredictRequest,
    Progress,
    Session,
    TrainRequest,
    UploadStart,
    Version,
)
from app.services.analytics import Report, Totals
from app.settings import Settings
from app.stores.journal import Predicted

USER_ID = "6655f0c2a4b1c2d3e4f50617"
ID = "6655f0c2a4b1c2d3e4f50618"
NOON = datetime(2026, 2, 11, 12, 0, 0, 5000, tzinfo=UTC)
CHUNK = f"/racing-session/upload/chunk?uploadId={ID}"
TRAIN = {"trackName": "spa", "modelType": "lap_time_prediction", "sessionIds": [ID]}


def job(**fields: Any) -> Job:
    given: dict[str, Any] = {
        "progress": Progress(done=2, total=9, unit="laps"),
        "status": JobStatus.RUNNING,
    } | fields
    return Job(
        id=ID,
        user_id=USER_ID,
        kind=JobKind.TRAIN,
        track_name="spa",
        model_type=ModelType.LAP_TIME_PREDICTION,
        session_ids=(ID,),
        queued_at=NOON,
        **given,
    )


def session() -> Session:
    return Session(
        id=ID,
        user_id=USER_ID,
        track_name="spa",
        session_name="morning",
        car_model=None,
        setup={"wing": 4.0},
        format="csv",
        size=10,
        sha256="ab",
        laps_count=2,
        valid_laps_count=1,
        best_lap_time=101.5,
        created_at=NOON,
    )


def version(**fields: Any) -> Version:
    given = {"model_metadata": {"accuracy": 0.5, "mae": 0.3, "mse": 0.2, "rmse": 0.4}} | fields
    return Version(
        id=ID,
        user_id=USER_ID,
        track_name="spa",
        model_type=ModelType.LAP_TIME_PREDICTION,
        model_name="mine",
        model_version="1.0.2",
        algorithm="linear",
        is_active=True,
        parent_id=None,
        description="",
        training_session_ids=(ID, USER_ID),
        validation_results=None,
        feature_importance={"speed": 1.0},
        model_size=9,
        compressed_size=5,
        sha256="ab",
        hmac="secret",
        training_duration=1.5,
        job_id=ID,
        created_at=NOON,
        updated_at=NOON,
        **given,
    )


class Recorder:
    """A service method that keeps what it was called with and answers what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        return self.answer


def details(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 422, answer.text
    found: dict[str, Any] = answer.json["error"]["details"]
    return found


@pytest.mark.parametrize("path", ["/model/train", "/ai-model/train-new"])
def test_training_passes_the_request_on_and_answers_where_the_job_is(
    driver: FlaskClient, services: SimpleNamespace, path: str
) -> None:
    services.training.train = Recorder(job())
    answer = driver.post(path, json=TRAIN, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{ID}"
    request = TrainRequest(track_name="spa", model_type=ModelType.LAP_TIME_PREDICTION, session_ids=(ID,))
    assert services.training.train.calls == [((USER_ID, request), {"idempotency_key": "once"})]


def test_a_job_is_rendered_as_the_contract_has_it(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.jobs.get = Recorder(job())
    assert driver.get(f"/jobs/{ID}").json == {
        "id": ID,
        "kind": "train",
        "status": "running",
        "progress": {"done": 2, "total": 9, "unit": "laps"},
        "modelType": "lap_time_prediction",
        "trackName": "spa",
        "sessionIds": [ID],
        "modelId": None,
        "modelVersion": None,
        "result": None,
        "error": None,
        "attempts": 0,
        "queuedAt": "2026-02-11T12:00:00.005Z",
        "startedAt": None,
        "finishedAt": None,
    }


@pytest.mark.parametrize("path", ["/model/incremental-training", "/ai-model/incremental-training"])
def test_incremental_training_names_its_sessions_as_the_contract_does(
    driver: FlaskClient, services: SimpleNamespace, path: str
) -> None:
    services.training.increment = Recorder(job())
    body = {"modelId": ID, "newSessionIds": [ID], "validateModel": False}
    assert driver.post(path, json=body).status_code == 202
    request = IncrementRequest(model_id=ID, session_ids=(ID,), validate_model=False)
    assert services.training.increment.calls == [((USER_ID, request), {})]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trackName": {"$ne": None}}, "trackName"),
        ({"trackName": "  "}, "trackName"),
        ({"trackName": "x" * 101}, "trackName"),
        ({"trackName": "a\u0000b"}, "trackName"),
        ({"modelType": "magic"}, "modelType"),
        ({"modelType": ["lap_time_prediction"]}, "modelType"),
        ({"sessionIds": []}, "sessionIds"),
        ({"sessionIds": [f"{ID}\n"]}, "sessionIds"),
        ({"sessionIds": None}, "sessionIds"),
        ({"hyperparameters": {"$set": 1}}, "hyperparameters"),
        ({"hyperparameters": {"a": {"b": {"c": {"d": 1}}}}}, "hyperparameters"),
        ({"hyperparameters": {"a": 10**30}}, "hyperparameters"),
        ({"hyperparameters": [1]}, "hyperparameters"),
    ],
)
def test_a_bad_field_is_named(driver: FlaskClient, change: dict[str, Any], field: str) -> None:
    assert list(details(driver.post("/model/train", json=TRAIN | change))) == [field]


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        (TRAIN | {"sessionIds": ["x"] * 1_001}, "sessionIds", "Length must be between 1 and 1000."),
        (dict.fromkeys(map(str, range(1_001))), "_schema", "More than 1000 fields."),
    ],
)
def test_a_thousand_wrong_things_are_one_problem(body: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TrainSchema().load(body)
    assert refused.value.messages == {field: [problem]}


def test_an_idempotency_key_must_be_visible_characters(driver: FlaskClient) -> None:
    for key in ("a b", "é", "x" * 201):
        answer = driver.post("/model/train", json=TRAIN, headers={"Idempotency-Key": key})
        assert list(details(answer)) == ["Idempotency-Key"]


def test_null_is_as_good_as_absent(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.training.train = Recorder(job())
    assert driver.post("/model/train", json=TRAIN | {"description": None}).status_code == 202
    assert services.training.train.calls[0][0][1].description == ""


@pytest.mark.parametrize(
    "body",
    [
        '{"chunk": [{"speed": NaN}], "chunkIndex": 0}',
        '{"chunk": [{"speed": -Infinity}], "chunkIndex": 0}',
        "[" * 3000,
        '{"chunk": ' + "9" * 5000 + "}",
        '{"chunk": "\\ud800"}',
        b'{"chunk": "\xff"}',
    ],
)
def test_what_is_not_json_is_a_400(driver: FlaskClient, body: str | bytes) -> None:
    answer = driver.post(CHUNK, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "bad_request"  # type: ignore[index]


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[],", b'{"a":[' + b"[]," * 1_000_000])
def test_json_that_nests_too_deeply_or_has_too_many_parts_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        parsed_json(text)


def test_a_body_without_rows_is_small_whatever_rows_may_take(api_settings: Settings) -> None:
    generous = replace(api_settings, max_json_bytes=32 << 20)
    client = create_app(
        container=cast(Any, SimpleNamespace(settings=generous, platform=None, live=None))
    ).test_client()
    body = b'{"email": "' + b"a" * SMALL_BODY + b'"}'
    assert client.post("/auth/login", data=body, content_type="application/json").status_code == 413


@pytest.mark.parametrize("letter", "\u202e\u2066\u200b\u2028\ue000\n\x1b\x00")
def test_a_name_has_no_character_that_hides_or_turns_what_is_read(driver: FlaskClient, letter: str) -> None:
    name = f"a{letter}b"
    answer = driver.post("/model/train", json=TRAIN | {"trackName": name, "modelName": name})
    assert details(answer).keys() == {"trackName", "modelName"}


def test_a_flag_may_be_a_word_and_nothing_else(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.training.increment = Recorder(job())
    body = {"modelId": ID, "newSessionIds": [ID]}
    for flag, meant in ((True, True), ("true", True), (False, False), ("false", False)):
        answer = driver.post("/model/incremental-training", json=body | {"validateModel": flag})
        assert answer.status_code == 202
        assert services.training.increment.calls[-1][0][1].validate_model is meant
    for flag in (1, 0, "1", "True", "yes", "", [True], {"$ne": False}):
        answer = driver.post("/model/incremental-training", json=body | {"validateModel": flag})
        assert list(details(answer)) == ["validateModel"]


def test_a_json_body_over_the_limit_is_a_413_whether_its_length_is_announced_or_not(
    driver: FlaskClient,
) -> None:
    body = b'{"chunk": [' + b" " * 10_000
    assert driver.post(CHUNK, data=body, content_type="application/json").status_code == 413
    answer = driver.post(
        CHUNK,
        input_stream=io.BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "too_large"  # type: ignore[index]


class Reset(io.BytesIO):
    """A connection that the client resets in mid-body."""

    def read(self, *_: Any) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize("body", [Reset(), io.BytesIO(b'{"chunk": [')])
def test_a_body_that_breaks_off_is_a_400(driver: FlaskClient, body: io.BytesIO) -> None:
    answer = driver.post(
        CHUNK, input_stream=body, content_type="application/json", headers={"Content-Length": "40"}
    )
    assert answer.status_code == 400


def test_rows_of_a_chunk_are_passed_on_as_they_came(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.uploads.add_chunk = Recorder(3)
    rows = [{"Physics_speed_kmh": 201.5, "Graphics_completed_lap": 1, "note": None}]
    answer = driver.post(CHUNK, json={"chunk": rows, "chunkIndex": 7})
    assert answer.json == {"receivedChunks": 3}
    assert services.uploads.add_chunk.calls == [((USER_ID, ID, 7, tuple(rows)), {})]


def test_bad_rows_are_named_by_their_place(driver: FlaskClient) -> None:
    body = '{"chunk": [{"a": 1}, {"a": 1e999, "b": {"$gt": 1}}, 3], "chunkIndex": "0"}'
    found = details(driver.post(CHUNK, data=body, content_type="application/json"))
    assert found["chunk"]["1"].keys() == {"a", "b"}
    assert found["chunk"]["2"] == ["Not an object."]
    assert found["chunkIndex"] == ["Not a valid integer."]


def test_an_upload_starts_as_the_old_front_end_starts_it(
    driver: FlaskClient, services: SimpleNamespace
) -> None:
    services.uploads.start = Recorder(ID)
    services.accounts.get = Recorder(SimpleNamespace(email="max@example.org"))
    body = {"sessionName": "morning", "mapName": "spa", "userEmail": "Max@example.org "}
    assert driver.post("/racing-session/upload/init", json=body).json == {"uploadId": ID}
    start = UploadStart(session_name="morning", track_name="spa")
    assert services.uploads.start.calls == [((USER_ID, start), {})]
    answer = driver.post("/racing-session/upload/init", json=body | {"userEmail": "lewis@example.org"})
    assert details(answer) == {"userEmail": ["Not the signed-in driver's address."]}


def test_completing_an_upload_needs_no_body(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.uploads.complete = Recorder((session(), (job(),)))
    answer = driver.post(f"/racing-session/upload/complete?uploadId={ID}")
    assert answer.status_code == 202
    assert answer.json["jobs"][0]["id"] == ID  # type: ignore[index]
    assert services.uploads.complete.calls == [((USER_ID, ID), {"auto_train": True, "total_chunks": None})]


def test_an_uploaded_file_lies_on_disk_for_the_service_and_is_gone_afterwards(
    driver: FlaskClient, services: SimpleNamespace
) -> None:
    seen: list[tuple[NewSession, bytes, bool]] = []

    def add(_user_id: str, new: NewSession, auto_train: bool) -> tuple[Session, tuple[Job, ...]]:
        seen.append((new, new.path.read_bytes(), auto_train))
        return session(), ()

    services.sessions.add = add
    form = {
        "file": (io.BytesIO(b"lap,speed\n1,200\n"), "../../etc/passwd"),
        "trackName": " spa ",
        "driver": " MAX ",
        "setup": '{"wing": 4}',
        "autoTrain": "false",
    }
    answer = driver.post("/racing-session/upload", data=form)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/racing-session/{ID}"
    assert answer.json == {
        "session": {
            "id": ID,
            "userId": USER_ID,
            "trackName": "spa",
            "sessionName": "morning",
            "carModel": None,
            "driver": None,
            "setup": {"wing": 4.0},
            "format": "csv",
            "size": 10,
            "sha256": "ab",
            "lapsCount": 2,
            "validLapsCount": 1,
            "bestLapTime": 101.5,
            "createdAt": "2026-02-11T12:00:00.005Z",
            "setAside": [],
        },
        "jobs": [],
    }
    [(new, content, auto_train)] = seen
    assert (new.track_name, new.driver, new.setup, content, auto_train) == (
        "spa",
        "MAX",
        {"wing": 4.0},
        b"lap,speed\n1,200\n",
        False,
    )
    assert not new.path.exists()


def test_a_file_that_breaks_off_or_is_too_large_leaves_nothing_on_disk(
    driver: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    kind = "multipart/form-data; boundary=x"
    assert driver.post("/racing-session/upload", data=start, content_type=kind).status_code == 400
    too_large = start + b"a" * 20_000
    assert driver.post("/racing-session/upload", data=too_large, content_type=kind).status_code == 413
    answer = driver.post(
        "/racing-session/upload",
        input_stream=io.BytesIO(too_large),
        content_type=kind,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413
    assert list(tmp_path.iterdir()) == []


def test_a_form_with_bad_fields_names_them(driver: FlaskClient) -> None:
    form = {"file": "no file", "trackName": "", "setup": "{", "autoTrain": "maybe", "x": "y"}
    answer = driver.post("/racing-session/upload", data=form, content_type="multipart/form-data")
    assert details(answer).keys() == {"file", "trackName", "setup", "autoTrain", "x"}
    assert driver.post("/racing-session/upload", json={}).status_code == 415


def test_two_laps_are_a_list_of_two_laps(driver: FlaskClient, services: SimpleNamespace) -> None:
    lap = LapSummary(lap=1, lap_time=101.5, sector_times=(30.5, 71.0), valid=True, reason=None, outing=0)
    services.sessions.laps = Recorder((lap, lap))
    shown = {
        "lap": 1,
        "lapTime": 101.5,
        "sectorTimes": [30.5, 71.0],
        "valid": True,
        "reason": None,
        "outing": 0,
        "compound": None,
        "tyreLife": None,
    }
    assert driver.get(f"/racing-session/{ID}/laps").json == [shown, shown]


def test_a_list_is_a_page_with_a_cursor(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.jobs.page = Recorder(Page(items=(job(),), next_cursor="more"))
    answer = driver.get("/jobs?status=running&kind=train&limit=1&cursor=here")
    assert answer.json is not None
    assert [item["id"] for item in answer.json["items"]] == [ID]
    assert answer.json["nextCursor"] == "more"
    wanted = {"status": JobStatus.RUNNING, "kind": JobKind.TRAIN, "limit": 1, "cursor": "here"}
    assert services.jobs.page.calls == [((USER_ID,), wanted)]
    assert details(driver.get("/jobs?limit=201&status=x&offset=3")).keys() == {"limit", "status", "offset"}


@pytest.mark.parametrize("path", ["/model/predict", "/ai-model/predict"])
def test_predictions_are_asked_for_by_model_or_by_track_and_type(
    driver: FlaskClient, services: SimpleNamespace, path: str
) -> None:
    services.models.predict = Recorder({"modelId": ID, "predictions": {"lap_time": 93.5}})
    row = {"speed": 200, "splits": [4.5, 9.0]}
    options = {"include_confidence": True, "confidence_level": 0.8}
    body = {"modelId": ID, "inputData": row, "predictionOptions": options}
    assert driver.post(path, json=body).json == {"modelId": ID, "predictions": {"lap_time": 93.5}}
    driver.post(path, json={"trackName": "spa", "modelType": "sector_analysis", "inputData": [row]})
    one = PredictRequest(
        rows=(row,), is_list=False, model_id=ID, include_confidence=True, confidence_level=0.8
    )
    several = PredictRequest(
        rows=(row,), is_list=True, track_name="spa", model_type=ModelType.SECTOR_ANALYSIS
    )
    assert services.models.predict.calls == [((USER_ID, one), {}), ((USER_ID, several), {})]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputData": {}}, "modelId"),
        ({"modelId": ID, "trackName": "spa", "inputData": {}}, "modelId"),
        ({"modelId": ID, "inputData": []}, "inputData"),
        ({"modelId": ID, "inputData": [{}] * 10_001}, "inputData"),
        ({"modelId": ID, "inputData": {}, "predictionOptions": {"confidence_level": 1}}, "predictionOptions"),
        (
            {"modelId": ID, "inputData": {}, "predictionOptions": {"include_confidence": 1}},
            "predictionOptions",
        ),
    ],
)
def test_a_bad_question_for_a_prediction_names_the_field(
    driver: FlaskClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], field: str
) -> None:
    monkeypatch.setitem(driver.application.config, "MAX_CONTENT_LENGTH", 100_000)
    assert list(details(driver.post("/model/predict", json=body))) == [field]


def test_a_track_may_have_any_name(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.models.active = Recorder(version())
    answer = driver.get("/ai-model/active/Spa%2F%2F1966%20GP/sector_analysis")
    assert answer.status_code == 200
    assert services.models.active.calls == [
        ((USER_ID, "Spa//1966 GP", ModelType.SECTOR_ANALYSIS), {}),
    ]


def test_a_version_is_rendered_without_what_only_we_know(
    driver: FlaskClient, services: SimpleNamespace
) -> None:
    services.models.get = Recorder(version())
    answer = driver.get(f"/ai-model/{ID}").json
    assert answer is not None
    assert answer.keys() == {
        *("id", "userId", "trackName", "modelName", "modelVersion", "modelType", "algorithm", "isActive"),
        *("parentId", "description", "modelMetadata", "trainingSessionIds", "validationResults"),
        *("featureImportance", "modelSize", "compressedSize", "sha256", "trainingDuration"),
        *("createdAt", "updatedAt"),
    }
    assert answer["trainingSessionIds"] == [ID, USER_ID]


@pytest.mark.parametrize("body", [None, {}])
def test_activating_needs_no_body(driver: FlaskClient, services: SimpleNamespace, body: Any) -> None:
    services.models.activate = Recorder(version())
    assert driver.post(f"/ai-model/{ID}/activate", json=body).status_code == 200
    assert driver.post(f"/ai-model/{ID}/activate").status_code == 200
    assert services.models.activate.calls == [((USER_ID, ID), {})] * 2


def test_activating_may_say_why_and_in_the_place_of_what(
    driver: FlaskClient, services: SimpleNamespace
) -> None:
    services.models.activate = Recorder(version())
    body = {"reason": "brakes too early", "expectedActiveId": ID}
    assert driver.post(f"/ai-model/{ID}/activate", json=body).status_code == 200
    wanted = {"reason": "brakes too early", "expected_active_id": ID}
    assert services.models.activate.calls == [((USER_ID, ID), wanted)]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("from=2026-02-01&to=2026-02-11", date(2026, 2, 1), date(2026, 2, 11)),
        ("from=2024-01-01&to=2024-12-31", date(2024, 1, 1), date(2024, 12, 31)),
        ("to=2026-02-11", date(2026, 1, 13), date(2026, 2, 11)),
        ("to=2000-01-01", date(2000, 1, 1), date(2000, 1, 1)),
        ("from=2026-02-01T23:30:00-02:00&to=2026-02-03T00:00:00Z", date(2026, 2, 2), date(2026, 2, 3)),
    ],
)
def test_usage_is_asked_for_by_days_or_times(
    driver: FlaskClient, services: SimpleNamespace, query: str, first: date, last: date
) -> None:
    nothing = Totals(models_created=0, models_updated=0, predictions={}, improvements=())
    services.analytics.report = Recorder(Report(first=first, last=last, days=(), totals=nothing))
    answer = driver.get(f"/analytics/usage?{query}")
    assert answer.json == {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "days": [],
        "totals": {"modelsCreated": 0, "modelsUpdated": 0, "predictions": {}, "improvements": []},
    }
    assert services.analytics.report.calls == [((USER_ID,), {"first": first, "last": last})]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-02-12&to=2026-02-11", "from"),
        ("from=2025-02-10&to=2026-02-11", "from"),
        ("from=2999-01-01", "from"),
        ("from=1999-12-31&to=2000-01-02", "from"),
        ("from=yesterday", "from"),
        ("from=9999-12-31&to=9999-12-31", "to"),
        ("to=", "to"),
        ("to=2026-02-30", "to"),
        ("to=0001-01-01T00:00:00%2B23:59", "to"),
        ("since=2026-02-11", "since"),
    ],
)
def test_a_bad_time_for_usage_is_named(driver: FlaskClient, query: str, field: str) -> None:
    assert list(details(driver.get(f"/analytics/usage?{query}"))) == [field]


def test_predictions_are_counted_for_prometheus_by_type() -> None:
    metrics = Metrics(SimpleNamespace(job_counts=dict, count_unreadable=int))  # type: ignore[arg-type]
    for rows in (1, 30):
        metrics.predicted(
            Predicted(
                user_id=USER_ID,
                model_type=ModelType.SECTOR_ANALYSIS,
                rows=rows,
                seconds=0.002,
                at=NOON.timestamp(),
            )
        )
    figures = metrics.text().decode()
    assert 'lapwise_prediction_seconds_count{model_type="sector_analysis"} 2.0' in figures
    assert 'lapwise_predicted_rows_total{model_type="sector_analysis"} 31.0' in figures
    assert USER_ID not in figures


def test_the_history_of_a_lineage_is_one_line_a_version(
    driver: FlaskClient, services: SimpleNamespace
) -> None:
    services.models.history = Recorder((version(), version(model_metadata={"accuracy": None})))
    answer = driver.get("/ai-model/performance-history/spa/lap_time_prediction").json
    assert answer is not None
    assert answer["versions"][0] == {
        "version": "1.0.2",
        "modelId": ID,
        "accuracy": 0.5,
        "mae": 0.3,
        "mse": 0.2,
        "rmse": 0.4,
        "sessions": 2,
        "createdAt": "2026-02-11T12:00:00.005Z",
    }
    assert answer["versions"][1]["accuracy"] is None


def test_a_job_is_followed_until_it_ends(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.jobs.watch = Recorder(iter([job(), None, job(status=JobStatus.SUCCEEDED)]))
    answer = driver.get(f"/jobs/{ID}/events")
    assert answer.mimetype == "text/event-stream"
    first, quiet, last, end = answer.text.split("\n\n")
    assert first.startswith('event: job\ndata: {"id": "6655')
    assert quiet == ": nothing new"
    assert '"status": "succeeded"' in last
    assert end == ""


def test_what_is_not_ready_is_named(stranger: FlaskClient, services: SimpleNamespace) -> None:
    checks = {"mongo": True, "redis": True, "worker": False}
    services.platform.readiness = Recorder(checks)
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["error"]["details"] == {"missing": ["worker"], "checks": checks}  # type: ignore[index]
    services.platform.readiness = Recorder({"mongo": True})
    services.platform.count_unreadable = Recorder(3)
    ready = {"status": "ready", "checks": {"mongo": True}, "unreadableModels": 3}
    assert stranger.get("/readyz").json == ready


def test_requests_are_counted_by_route_and_jobs_by_status(services: Any) -> None:
    services.platform.job_counts = Recorder({"queued": 4})
    services.platform.count_unreadable = Recorder(2)
    stranger = create_app(container=services).test_client()
    stranger.get(f"/jobs/{ID}")
    stranger.get("/made-up-address")
    figures = stranger.get("/metrics").text
    assert 'lapwise_requests_total{method="GET",rule="/jobs/<id:id>",status="401"} 1.0' in figures
    assert 'lapwise_requests_total{method="",rule="",status="404"} 1.0' in figures
    assert 'lapwise_jobs{status="queued"} 4.0' in figures
    assert "lapwise_unreadable_models 2.0" in figures
    assert "made-up" not in figures
