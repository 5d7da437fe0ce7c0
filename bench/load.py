"""A closed load of HTTP requests over connections that are kept, from processes of its own.

A client library uses up the cores that the server needs, so this one writes and reads sockets itself, unless
told to be what apps are made of.
"""

import multiprocessing
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

CLIENTS = 4
TIMEOUT = 60.0  # seconds, of one answer
_WINDOW = 25  # requests of one process that are under way at once, when it polls
_CONTENT_LENGTH = b"content-length: "


@dataclass(frozen=True)
class Load:
    """What came of a load: times to answer in seconds, in order of size, over `seconds` of wall clock."""

    times: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """In seconds."""
        return self.times[min(int(share * len(self.times)), len(self.times) - 1)]


@dataclass(frozen=True)
class Call:
    """One request, sent again and again."""

    url: str
    body: bytes = b""
    token: str = ""
    method: str = "POST"
    status: int = 200

    @property
    def headers(self) -> dict[str, str]:
        known = {"Content-Type": "application/json"}
        return known | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        parts = urlsplit(self.url)
        lines = [
            f"{self.method} {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Clients:
    """Processes that send requests; made while this process is still small, for they are copies of it."""

    def __init__(self, count: int = CLIENTS) -> None:
        self._count = count
        self._pool = multiprocessing.get_context("fork").Pool(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.terminate()
        self._pool.join()

    def offer(self, calls: Sequence[Call], seconds: float, *, by_httpx: bool = False) -> Load:
        """Each client sends the next of its calls as soon as the one before is answered.

        Clients share the calls: with as many drivers' calls as clients, each is one driver.

        Parameters
        ----------
        by_httpx
            Whether they use that library, as `app.client` does, in the place of bare sockets.

        Raises
        ------
        RuntimeError
            An answer had another status than its call expects.
        """
        shares = [calls[index % len(calls) :: self._count] for index in range(self._count)]
        send = _send_by_httpx if by_httpx else _send
        found = self._pool.starmap(send, [(share, seconds) for share in shares], chunksize=1)
        return Load(times=sorted(one for times in found for one in times), seconds=seconds)

    def poll(self, call: Call, *, connections: int, times: int) -> int:
        """Sends a call so many times on each of so many open connections; how many were answered."""
        share = connections // self._count
        return sum(self._pool.starmap(_poll, [(call, share, times)] * self._count, chunksize=1))


def _send(calls: Sequence[Call], seconds: float) -> list[float]:
    requests = [(call.encoded(), call.status) for call in calls]
    times: list[float] = []
    with _connected(calls[0]) as connection:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            request, expected = requests[len(times) % len(requests)]
            connection.sendall(request)
            status, rest = _answer(connection)
            times.append(time.perf_counter() - started)
            if status != expected:
                raise RuntimeError(f"{status} in the place of {expected}: {rest[:500]!r}")
    return times


def _send_by_httpx(calls: Sequence[Call], seconds: float) -> list[float]:
    times: list[float] = []
    with httpx.Client(timeout=TIMEOUT) as client:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            call = calls[len(times) % len(calls)]
            answer = client.request(call.method, call.url, content=call.body, headers=call.headers)
            times.append(time.perf_counter() - started)
            if answer.status_code != call.status:
                raise RuntimeError(f"{answer.status_code} in the place of {call.status}: {answer.text[:500]}")
    return times


def _poll(call: Call, connections: int, times: int) -> int:
    opened = [_connected(call) for _ in range(connections)]
    request, answered = call.encoded(), 0
    for _ in range(times):
        for begin in range(0, connections, _WINDOW):
            window = opened[begin : begin + _WINDOW]
            for connection in window:
                connection.sendall(request)
            answered += sum(_answer(connection)[0] == call.status for connection in window)
    for connection in opened:
        connection.close()
    return answered


def _connected(call: Call) -> socket.socket:
    parts = urlsplit(call.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    data = b""
    while (head := data.find(b"\r\n\r\n")) < 0:
        data += _received(connection)
    at = data.lower().find(_CONTENT_LENGTH, 0, head + 2) + len(_CONTENT_LENGTH)
    missing = int(data[at : data.index(b"\r", at)]) - (len(data) - head - 4)
    while missing > 0:
        more = _received(connection)
        data, missing = data + more, missing - len(more)
    return int(data[9:12]), data[head + 4 :]


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("the server closed the connection")
    return data
