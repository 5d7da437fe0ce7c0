"""A blueprint whose one decorator says all about an operation: route, caller, inputs, answer, errors."""

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, ClassVar, Literal, TypeVar

import flask_smorest
from flask import Response
from marshmallow import Schema, fields
from marshmallow.validate import Regexp
from werkzeug.exceptions import HTTPException

from app.api.context import present
from app.api.errors import ErrorSchema, error_answer
from app.api.fields import CamelSchema
from app.api.requests import Parser, needs_any
from app.api.tokens import Shown, require

V = TypeVar("V", bound=Callable[..., Any])
_BINARY = {"type": "string", "format": "binary"}
LOCATIONS = ("query", "json", "multipart", "headers")  # in the order in which views take what they hold
_FILES = {"application/json": {"type": "object"}}
_BODIES = {"json": "application/json", "multipart": "multipart/form-data"}


class IdempotencySchema(CamelSchema):
    """The header that makes a repeated request answer the same job."""

    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        metadata={"example": "train-bahrain-0b9a6f0e"},
        validate=Regexp("^[!-~]{1,200}$", error="Not 1 to 200 visible ASCII characters."),
    )


class Api(flask_smorest.Api):  # type: ignore[misc]  # flask_smorest has no types
    """The OpenAPI document; errors in it have our shape."""

    ERROR_SCHEMA = ErrorSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        return error_answer(error)

    def _register_pagination_header(self) -> None:
        """Nothing: our pages carry their cursor in the body, so the document shall not tell of a header."""


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask_smorest has no types
    """Operations on one resource."""

    ARGUMENTS_PARSER = Parser()
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar = _BODIES

    def operation(
        self,
        method: str,
        *rules: str,
        answer: Schema | type[Schema] | None = None,
        status: int = 200,
        errors: tuple[int, ...] = (),
        shows: Shown | Literal["nothing"] = "access",
        content_type: str | None = None,
        files: Collection[str] = (),
        **inputs: type[Schema],
    ) -> Callable[[V], V]:
        """Routes a view, checks the caller's token, parses its inputs, renders its answer, documents it all.

        Parameters
        ----------
        rules
            Several are doors to the same operation.
        shows
            The token that the caller must show.
        errors
            Statuses that this operation can answer besides those that follow from the other arguments.
        files
            Media types of the file that it answers with.
        inputs
            Schemas by where they are read: `query`, `json`, `multipart`, `headers`; the view gets what they
            loaded in this order.
        """

        def decorate(view: V) -> V:
            wrapped = answered = self.response(status, answer, content_type=content_type)(view)
            if files:
                content = {kind: {"schema": _FILES.get(kind, _BINARY)} for kind in files}
                wrapped = self.doc(responses={status: {"content": content}})(wrapped)
            refusals = sorted(_errors(rules[0], inputs, shows) | set(errors))
            wrapped = self.doc(responses={code: HTTPStatus(code).name for code in refusals})(wrapped)
            # one of each for all requests: it takes longer to make than to load
            schemas = {location: inputs[location]() for location in LOCATIONS if location in inputs}
            for location, schema in reversed(schemas.items()):
                needed = needs_any(type(schema))
                wrapped = self.arguments(schema, location=location, required=needed)(wrapped)
            if shows == "nothing":
                wrapped = self.doc(security=[])(wrapped)
            served = self._served(answered, schemas, shows)
            served._apidoc = wrapped._apidoc
            for rule in rules:
                self.add_url_rule(rule, view_func=served, methods=[method])
            return view

        return decorate

    def _served(
        self, view: Callable[..., Any], schemas: Mapping[str, Schema], shows: Shown | Literal["nothing"]
    ) -> Any:
        """What is called for a request: as the decorators have it that document it, in one step."""

        @wraps(view)
        def served(*args: Any, **kwargs: Any) -> Any:
            if shows != "nothing":
                require(shows)
            asked = present()
            loaded = [
                self.ARGUMENTS_PARSER.parse(schema, asked, location=location)
                for location, schema in schemas.items()
            ]
            return view(*loaded, *args, **kwargs)

        return served


def _errors(rule: str, inputs: dict[str, type[Schema]], shows: str) -> set[int]:
    codes = {429, 503}
    if shows != "nothing":
        codes.add(401)
    if "<" in rule:
        codes.add(404)
    if inputs.keys() & _BODIES.keys():
        codes |= {400, 413, 415}
    return codes
