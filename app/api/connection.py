"""One live connection: the frames of a car come in, the answer to the newest one goes out.

The protocol itself is the part of `websockets` that does no I/O. At most one frame waits for its answer, the
newest, and none is predicted for while the client has not taken the answers before.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from marshmallow import ValidationError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from werkzeug.exceptions import BadRequest

from app.api.errors import described
from app.api.fields import Rows
from app.api.requests import parsed_json
from app.errors import Invalid, LapwiseError
from app.services.live import Car
from learning.errors import LearningError

if TYPE_CHECKING:
    from app.api.sockets import LiveSockets

MESSAGE_BYTES = 64 * 1024  # of one message that comes in
UNSENT_BYTES = 64 * 1024  # of pongs and errors that wait for such a client, before it is let go
PING_AFTER, PONG_WITHIN = 20.0, 20.0  # seconds
IDLE_AFTER = 300.0  # seconds without a frame
CLOSE_WITHIN = 2.0  # seconds that a client has to agree to a close
ID_LENGTH = 100  # of a frame's own id
TOKEN_ENDED, MODEL_GONE, IDLE = 4401, 4404, 4408  # close codes of our own, like the statuses of HTTP
_ROWS = Rows(1, or_one=True)
_quiet = logging.Logger("websockets", logging.WARNING)  # it would log each opening
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Grant:
    """On what a connection was opened: the family of the token, and when that ends, in Unix seconds."""

    family_id: str
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class Asks:
    """Who asks what, on which grant."""

    user_id: str
    model_id: str
    grant: Grant


class Connection(asyncio.Protocol):
    """One client; all but the constructor runs in the thread of `LiveSockets`."""

    transport: asyncio.Transport

    def __init__(self, sockets: "LiveSockets", car: Car, grant: Grant) -> None:
        self.car = car
        self.asks = Asks(user_id=car.user_id, model_id=car.version.id, grant=grant)
        self.blocked = False  # whether the client has yet to take what was sent
        self.due_since = 0.0
        self.last_frame = self.last_heard = time.monotonic()
        self._sockets = sockets
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MESSAGE_BYTES, logger=_quiet)
        self._opened = self.last_frame
        self._pinged: float | None = None
        self._message = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what connect_accepted_socket makes
        self.transport = transport
        transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self.last_heard, self._pinged = time.monotonic(), None
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._message += event.data
                if event.fin:
                    message, self._message = bytes(self._message), bytearray()
                    self._take(message)
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self._sockets.wants_answer(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._protocol.receive_eof()
        close = self._protocol.close_sent or self._protocol.close_rcvd
        log.info(
            "live_closed",
            user_id=self.car.user_id,
            model_id=self.car.version.id,
            code=close.code if close else CloseCode.ABNORMAL_CLOSURE,
            frames=self.car.frames,
            seconds=round(time.monotonic() - self._opened, 1),
        )
        self._sockets.closed(self)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends a message, unless the connection is closing."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(json.dumps(message).encode())
            self._flush()

    def refuse(self, error: Exception, tag: Mapping[str, Any]) -> None:
        """Says what is wrong with a frame, unless the client has yet to take what was said before."""
        self._sockets.count("refused")
        if not self.blocked:
            self.tell({"error": described(error), **tag})

    def close(self, code: int, reason: str) -> None:
        """Begins to close; a client that does not agree in time is cut off."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
            self._cut_off_soon()

    def keep_alive(self, now: float) -> None:
        """Sends a ping to a client that says nothing, and leaves one that does not answer it."""
        if now - self.last_frame > IDLE_AFTER:
            self.close(IDLE, f"no frame for {IDLE_AFTER:.0f} s")
        elif self._pinged is not None and now - self._pinged > PONG_WITHIN:
            self.transport.abort()
        elif self._pinged is None and now - self.last_heard > PING_AFTER:
            self._pinged = now
            self._protocol.send_ping(b"")
            self._flush()

    def _take(self, message: bytes) -> None:
        self.last_frame = time.monotonic()
        tag: dict[str, Any] = {"frame": self.car.begin_frame()}
        try:
            frame, own_id = _frame(message)
            tag |= own_id
            if self.car.take(frame, tag):
                self._sockets.count("superseded")
        except (LapwiseError, LearningError, BadRequest, ValidationError) as exc:
            return self.refuse(exc, tag)
        self.due_since = self.last_frame
        self._sockets.wants_answer(self)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.transport.write(data)
            elif not self.transport.is_closing():  # all is said; what the client still sends is read away
                self.transport.write_eof()
                self._cut_off_soon()
        if self.transport.get_write_buffer_size() > UNSENT_BYTES:
            self.transport.abort()

    def _cut_off_soon(self) -> None:
        asyncio.get_running_loop().call_later(CLOSE_WITHIN, self.transport.abort)


def _frame(message: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message's frame, and the id that it gives itself, if any."""
    value = parsed_json(message)
    if not isinstance(value, dict):
        raise Invalid("A frame is a JSON object.", frame=["Not an object."])
    (frame,) = _ROWS.deserialize(value)
    if "id" not in frame:
        return frame, {}
    own_id = frame.pop("id")
    if isinstance(own_id, bool) or not isinstance(own_id, int | float | str) or len(str(own_id)) > ID_LENGTH:
        raise Invalid(id=[f"Not a number or a text of at most {ID_LENGTH} characters."])
    return frame, {"id": own_id}
