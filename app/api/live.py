"""HTTP for live predictions: who may open which connection, before the socket leaves HTTP behind."""

import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from flask import Response, current_app, request
from flask.sansio.blueprints import BlueprintSetupState
from marshmallow import fields
from marshmallow.validate import Range
from websockets.datastructures import Headers
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from app.api.blueprint import Blueprint
from app.api.connection import Grant
from app.api.context import claims, family_id, services, user_id
from app.api.fields import CamelSchema, Flag
from app.api.jobs import Streams
from app.api.sockets import LiveSockets
from app.errors import OriginRefused, TooManyConnections, Unavailable, UpgradeRequired

log = structlog.get_logger()
bp = Blueprint("live", __name__, description="Predictions frame by frame, while a car drives.")

RULE = "/ai-model/<id:id>/live"
SOCKETS, CONNECTIONS = "lapwise-live", "lapwise-live-connections"
CONNECTIONS_AT_ONCE = 32  # of a process
CONNECTIONS_OF_ONE_DRIVER = 8
SUBPROTOCOL = Subprotocol("lapwise.live")
BEARER = "bearer."  # before an access token that stands among the subprotocols


class LiveQuery(CamelSchema):
    """What each answer shall hold besides the prediction; as `predictionOptions` of a request."""

    include_confidence = Flag(data_key="include_confidence")
    confidence_level = fields.Float(
        data_key="confidence_level",
        validate=Range(0, 1, min_inclusive=False, max_inclusive=False),
        metadata={"example": 0.9},
    )
    include_feature_importance = Flag(data_key="include_feature_importance")


def new_connections() -> Streams:
    """The count of this process's live connections."""
    return Streams(CONNECTIONS_AT_ONCE, CONNECTIONS_OF_ONE_DRIVER, TooManyConnections)


@bp.url_value_preprocessor  # type: ignore[untyped-decorator]  # flask_smorest has no types
def take_token_from_subprotocols(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Browsers cannot set Authorization here: they offer the token as a subprotocol, never in an address."""
    offered = _subprotocols(request.headers.get("Sec-WebSocket-Protocol", ""))
    token = next((one.removeprefix(BEARER) for one in offered if one.startswith(BEARER)), None)
    if token and "Authorization" not in request.headers:
        request.environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"


@bp.operation("GET", RULE, query=LiveQuery, status=101, errors=(400, 426))
def open_live(query: dict[str, Any], id: str) -> Response:
    """Open a WebSocket that answers each frame of a car with a prediction."""
    check_origin()
    driver = user_id()
    car = services().live.open(driver, id, **query)
    response = _handshake()
    taken = _socket(request.environ)
    grant = Grant(family_id=family_id(), expires_at=claims()["exp"])
    connections = cast(Streams, current_app.extensions[CONNECTIONS])
    sockets = cast(LiveSockets, current_app.extensions[SOCKETS])

    def hand_over() -> None:
        try:
            sockets.adopt(_taken_over(taken), car, grant)
        except OSError as exc:
            connections.close(driver)
            log.warning("live_not_opened", error=str(exc))

    connections.open(driver)
    response.call_on_close(hand_over)
    return response


@bp.record  # type: ignore[untyped-decorator]  # flask_smorest has no types
def also_route_handshakes(state: BlueprintSetupState) -> None:
    """Werkzeug keeps WebSockets apart; with the plain rule alone they would be a 400."""
    rule = Rule(RULE, endpoint=f"{bp.name}.{open_live.__name__}", methods=["GET"], websocket=True)
    state.app.url_map.add(rule)


def check_origin() -> None:
    """A browser sends its cookies along whatever page asks; a token shown is proof enough.

    Raises
    ------
    OriginRefused
    """
    if "Authorization" in request.headers:
        return
    if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
        raise OriginRefused


def _handshake() -> Response:
    """The answer that opens a WebSocket, without compression: answers are small and should be quick.

    Raises
    ------
    UpgradeRequired, BadRequest
    """
    asked = Handshake(request.full_path, Headers(list(request.headers.items())))
    opened = ServerProtocol(select_subprotocol=_selected).accept(asked)
    if opened.status_code == 426:
        raise UpgradeRequired
    if opened.status_code != 101:
        raise BadRequest("This is not a good WebSocket handshake.")
    response = Response(status=101)
    response.headers.clear()
    response.headers.extend(list(opened.headers.raw_items()))
    return response


def _selected(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _subprotocols(header: str) -> list[str]:
    return [one.strip() for one in header.split(",")]


def _socket(environ: dict[str, Any]) -> socket.socket:
    """The request's own socket, which gunicorn gives along.

    Raises
    ------
    Unavailable
        Another server, or TLS, which a proxy should do.
    """
    found = environ.get("gunicorn.socket")
    if not isinstance(found, socket.socket) or isinstance(found, ssl.SSLSocket):
        raise Unavailable("live connections need gunicorn, with TLS done by a proxy before it")
    return found


def _taken_over(theirs: socket.socket) -> socket.socket:
    """The connection as a socket of our own; the server is left with one that has ended, to close it."""
    ours = theirs.dup()
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), theirs.fileno(), inheritable=False)
    ended.close()
    return ours
