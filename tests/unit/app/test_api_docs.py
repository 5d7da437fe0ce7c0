"""The API's documents tell of every route, with schemas, examples and errors."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.routes import api_rules

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
Document = dict[str, Any]


@pytest.fixture
def openapi(stranger: FlaskClient) -> Document:
    document: Document = stranger.get("/openapi.json").get_json()
    return document


def operations(openapi: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in openapi["paths"].items():
        for method in methods.keys() - {"parameters"}:
            yield method.upper(), path, methods[method]


def test_every_route_stands_in_the_openapi_document_and_on_the_page(api: Flask, openapi: Document) -> None:
    documented = {(method, path) for method, path, _ in operations(openapi)}
    on_page = set(re.findall(r"^\| `([A-Z]+) (\S+?)`", PAGE.read_text(), re.MULTILINE))
    routes = {
        (method, re.sub(r"<(?:.*?:)?(\w+)>", r"{\1}", rule.rule))
        for rule in api_rules(api)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.endswith("static")
    }
    assert routes == documented
    assert routes == on_page


def test_every_operation_has_a_summary_an_answer_and_its_errors(openapi: Document) -> None:
    for method, path, operation in operations(openapi):
        where = f"{method} {path}"
        assert operation["summary"], where
        statuses = operation["responses"].keys()
        assert statuses & {"101", "200", "201", "202", "204", "302"}, where
        assert {"429", "503"} <= statuses, where
        assert ("401" in statuses) or operation.get("security") == [], where
        assert ("{" in path) <= ("404" in statuses), where
        assert ("requestBody" in operation) <= ({"400", "413", "415", "422"} <= statuses), where
    error = openapi["components"]["schemas"]["Error"]["properties"]["error"]
    assert error == {"$ref": "#/components/schemas/ErrorBody"}


def test_every_property_of_every_schema_has_a_type_and_an_example(openapi: Document) -> None:
    schemas = openapi["components"]["schemas"]
    assert {"Job", "Session", "Version", "Train", "Predict", "JobPage", "Error"} <= schemas.keys()
    for name, schema in schemas.items():
        for field, shape in schema["properties"].items():
            told = {"example", "$ref", "enum", "items", "allOf", "anyOf"} & shape.keys()
            assert told or shape.get("type") == "boolean" or shape.get("format") == "binary", (name, field)


def test_names_of_fields_are_camel_case(openapi: Document) -> None:
    for name, schema in openapi["components"]["schemas"].items():
        if name != "PredictOptions":  # the contract has these in snake_case
            assert not [field for field in schema["properties"] if "_" in field], name


def test_swagger_ui_comes_with_all_its_files_from_here(stranger: FlaskClient) -> None:
    page = stranger.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 4
    for name in files:
        with stranger.get(f"/{name}") as answer:
            assert answer.status_code == 200
            assert answer.mimetype in ("text/css", "text/javascript", "image/png")
    assert "://" not in page
    assert "://" not in stranger.get("/docs/start.js").text
