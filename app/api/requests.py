"""Reads request bodies within limits: JSON strictly, and file parts straight to disk."""

import json
import re
from collections.abc import Mapping
from functools import cache, cached_property
from tempfile import NamedTemporaryFile
from typing import IO, Any, NoReturn, cast

import flask
from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.formparser import FormDataParser

from app.api.context import services

SMALL_BODY = 1 << 20  # bytes of JSON without rows
MOST_CONTAINERS = 1_000_000  # in one body: empty ones take thirty times their two bytes in memory
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Request(flask.Request):
    """A request whose uploaded files lie on disk and are gone when it ends."""

    max_form_parts = 20

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: list[IO[bytes]] = []

    def _get_file_stream(self, *_args: Any, **_kwargs: Any) -> IO[bytes]:
        part = NamedTemporaryFile(prefix="lapwise-")  # close() below closes it
        self._parts.append(part)
        return part

    def make_form_data_parser(self) -> FormDataParser:
        parser = super().make_form_data_parser()
        parser.silent = False  # a broken body is an error, not an empty form
        return parser

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except ValueError as exc:
            raise BadRequest("The multipart body cannot be read.") from exc

    @cached_property
    def raw(self) -> bytes:
        """The body as it came; read without werkzeug's stream where its length is announced.

        Raises
        ------
        RequestEntityTooLarge
        ClientDisconnected
            There was less of it.
        """
        length, most = self.content_length, self.max_content_length
        if length is None:
            raw = self.get_data()
            if len(raw) == most:
                raise RequestEntityTooLarge  # it is cut off at the limit in silence
            return raw
        if most is not None and length > most:
            raise RequestEntityTooLarge
        try:
            raw = self.environ["wsgi.input"].read(length)
        except (OSError, ValueError) as exc:  # the connection was reset, or is closed
            raise ClientDisconnected from exc
        if len(raw) < length:
            raise ClientDisconnected
        return bytes(raw)

    def close(self) -> None:
        """Removes the files, also those of a body that broke off."""
        for part in self._parts:
            part.close()
        super().close()


class Parser(FlaskParser):
    """Gives schemas what a request holds; names of fields stand in the errors as the client wrote them."""

    # None leaves it to the schema, which refuses
    DEFAULT_UNKNOWN_BY_LOCATION = dict.fromkeys(("json", "multipart", "query")) | {"headers": EXCLUDE}
    __location_map__ = FlaskParser.__location_map__ | {"multipart": "load_multipart"}

    def load_json(self, req: flask.Request, schema: Schema) -> Any:
        """The body; an absent one counts as `{}`, so that an endpoint may need none."""
        if not _takes_rows(type(schema)):
            req.max_content_length = min(req.max_content_length or SMALL_BODY, SMALL_BODY)
        raw = cast(Request, req).raw
        if not raw:
            return missing
        if not req.is_json:
            raise UnsupportedMediaType("Send the body as application/json.")
        return parsed_json(raw)

    def load_headers(self, req: flask.Request, schema: Schema) -> Any:
        """Those that the schema knows."""
        names = [field.data_key or name for name, field in schema.fields.items()]
        return {name: req.headers[name] for name in names if name in req.headers}

    def parse(self, argmap: Any, req: Any = None, *, location: str | None = None, **kwargs: Any) -> Any:
        """As webargs does; of headers that need not be there and are not, nothing, unasked."""
        schema: Schema = argmap
        if location == "headers" and not (self.load_headers(req, schema) or needs_any(type(schema))):
            return {}
        return super().parse(argmap, req, location=location, **kwargs)

    def load_multipart(self, req: flask.Request, schema: Schema) -> Any:
        """The fields and the files of a form as one mapping."""
        if req.mimetype != "multipart/form-data":
            raise UnsupportedMediaType("Send the body as multipart/form-data.")
        req.max_content_length = services().settings.max_upload_bytes
        parts: MultiDict[str, Any] = MultiDict(req.form)
        parts.update(req.files)
        return self._makeproxy(parts, schema)

    def handle_error(
        self,
        error: ValidationError,
        req: flask.Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        error.messages = next(iter(error.messages_dict.values()))  # webargs keeps them by location
        raise error


def parsed_json(raw: bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    BadRequest
        It is not UTF-8 or not JSON (NaN and Infinity are not), nests deeper than the parser goes, has more
        lists and objects than any good one, or holds half a surrogate pair, which no database can keep. The
        schemas, which know the type of every field, allow a few levels only.
    """
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:
        raise BadRequest(f"The body has more than {MOST_CONTAINERS:,} lists and objects.")
    try:
        text = raw.decode()
        value = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise BadRequest("The body is not valid JSON.") from exc
    return value


@cache
def _takes_rows(schema: type[Schema]) -> bool:
    return any(isinstance(field, fields.Raw) for field in schema().fields.values())


@cache
def needs_any(schema: type[Schema]) -> bool:
    """Whether there is a field that must be given."""
    return any(field.required for field in schema().fields.values())


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
