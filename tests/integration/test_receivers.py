"""Calling addresses that drivers chose: what is delivered, how long it may take, and where it never goes."""

import socket
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from app import destinations
from app.errors import DestinationRefused
from app.stores import receivers
from app.stores.receivers import NotDelivered, Receivers
from tests.receiver import Receiver, receiving

BODY = b'{"event": "webhook.test"}'
HEADERS = {"Content-Type": "application/json"}


class Names:
    """Stands in for the look-up of names: each name has an address for each time it is asked."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        self.asked.append(host)
        address = self.addresses[host.partition(".")[0]].pop(0)
        return socket.getaddrinfo(address, port, **options)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def public(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    return public_url(receiver, monkeypatch)


def public_url(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has 127.0.0.2 count as public, and the receiver's port as one for hooks; the URL of a name there."""
    check = destinations.check_address
    monkeypatch.setattr(
        receivers, "check_address", lambda address: None if address == "127.0.0.2" else check(address)
    )
    port = urlsplit(receiver.url).port
    monkeypatch.setattr(destinations, "PORTS", (port,))
    return f"http://public.example:{port}"


@pytest.fixture
def silent() -> Iterator[Callable[[bytes], str]]:
    """The URL of a server that sends the given bytes one by one, for ever."""
    servers = []

    def serve(text: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        Thread(target=drip, args=(server, text), daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield serve
    for server in servers:
        server.close()


def drip(server: socket.socket, text: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        try:
            while True:
                connection.sendall(text)
                time.sleep(0.02)
        except OSError:  # the other side has had enough
            return


def test_the_body_and_the_headers_arrive_as_they_are(receiver: Receiver) -> None:
    status = Receivers(allow_private=True).post(f"{receiver.url}/hook?key=1", BODY, HEADERS)
    assert status == 200
    [(path, headers, body)] = receiver.requests
    assert (path, body) == ("/hook?key=1", BODY)
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == urlsplit(receiver.url).netloc


def test_what_is_inside_is_refused_before_anything_is_sent(receiver: Receiver) -> None:
    with pytest.raises(DestinationRefused):
        Receivers(allow_private=False).post(receiver.url, BODY, HEADERS)
    assert receiver.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_means_an_inside_address_is_refused(address: str) -> None:
    names = Names(rebound=[address])
    with pytest.raises(DestinationRefused, match="not at a public address"):
        Receivers(allow_private=False, resolve=names).post("http://rebound.example/", BODY, HEADERS)
    assert names.asked == ["rebound.example"]


def test_one_inside_address_among_public_ones_rules_the_name_out(public: str, receiver: Receiver) -> None:
    def both(host: str, port: int, **options: Any) -> list[Any]:
        found = [socket.getaddrinfo(address, port, **options) for address in ("127.0.0.2", "127.0.0.1")]
        return found[0] + found[1]

    with pytest.raises(DestinationRefused):
        Receivers(allow_private=False, resolve=both).post(public, BODY, HEADERS)
    assert receiver.requests == []


def test_a_name_is_looked_up_once_for_a_connection_and_anew_for_the_next(
    public: str, receiver: Receiver
) -> None:
    names = Names(public=["127.0.0.2", "127.0.0.1"])
    calling = Receivers(allow_private=False, resolve=names)
    # the server listens on 127.0.0.1 only, so the checked address, and no other, is what was called
    with pytest.raises(NotDelivered, match="refused"):
        calling.post(public, BODY, HEADERS)
    assert names.asked == ["public.example"]
    with pytest.raises(DestinationRefused):
        calling.post(public, BODY, HEADERS)
    assert receiver.requests == []


@pytest.fixture
def outside() -> Iterator[Receiver]:
    """A receiver that may be reached as 127.0.0.2 too."""
    with receiving(host="0.0.0.0") as running:  # noqa: S104  # all of loopback, for the time of a test
        yield running


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/inside",
        "http://localhost:{port}/inside",
        "http://inside.example:{port}/",
        "//2130706433:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://user@public.example:{port}/",
        "http://public.example:22/",
        "http://[::1",
    ],
)
def test_a_redirect_to_the_inside_is_not_followed(
    location: str, outside: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, port = public_url(outside, monkeypatch), urlsplit(outside.url).port
    outside.answers = [(307, {"Location": location.format(port=port)}), (200, {})]
    names = Names(public=["127.0.0.2", "127.0.0.2"], inside=["127.0.0.1"])
    with pytest.raises((DestinationRefused, NotDelivered)):
        Receivers(allow_private=False, resolve=names).post(public, BODY, HEADERS)
    assert len(outside.requests) == 1, "the first hop must have been made, and no other"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_with_the_same_body(status: int, receiver: Receiver) -> None:
    receiver.answers = [(status, {"Location": "/elsewhere"}), (204, {})]
    assert Receivers(allow_private=True).post(f"{receiver.url}/hook", BODY, HEADERS) == 204
    assert [(path, body) for path, _, body in receiver.requests] == [("/hook", BODY), ("/elsewhere", BODY)]


def test_redirects_without_end_are_given_up(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": "/again"})]
    with pytest.raises(NotDelivered, match="more than 3 redirects"):
        Receivers(allow_private=True).post(receiver.url, BODY, HEADERS)
    assert len(receiver.requests) == 4


def test_a_see_other_is_an_answer_like_any_other(receiver: Receiver) -> None:
    receiver.answers = [(303, {"Location": "/thanks"})]
    assert Receivers(allow_private=True).post(receiver.url, BODY, HEADERS) == 303


def test_https_is_not_left_by_a_redirect() -> None:
    with pytest.raises(DestinationRefused, match="from https to http"):
        Receivers(allow_private=True)._redirected(
            destinations.checked_url("https://example.org/", allow_private=True), "http://example.org/"
        )


@pytest.mark.parametrize("text", [b"H", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"\r\n"])
def test_a_receiver_that_answers_without_end_is_left_in_time(
    text: bytes, silent: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "TOTAL_SECONDS", 0.4)
    started = time.monotonic()
    with pytest.raises(NotDelivered):
        Receivers(allow_private=True).post(silent(text), BODY, HEADERS)
    assert time.monotonic() - started < 2


def test_an_endless_body_is_not_read(silent: Callable[[bytes], str]) -> None:
    url = silent(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    assert Receivers(allow_private=True).post(url, BODY, HEADERS) == 200


def test_failures_say_what_was_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotDelivered, match="refused"):
        Receivers(allow_private=True).post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
    with pytest.raises(NotDelivered, match="name is unknown"):
        Receivers(allow_private=True).post("http://no-such-name.invalid/", BODY, HEADERS)
    with pytest.raises(NotDelivered, match="name is unknown"):
        Receivers(allow_private=True).post(f"http://{'x' * 70}.example/", BODY, HEADERS)


def test_nothing_is_sent_over_https_to_what_cannot_prove_who_it_is(receiver: Receiver) -> None:
    with pytest.raises(NotDelivered):
        Receivers(allow_private=True).post(receiver.url.replace("http:", "https:"), BODY, HEADERS)
    assert receiver.requests == []
