"""Walks over every route: requests are filled by the names in them, so that new routes are covered too."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.routes import api_rules

Document = dict[str, Any]
ID_PATTERN = "^[0-9a-f]{24}$"
UNKNOWN = "0" * 24  # the id of nothing
Things = Mapping[str, list[str]]  # ids by the kind of thing

# What a slot of a request names: its kind is a key of `Things`. A path's `id` is as its first part says.
KIND_OF_ID = {
    "racing-session": "session",
    "jobs": "job",
    "model": "model",
    "ai-model": "model",
    "webhooks": "webhook",
}
KIND_OF_SLOT = {
    "userId": "reader",
    "uploadId": "upload",
    "sessionId": "session",
    "referenceSessionId": "session",
    "sessionIds": "session",
    "newSessionIds": "session",
    "modelId": "model",
    "modelIds": "model",
    "challengerId": "model",
}
# What other parameters of paths, and required fields of bodies, are filled with.
FRAME = {"speed": 180, "throttle": 1, "brake": 0, "gear": 5, "track_position": 0.5}
VALUES: dict[str, Any] = {
    "lap": "3",
    "trackName": "Nowhere",
    "mapName": "Nowhere",
    "modelType": "lap_time_prediction",
    "sessionName": "practice",
    "email": "walker@example.com",
    "password": "a long pass phrase",
    "chunk": [{"lap": 1}],
    "chunkIndex": 0,
    "inputData": FRAME,
    "share": 0.5,
    "automaticRetraining": True,
    "url": "https://example.org/hook",
    "eventId": "event-1",
    "X-Lapwise-Signature": "t=1,v1=00",
    "expectedActiveId": None,  # a condition, not a thing to act on: any id but the active one is a 409
    "file": None,  # a form without its file is a 422, which is enough here
}


@dataclass(frozen=True)
class Slot:
    """A place in a request for the id of something."""

    where: str  # path, query, json
    name: str
    kind: str
    is_list: bool = False


@dataclass(frozen=True)
class Operation:
    """A route under one method, and what it wants filled."""

    method: str
    path: str
    is_open: bool  # to callers without a token
    slots: tuple[Slot, ...] = ()
    plain: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # other names by where they stand

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Call:
    """An operation, filled."""

    operation: Operation
    path: str
    query: Mapping[str, Any]
    json: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"{self.operation.method} {self.path} {dict(self.query)} {self.json}"

    def send(self, client: FlaskClient, headers: Mapping[str, str]) -> TestResponse:
        return client.open(
            self.path,
            method=self.operation.method,
            query_string=dict(self.query),
            json=self.json,
            headers=dict(headers),
        )


def operations(app: Flask) -> list[Operation]:
    """All of the url_map but static files, with what the OpenAPI document says of each.

    Raises
    ------
    AssertionError
        A parameter or a required field has a name that nothing here is known for.
    """
    openapi = app.test_client().get("/openapi.json").get_json()
    return [
        _operation(method, re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule), openapi)
        for rule in api_rules(app)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if not rule.endpoint.endswith("static")
    ]


def filled(operation: Operation, ids: Things, foreign: Slot | None = None, foreign_id: str = "") -> Call:
    """The operation with one's own things in its slots, but for one slot with another's."""
    values: dict[tuple[str, str], Any] = {}
    for slot in operation.slots:
        owned = ids.get(slot.kind) or [UNKNOWN]
        value = foreign_id if slot == foreign else owned[0]
        values[slot.where, slot.name] = _several(slot, value, owned) if slot.is_list else value
    values |= {
        (where, name): VALUES[name]
        for where, names in operation.plain.items()
        for name in names
        if VALUES[name] is not None
    }
    named = {
        where: {name: value for (place, name), value in values.items() if place == where}
        for where in ("path", "query", "json")
    }
    path = re.sub(r"{(\w+)}", lambda match: str(named["path"][match[1]]), operation.path)
    has_body = any(slot.where == "json" for slot in operation.slots) or "json" in operation.plain
    return Call(operation, path, named["query"], named["json"] if has_body else None)


def _several(slot: Slot, value: str, owned: list[str]) -> list[str]:
    """A list that holds the value; a comparison needs two models."""
    return [value, owned[-1]] if slot.name == "modelIds" else [value]


def _operation(method: str, path: str, openapi: Document) -> Operation:
    told = openapi["paths"].get(path, {}).get(method.lower(), {})
    names = [("path", name, False) for name in re.findall(r"{(\w+)}", path)]
    names += [
        (parameter["in"], parameter["name"], False)
        for parameter in told.get("parameters", ())
        if parameter["in"] == "query" and _matters(parameter["name"], parameter, parameter["schema"])
    ]
    names += list(_body_names(told, openapi))
    slots: list[Slot] = []
    plain: dict[str, tuple[str, ...]] = {}
    for where, name, is_list in names:
        kind = _kind(path, where, name)
        if kind:
            slots.append(Slot(where, name, kind, is_list))
            continue
        assert name in VALUES, (
            f"{method} {path}: nothing is known to fill {name!r} with. If it names what can be owned, "
            "add it to KIND_OF_SLOT in tests/integration/walking.py, else a value for it to VALUES."
        )
        plain[where] = (*plain.get(where, ()), name)
    return Operation(method, path, told.get("security") == [], tuple(slots), plain)


def _body_names(told: Document, openapi: Document) -> Iterator[tuple[str, str, bool]]:
    """The ids that a JSON body may hold, and what it must hold."""
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = openapi["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
    for name, shape in schema["properties"].items():
        if _matters(name, {"required": name in schema.get("required", ())}, shape):
            yield "json", name, shape.get("type") == "array" and name in KIND_OF_SLOT


def _matters(name: str, place: Document, shape: Document) -> bool:
    """Whether a request must have it, or it names something by its id."""
    is_id = ID_PATTERN in (shape.get("pattern"), shape.get("items", {}).get("pattern"))
    return bool(place.get("required")) or is_id or name in KIND_OF_SLOT


def _kind(path: str, where: str, name: str) -> str | None:
    if where == "path" and name == "id":
        first = path.split("/")[1]
        assert first in KIND_OF_ID, (
            f"{path}: whose id is that? Add {first!r} to KIND_OF_ID in tests/integration/walking.py."
        )
        return KIND_OF_ID[first]
    return KIND_OF_SLOT.get(name)
