"""Talks to drivers' servers: the one place from which the platform calls addresses that others chose."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import httpcore
import httpx

from app.destinations import check_address, checked_url
from app.errors import DestinationRefused, LapwiseError

CONNECT_SECONDS = 4.0
READ_SECONDS = 8.0
TOTAL_SECONDS = 10.0  # of a delivery with all its redirects, however slowly the receiver answers
MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 307, 308)  # 303 asks for a GET, which would deliver nothing
Resolve = Callable[..., Iterable[Any]]


class NotDelivered(LapwiseError):
    """The receiver could not be reached."""

    code = "not_delivered"


class Receivers:
    """Posts to addresses that drivers chose.

    Parameters
    ----------
    allow_private
        Whether addresses outside the public internet may be called.
    resolve
        `socket.getaddrinfo`, or what a test puts in its place.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve = socket.getaddrinfo) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status that the receiver answers; of the answer no more than its head is read.

        Redirects are followed with the same body, each to an address that is checked like the first, and none
        from https to http.

        Raises
        ------
        NotDelivered, DestinationRefused
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        url = checked_url(address, allow_private=self._allow_private)
        for _ in range(1 + MAX_REDIRECTS):
            status, location = self._post_once(url, body, headers, deadline)
            if status not in REDIRECTS or not location:
                return status
            url = self._redirected(url, location)
        raise NotDelivered(f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            target = str(url.join(location))
        except (httpx.InvalidURL, ValueError) as exc:
            raise NotDelivered("redirected to what is no address") from exc
        following = checked_url(target, allow_private=self._allow_private)
        if (url.scheme, following.scheme) == ("https", "http"):
            raise DestinationRefused("redirected from https to http")
        return following

    def _post_once(
        self, url: httpx.URL, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> tuple[int, str]:
        backend = _CheckedBackend(self._allow_private, self._resolve, deadline)
        sent: dict[bytes | str, bytes | str] = {"Host": url.netloc.decode(), "Connection": "close"}
        sent.update(headers)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        timeouts = {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": READ_SECONDS}
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream(
                    "POST",
                    target,
                    headers=sent,
                    content=body,
                    extensions={"timeout": timeouts},
                ) as answer,
            ):
                location = next((value for name, value in answer.headers if name.lower() == b"location"), b"")
                return answer.status, location.decode("ascii", "replace")
        except (httpcore.TimeoutException, TimeoutError) as exc:
            raise NotDelivered("no answer in time") from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as exc:
            raise NotDelivered(f"the connection failed: {_reason(exc)}") from exc

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


class _CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to addresses it has checked, so that no second look-up can give another one."""

    def __init__(self, allow_private: bool, resolve: Resolve, deadline: float) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host, port):
            try:
                left = _left(self._deadline, timeout)
                return _TimedStream(
                    self._sockets.connect_tcp(address, port, left, *args, **options), self._deadline
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        """All addresses of a host; one that is not allowed rules out the host."""
        try:
            found = self._resolve(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise NotDelivered("the host's name is unknown") from exc
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not self._allow_private:
            for address in addresses:
                check_address(address)
        return addresses


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends at a fixed time, however little and often the other side sends."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)


def _reason(exc: Exception) -> str:
    """What is worth telling of a failure: its kind, and the system's word for it."""
    return str(exc) or type(exc).__name__
