"""Hostile values for every place of every operation: each is one request, all else in it is good."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from time import time
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.signatures import HEADER, sign
from tests.integration.walking import Document, Operation, Things, filled, operations

HOSTILE: tuple[Any, ...] = (
    {"$gt": ""},
    {"$ne": None},
    {"$where": "sleep(100)"},
    {"a.b": 1, "$set": {"userId": "x"}},
    ["x"],
    [{"$gt": ""}],
    "$where",
    "a.b",
    "x\r\nSet-Cookie: a=b",
    "../../../etc/passwd",
    "\u202egnp.exe",
    "\x1b[2J\x00",
    "=cmd|' /C calc'!A0",
    -1,
    10**30,
)
BODIES = {"application/json": "json", "multipart/form-data": "form"}


@dataclass(frozen=True)
class Attack:
    """One hostile value in one place of an operation."""

    operation: Operation
    where: str  # path, query, header, json, form
    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.operation} {self.where} {self.name}={self.value!r}"

    def send(
        self, client: FlaskClient, headers: Mapping[str, str], things: Things, webhook_secret: str
    ) -> TestResponse:
        text = self.value if isinstance(self.value, str) else json.dumps(self.value)
        here = {self.where: {self.name: self.value if self.where == "json" else text}}
        path = self.operation.path.replace(f"{{{self.name}}}", quote(text, safe=""))
        call = filled(replace(self.operation, path=path), things)
        query = dict(call.query) | here.get("query", {})
        if self.where == "form":
            form = {"file": (BytesIO(b"lap,speed\n1,200\n"), "../a.csv"), "trackName": "Nowhere"} | here[
                "form"
            ]
            return client.open(call.path, method="POST", query_string=query, data=form, headers=headers)
        body = None
        if call.json is not None or self.where == "json":
            body = json.dumps(dict(call.json or {}) | here.get("json", {})).encode()
        signed = {HEADER: sign(webhook_secret, body or b"", int(time()))}
        sent = dict(headers) | signed | here.get("header", {})
        kind = {"data": body, "content_type": "application/json"} if body else {}
        method = self.operation.method
        return client.open(call.path, method=method, query_string=query, headers=sent, **kind)


def attacks(app: Flask) -> Iterator[Attack]:
    """Every hostile value in every place that the OpenAPI document tells of."""
    openapi = app.test_client().get("/openapi.json").get_json()
    for operation in operations(app):
        told = openapi["paths"][operation.path].get(operation.method.lower(), {})
        for where, name in _places(operation, told, openapi):
            for value in HOSTILE:
                if where != "header" or str(value).isprintable():  # no client sends another
                    yield Attack(operation, where, name, value)


def _places(operation: Operation, told: Document, openapi: Document) -> Iterator[tuple[str, str]]:
    yield from (("path", name) for name in re.findall(r"{(\w+)}", operation.path))
    yield from ((place["in"], place["name"]) for place in told.get("parameters", ()))
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        schema = openapi["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
        yield from ((BODIES[kind], name) for name in schema["properties"])
