"""A closed load of HTTP requests over connections that are kept, from processes of its own."""

import multiprocessing
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

CLIENTS = 4
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

    def encoded(self) -> bytes:
        parts = urlsplit(self.url)
        lines = [
            f"{self.method} {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
        ]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def offer(calls: list[Call], seconds: float) -> Load:
    """Each client sends the next of its calls as soon as the one before is answered; clients share the calls.

    Raises
    ------
    RuntimeError
        An answer had another status than its call expects.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(CLIENTS) as pool:
        shares = [calls[index % len(calls) :: CLIENTS] or calls for index in range(CLIENTS)]
        pool.map(_ready, range(CLIENTS))
        found = pool.starmap(_client, [(share, seconds) for share in shares], chunksize=1)
    return Load(times=sorted(one for times in found for one in times), seconds=seconds)


def _ready(_index: int) -> None:
    time.sleep(0.2)  # so that each process takes one


def _client(calls: list[Call], seconds: float) -> list[float]:
    parts = urlsplit(calls[0].url)
    address = (parts.hostname, parts.port)
    requests = [(call.encoded(), call.status) for call in calls]
    times: list[float] = []
    with socket.create_connection(address, timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            request, expected = requests[len(times) % len(requests)]
            connection.sendall(request)
            status, rest = _answer(connection)
            times.append(time.perf_counter() - started)
            if status != expected:
                raise RuntimeError(f"{status} in the place of {expected}: {rest[:500]!r}")
    return times


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
