"""Turns every error into the one JSON shape, with the status that the one table here gives it."""

from collections.abc import Mapping
from typing import Any

import structlog
from flask import Flask, Response, jsonify
from marshmallow import Schema, ValidationError, fields
from pymongo.errors import ConnectionFailure, ExecutionTimeout, WTimeoutError
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from app import errors as app_errors
from app.errors import Invalid, LapwiseError, Unavailable
from learning import errors as learning_errors
from learning.errors import LearningError

RETRY_AFTER = "5"  # seconds until a dependency that is down is worth another try
# Of a driver's own queue: sooner than that hardly anything has changed.
WAITS: Mapping[type[Exception], Mapping[str, str]] = {app_errors.TooMuchWaiting: {"Retry-After": "20"}}
STATUS: Mapping[type[Exception], int] = {  # of an error not named here, its nearest base class counts
    app_errors.NotFound: 404,
    app_errors.Conflict: 409,
    app_errors.Invalid: 422,
    app_errors.TooLarge: 413,
    app_errors.Unauthorized: 401,
    app_errors.RateLimited: 429,
    app_errors.TooManySignIns: 429,
    app_errors.TooManyStreams: 429,
    app_errors.TooMuchWaiting: 429,
    app_errors.UpgradeRequired: 426,
    app_errors.Unavailable: 503,
    app_errors.LapwiseError: 500,
    learning_errors.UnknownFormat: 415,
    learning_errors.TelemetryTooLarge: 413,
    learning_errors.LearningError: 422,
}
HTTP_ERRORS = {  # the code and the message of what Flask itself refuses, where its own would not do
    404: (app_errors.NotFound.code, "There is nothing at this address."),
    413: (app_errors.TooLarge.code, "The request is larger than the platform takes."),
}
log = structlog.get_logger()


class ErrorBody(Schema):
    """What went wrong."""

    code = fields.String(required=True, metadata={"example": "session_not_found"})
    message = fields.String(required=True, metadata={"example": "There is no such session."})
    details = fields.Dict(required=True, metadata={"example": {"trackName": ["Missing data."]}})


class ErrorSchema(Schema):
    """The shape of every error."""

    error = fields.Nested(ErrorBody, required=True)


def init_errors(app: Flask) -> None:
    app.register_error_handler(Exception, error_answer)


def error_answer(error: Exception) -> Response:
    """The answer to a request that ended in an error."""
    headers: Mapping[str, str] = {}
    error = _translated(getattr(error, "original_exception", None) or error)
    if isinstance(error, HTTPException):
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    elif isinstance(error, LapwiseError):
        headers = _wait(error)
    return shaped(status_of(error), **described(error), headers=headers)


def _wait(error: LapwiseError) -> Mapping[str, str]:
    if "retryAfter" in error.details:
        return {"Retry-After": str(error.details["retryAfter"])}
    return WAITS.get(type(error), {})


def described(error: Exception) -> dict[str, Any]:
    """An error's `code`, `message` and `details`; one that nobody foresaw is logged and tells nothing."""
    error = _translated(error)
    if isinstance(error, LapwiseError | LearningError):
        code, message, details = error.code, error.message, dict(error.details.get("fields", error.details))
    elif isinstance(error, HTTPException):
        own = error.name.lower().replace(" ", "_"), error.description or error.name
        code, message = HTTP_ERRORS.get(error.code or 500, own)
        details = {}
    else:
        code, details = "internal_error", {}
        message = "Something went wrong here; X-Request-Id names the request in our logs."
    if status_of(error) == 500:
        log.error("request_failed", exc_info=error)
    return {"code": code, "message": message, "details": details}


def shaped(
    status: int, code: str, message: str, details: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    """An error in the contract's shape, with the headers that its status asks for."""
    response = jsonify(error={"code": code, "message": message, "details": details})
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        response.headers["Retry-After"] = RETRY_AFTER
    if status == 426:
        response.headers["Upgrade"] = "websocket"
    response.headers.update(headers)
    return response


def status_of(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.code or 500
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _translated(error: Exception) -> Exception:
    if isinstance(error, ValidationError):
        refused = Invalid()
        refused.details = _by_name(error.messages)
        return refused
    if isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError | RedisError):
        return Unavailable()
    return error


def _by_name(messages: Any) -> Mapping[str, Any]:
    named = messages if isinstance(messages, Mapping) else {"_schema": messages}
    return {"body" if name == "_schema" else name: value for name, value in named.items()}
