"""The contract, section 4 of DESIGN.md, row by row: each call, the fields it takes and those it answers."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.routes import api_rules

Document = dict[str, Any]

# Calls of the contract that are still being built. Take a call out when its route is merged: a route that is
# there and stands here fails the test below.
PENDING: set[str] = set()


@dataclass(frozen=True)
class Row:
    """One call: the status of its answer, the fields that answer must have, and the fields it takes."""

    call: str
    status: int
    answers: Collection[str] = ()
    takes: Collection[str] = ()


USER = ("id", "email", "displayName", "createdAt")
TOKENS = ("accessToken", "refreshToken", "expiresIn", "user", *(f"user.{field}" for field in USER))
SESSION = (
    *("id", "userId", "trackName", "sessionName", "carModel", "setup", "lapsCount", "bestLapTime"),
    *("createdAt", "setAside"),
)
JOB = (
    *("id", "kind", "status", "progress", "progress.done", "progress.total", "progress.unit", "modelType"),
    *("trackName", "sessionIds", "modelId", "modelVersion", "result", "error", "attempts", "queuedAt"),
    *("startedAt", "finishedAt"),
)
UPLOADED = (
    *("session", "jobs", *(f"session.{field}" for field in SESSION)),
    *(f"jobs.{field}" for field in JOB),
)
VERSION = (
    *("id", "userId", "trackName", "modelName", "modelVersion", "modelType", "algorithm", "isActive"),
    *("parentId", "description", "modelMetadata", "trainingSessionIds", "validationResults"),
    *("featureImportance", "modelSize", "compressedSize", "sha256", "trainingDuration", "createdAt"),
    "updatedAt",
)
HISTORY = ("version", "modelId", "accuracy", "mae", "mse", "rmse", "sessions", "createdAt")
LAP = ("lap", "lapTime", "sectorTimes", "valid", "reason")
METRICS = ("accuracy", "mae", "mse", "rmse", "performanceMetrics")
PREDICTION = ("modelId", "modelVersion", "predictions", "confidence", "featureImportance")
WEBHOOK = ("id", "url", "events", "createdAt")
TRAIN = (
    *("trackName", "modelType", "sessionIds", "modelName", "description", "algorithm", "hyperparameters"),
    "Idempotency-Key",
)
INCREMENT = ("modelId", "newSessionIds", "validateModel", "trainingParameters", "Idempotency-Key")
OPTIONS = ("include_confidence", "confidence_level", "include_feature_importance")
PREDICT = (
    *("modelId", "trackName", "modelType", "inputData", "predictionOptions"),
    *(f"predictionOptions.{option}" for option in OPTIONS),
)


def page(fields: Collection[str]) -> tuple[str, ...]:
    return ("items", "nextCursor", *(f"items.{field}" for field in fields))


CONTRACT = [
    # accounts
    Row(
        "POST /auth/register",
        201,
        ("user", *(f"user.{field}" for field in USER)),
        ("email", "password", "displayName"),
    ),
    Row("POST /auth/login", 200, TOKENS, ("email", "password")),
    Row("POST /auth/refresh", 200, TOKENS),
    Row("POST /auth/logout", 204),
    Row("GET /auth/me", 200, USER),
    Row("DELETE /auth/me", 204),
    # racing sessions
    Row(
        "POST /racing-session/upload",
        201,
        UPLOADED,
        ("file", "trackName", "sessionName", "carModel", "setup", "autoTrain"),
    ),
    Row(
        "POST /racing-session/upload/init",
        200,
        ("uploadId",),
        ("sessionName", "mapName", "userEmail", "carModel", "setup"),
    ),
    Row(
        "POST /racing-session/upload/chunk",
        200,
        ("receivedChunks",),
        ("uploadId", "chunk", "chunkIndex"),
    ),
    Row(
        "POST /racing-session/upload/complete",
        202,
        UPLOADED,
        ("uploadId", "autoTrain", "totalChunks"),
    ),
    Row("GET /racing-session", 200, page(SESSION), ("trackName", "limit", "cursor")),
    Row("GET /racing-session/{id}", 200, SESSION),
    Row("DELETE /racing-session/{id}", 204),
    Row("GET /racing-session/{id}/laps", 200, LAP),
    Row("GET /racing-session/{id}/laps/{lap}/trace", 200, ("position", "channels"), ("points",)),
    # webhooks
    Row(
        "POST /webhooks/session-uploaded",
        202,
        ("eventId", "session", "jobs"),
        (
            *("X-Lapwise-Signature", "eventId", "userEmail", "userId", "trackName", "sessionId", "telemetry"),
            "modelTypes",
        ),
    ),
    Row("POST /webhooks", 201, (*WEBHOOK, "secret"), ("url", "events")),
    Row("GET /webhooks", 200, page(WEBHOOK), ("limit", "cursor")),
    Row("GET /webhooks/{id}", 200, WEBHOOK),
    Row("DELETE /webhooks/{id}", 204),
    Row("POST /webhooks/{id}/test", 202, ("id", "status")),
    Row(
        "GET /webhooks/{id}/deliveries",
        200,
        page(("id", "event", "status", "attempts")),
        ("limit", "cursor"),
    ),
    # jobs
    Row("GET /jobs/{id}", 200, JOB),
    Row("GET /jobs", 200, page(JOB), ("status", "kind", "limit", "cursor")),
    Row("DELETE /jobs/{id}", 200, JOB),
    Row("POST /jobs/{id}/retry", 202, JOB, ("Idempotency-Key",)),
    Row("GET /jobs/{id}/events", 200),
    # models
    Row("POST /model/train", 202, JOB, TRAIN),
    Row("POST /ai-model/train-new", 202, JOB, TRAIN),
    Row("POST /model/incremental-training", 202, JOB, INCREMENT),
    Row("POST /ai-model/incremental-training", 202, JOB, INCREMENT),
    Row("POST /model/validate", 202, JOB, ("modelId", "sessionIds", "Idempotency-Key")),
    Row("GET /model/metrics/{id}", 200, METRICS),
    Row("GET /model/algorithms", 200, page(("name", "modelType", "default", "hyperparameters"))),
    Row("POST /model/predict", 200, PREDICTION, PREDICT),
    Row("POST /ai-model/predict", 200, PREDICTION, PREDICT),
    Row(
        "GET /ai-model/user/{trackName}",
        200,
        page(VERSION),
        ("activeOnly", "modelType", "limit", "cursor"),
    ),
    Row("GET /ai-model/active/{trackName}/{modelType}", 200, VERSION),
    Row("GET /ai-model/{id}", 200, VERSION),
    Row("PUT /ai-model/{id}", 200, VERSION, ("modelName", "description")),
    Row("DELETE /ai-model/{id}", 204),
    Row("POST /ai-model/{id}/activate", 200, VERSION),
    Row(
        "GET /ai-model/performance-history/{trackName}/{modelType}",
        200,
        ("versions", *(f"versions.{field}" for field in HISTORY)),
    ),
    Row("POST /ai-model/compare", 202, JOB, ("modelIds", "sessionIds", "Idempotency-Key")),
    Row(
        "POST /ai-model/{id}/experiment",
        201,
        ("id", "status", "challengerId", "share"),
        ("challengerId", "share"),
    ),
    Row("GET /ai-model/{id}/experiment", 200, ("id", "status", "challengerId", "share")),
    Row("DELETE /ai-model/{id}/experiment", 200, ("id", "status")),
    Row("POST /ai-model/{id}/share", 201, ("userId", "email"), ("email",)),
    Row("GET /ai-model/{id}/shares", 200, page(("userId", "email"))),
    Row("DELETE /ai-model/{id}/share/{userId}", 204),
    Row("GET /ai-model/shared-with-me", 200, page(VERSION)),
    Row("GET /ai-model/{id}/export", 200, (), ("format",)),
    Row("POST /ai-model/import", 201, VERSION),
    Row("GET /ai-model/{id}/live", 101),
    Row("GET /analytics/usage", 200, ("days",), ("from", "to")),
    # conventions of section 3
    Row("GET /healthz", 200, ("status",)),
    Row("GET /readyz", 200, ("status", "checks")),
    Row("GET /metrics", 200),
    Row("GET /openapi.json", 200),
    Row("GET /docs", 200),
]
DUE = [row for row in CONTRACT if row.call not in PENDING]


@pytest.fixture
def openapi(stranger: FlaskClient) -> Document:
    document: Document = stranger.get("/openapi.json").get_json()
    return document


def test_every_pending_call_is_one_of_the_contract_that_is_not_there_yet(api: Flask) -> None:
    assert {row.call for row in CONTRACT} >= PENDING
    there = {
        f"{method} {re.sub('<[^<>]+>', '{}', rule.rule)}"
        for rule in api_rules(api)
        for method in rule.methods or ()
    }
    assert {call for call in PENDING if nameless(call) in there} == set(), "take these out of PENDING"


@pytest.mark.parametrize("row", DUE, ids=[row.call for row in DUE])
def test_a_call_of_the_contract_is_there_with_its_fields(openapi: Document, row: Row) -> None:
    operations = dict(named_operations(openapi))
    assert nameless(row.call) in operations, "no such route"
    operation = operations[nameless(row.call)]
    assert str(row.status) in operation["responses"]
    answered = set(fields(openapi, body(operation["responses"][str(row.status)])))
    assert set(row.answers) - answered == set(), "missing from the answer"
    assert set(row.takes) - set(inputs(openapi, operation)) == set(), "missing from what it takes"


def named_operations(openapi: Document) -> Iterator[tuple[str, Document]]:
    for path, item in openapi["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield nameless(f"{method.upper()} {path}"), item[method]


def nameless(call: str) -> str:
    """A call without the names of its parameters, which no client sees."""
    return re.sub(r"{\w+}", "{}", call)


def body(part: Document) -> Document:
    contents: Document = part.get("content", {})
    return next((content.get("schema", {}) for content in contents.values()), {})


def inputs(openapi: Document, operation: Document) -> Iterator[str]:
    """The names of what an operation takes, in its query, its headers and its body."""
    yield from (parameter["name"] for parameter in operation.get("parameters", ()))
    yield from fields(openapi, body(operation.get("requestBody", {})))


def fields(openapi: Document, schema: Mapping[str, Any], prefix: str = "", depth: int = 3) -> Iterator[str]:
    """The properties of a schema with those inside them, dotted; a list's are those of its items."""
    if not depth:
        return
    if "$ref" in schema:
        named = openapi["components"]["schemas"][schema["$ref"].split("/")[-1]]
        yield from fields(openapi, named, prefix, depth)
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), schema.get("items", {})):
        if part:
            yield from fields(openapi, part, prefix, depth)
    for name, inner in schema.get("properties", {}).items():
        yield prefix + name
        yield from fields(openapi, inner, f"{prefix}{name}.", depth - 1)
