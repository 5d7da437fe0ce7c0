"""The client repeats what is safe, renews its tokens once, streams files, and says what went wrong."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import httpx_retries.retry
import pytest

from app.client import ApiError, Client, Keeper, Pair
from app.client.tokens import MARGIN

URL = "http://platform.test"
USER = {"id": "6655f0c2a4b1c2d3e4f50617", "email": "ann@example.com", "displayName": None, "createdAt": "…"}
ERROR = {"error": {"code": "unavailable", "message": "Try later.", "details": {"missing": ["redis"]}}}
Handler = Callable[[httpx.Request, bytes], httpx.Response]


class Wire(httpx.BaseTransport):
    """Carries requests to a handler and remembers them; bodies come to it piece by piece, as to a socket."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.requests.append(request)
        self.bodies.append(b"".join(request.stream))
        return self._handler(request, self.bodies[-1])


def answers(*given: httpx.Response | Exception) -> Handler:
    """One after the other."""
    left = iter(given)

    def handler(_request: httpx.Request, _body: bytes) -> httpx.Response:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


def client_of(wire: Wire, **fields: Any) -> Client:
    return Client(URL, transport=wire, **fields)


def pair(number: int, *, seconds: float = 900.0) -> Pair:
    return Pair(
        access=f"access {number}", refresh=f"refresh {number}", renew_at=time.time() + seconds, email="ann"
    )


def tokens(number: int) -> dict[str, Any]:
    return {
        "accessToken": f"access {number}",
        "refreshToken": f"refresh {number}",
        "expiresIn": 900,
        "user": USER,
    }


def signed_in(wire: Wire, **fields: Any) -> Client:
    keeper = Keeper()
    keeper.put(pair(1, **fields))
    return client_of(wire, keeper=keeper)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How long it would have waited, in seconds."""
    waited: list[float] = []
    monkeypatch.setattr(httpx_retries.retry.time, "sleep", waited.append)
    yield waited


def test_a_call_that_is_safe_is_repeated_when_the_platform_says(pauses: list[float]) -> None:
    busy = httpx.Response(503, json=ERROR, headers={"Retry-After": "7"})
    wire = Wire(answers(busy, busy, httpx.Response(200, json=USER)))
    assert client_of(wire).me() == USER
    assert pauses == [7.0, 7.0]


def test_waiting_has_bounds(pauses: list[float]) -> None:
    wire = Wire(lambda *_: httpx.Response(429, json=ERROR, headers={"Retry-After": "100000"}))
    with pytest.raises(ApiError) as refused:
        client_of(wire).me()
    assert pauses == [60.0, 60.0]
    assert (refused.value.status, refused.value.code) == (429, "unavailable")
    assert (refused.value.message, refused.value.details) == ("Try later.", {"missing": ["redis"]})


def test_a_call_that_may_have_had_an_effect_is_not_repeated(pauses: list[float]) -> None:
    wire = Wire(answers(httpx.Response(503, json=ERROR)))
    with pytest.raises(ApiError, match="Try later"):
        client_of(wire).call("POST", "/ai-model/x/share", json={})
    broken = Wire(answers(httpx.ReadError("gone")))
    with pytest.raises(ApiError) as refused:
        client_of(broken).call("POST", "/ai-model/x/share", json={})
    assert (refused.value.code, refused.value.status) == ("unreachable", None)
    assert (len(wire.requests), len(broken.requests), pauses) == (1, 1, [])


def test_any_call_is_repeated_that_cannot_have_had_an_effect() -> None:
    limited = httpx.Response(429, json=ERROR, headers={"Retry-After": "1"})
    wire = Wire(answers(httpx.ConnectError("refused"), limited, httpx.Response(200, json={"ok": True})))
    assert client_of(wire).call("POST", "/ai-model/x/share", json={}) == {"ok": True}


def test_a_job_is_asked_for_under_one_key_however_often() -> None:
    busy = httpx.Response(503, json=ERROR, headers={"Retry-After": "1"})
    wire = Wire(answers(busy, httpx.ReadTimeout("slow"), httpx.Response(202, json={"id": "j"})))
    assert client_of(wire).train("spa", ["s1"])["id"] == "j"
    keys = {request.headers["Idempotency-Key"] for request in wire.requests}
    assert (len(wire.requests), len(keys)) == (3, 1)
    assert json.loads(wire.bodies[2])["sessionIds"] == ["s1"]


def test_two_jobs_have_two_keys() -> None:
    wire = Wire(lambda *_: httpx.Response(202, json={"id": "j"}))
    with client_of(wire) as client:
        client.train("spa", ["s1"])
        client.train("spa", ["s1"])
    assert wire.requests[0].headers["Idempotency-Key"] != wire.requests[1].headers["Idempotency-Key"]


def test_a_platform_that_never_answers_is_unreachable() -> None:
    wire = Wire(answers(*[httpx.ConnectError("refused")] * 7))
    with pytest.raises(ApiError, match=r"platform\.test does not answer: refused"):
        client_of(wire).me()
    assert len(wire.requests) == 7


def test_a_removal_whose_answer_was_lost_is_done() -> None:
    missing = httpx.Response(404, json=ERROR)
    wire = Wire(answers(httpx.ReadError("gone"), missing, missing))
    with client_of(wire) as client:
        assert client.call("DELETE", "/racing-session/x") is None
        with pytest.raises(ApiError):
            client.call("DELETE", "/racing-session/x")


def test_an_error_that_is_not_the_platforms_is_told_by_its_status() -> None:
    wire = Wire(answers(httpx.Response(500, text="<html>proxy</html>")))
    with pytest.raises(ApiError) as refused:
        client_of(wire).call("POST", "/model/train", json={})
    assert (refused.value.code, refused.value.message) == ("http_500", "Internal Server Error")


def renewing(request: httpx.Request, _body: bytes) -> httpx.Response:
    """A platform that takes `access 2` only, and gives it for `refresh 1`."""
    shown = request.headers.get("Authorization")
    if request.url.path == "/auth/refresh":
        known = shown == "Bearer refresh 1"
        return httpx.Response(200, json=tokens(2)) if known else httpx.Response(401, json=ERROR)
    expired = {"error": {"code": "token_expired", "message": "Expired.", "details": {}}}
    return httpx.Response(200, json=USER) if shown == "Bearer access 2" else httpx.Response(401, json=expired)


@pytest.mark.parametrize("seconds", [-1.0, 900.0])
def test_an_access_token_is_renewed_before_or_after_the_platform_refuses_it(seconds: float) -> None:
    wire = Wire(renewing)
    with signed_in(wire, seconds=seconds) as client:
        assert client.me() == client.me() == USER
        kept = client.keeper.get()
    assert [request.url.path for request in wire.requests].count("/auth/refresh") == 1
    assert kept is not None
    assert (kept.access, kept.refresh) == ("access 2", "refresh 2")
    assert 0 < kept.renew_at - time.time() <= 900 - MARGIN


def test_threads_spend_a_refresh_token_once() -> None:
    wire = Wire(renewing)
    with signed_in(wire, seconds=-1.0) as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: client.me(), range(16))) == [USER] * 16
    assert [request.url.path for request in wire.requests].count("/auth/refresh") == 1


def test_tokens_that_cannot_be_renewed_are_forgotten() -> None:
    keeper = Keeper()
    keeper.put(pair(7, seconds=-1.0))
    with client_of(Wire(renewing), keeper=keeper) as client, pytest.raises(ApiError) as refused:
        client.me()
    assert refused.value.status == 401
    assert keeper.get() is None


def test_a_sign_in_shows_no_old_token() -> None:
    wire = Wire(answers(httpx.Response(200, json=tokens(3)), httpx.Response(200, json=USER)))
    with signed_in(wire) as client:
        client.login("ann@example.com", "pass phrase")
        client.me()
    assert "Authorization" not in wire.requests[0].headers
    assert wire.requests[1].headers["Authorization"] == "Bearer access 3"


def test_no_token_is_in_a_repr() -> None:
    assert "access 1" not in repr(pair(1))
    assert "refresh 1" not in repr(pair(1))


class Sink(httpx.BaseTransport):
    """Takes a body as a socket does and keeps none of it."""

    size = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.size = sum(map(len, request.stream))
        return httpx.Response(201, json={"session": {}, "jobs": []})


LARGE = """
import sys, tracemalloc
from pathlib import Path
from app.client import Client
from tests.unit.app.test_client import URL, Sink
seen, sink = [], Sink()
tracemalloc.start()
Client(URL, transport=sink).upload(Path(sys.argv[1]), "spa", on_progress=lambda *now: seen.append(now))
print(sink.size, tracemalloc.get_traced_memory()[1], *seen[-1], seen == sorted(seen))
"""


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    """In a process of its own, for what other tests have left running takes memory too."""
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    command = [sys.executable, "-c", LARGE, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    size, peak, done, total = map(int, output[:4])
    assert size > 64 << 20
    assert peak < 16 << 20
    assert (done, total, output[4]) == (64 << 20, 64 << 20, "True")


def test_an_upload_that_is_repeated_sends_the_whole_file_again(tmp_path: Path) -> None:
    path = tmp_path / "laps.csv"
    path.write_text("lap,speed\n1,200\n")
    busy = httpx.Response(503, json=ERROR, headers={"Retry-After": "1"})
    done = httpx.Response(201, json={"session": {"id": "s"}, "jobs": []})
    wire = Wire(answers(busy, httpx.WriteError("gone"), done))
    uploaded = client_of(wire).upload(path, "spa", car_model="gt3", setup={"wing": 4.0}, auto_train=False)
    assert uploaded["session"]["id"] == "s"
    assert wire.bodies[0] == wire.bodies[1] == wire.bodies[2]
    for part in (b"lap,speed\n1,200\n", b"spa", b"gt3", b'{"wing": 4.0}', b"false"):
        assert part in wire.bodies[2]


def test_a_table_is_sent_in_chunks_each_repeated_by_itself(tmp_path: Path) -> None:
    path, seen = tmp_path / "laps.csv", []
    path.write_text("lap,speed\n" + "".join(f"1,{number}.5\n" for number in range(45_000)) + "1,NaN\n")
    start = httpx.Response(200, json={"uploadId": "u"})
    taken = httpx.Response(200, json={"receivedChunks": 1})
    done = httpx.Response(202, json={"session": {"id": "s"}, "jobs": []})
    wire = Wire(answers(start, taken, httpx.ReadError("gone"), taken, taken, done))
    client_of(wire).upload(path, "spa", in_chunks=True, on_progress=lambda *now: seen.append(now))
    bodies = [json.loads(body) for body in wire.bodies]
    assert bodies[0]["mapName"] == "spa"
    assert [body["chunkIndex"] for body in bodies[1:5]] == [0, 1, 1, 2]
    assert bodies[1]["chunk"][0] == {"lap": 1, "speed": 0.5}
    assert bodies[4]["chunk"][-1] == {"lap": 1, "speed": None}
    assert bodies[5] == {"autoTrain": True, "totalChunks": 3}
    assert {request.url.params["uploadId"] for request in wire.requests[1:]} == {"u"}
    assert seen == [(20_000, 45_001), (40_000, 45_001), (45_001, 45_001)]


def test_what_is_no_table_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path, wire = tmp_path / "log.ld", Wire(answers())
    path.write_bytes(b"@\0\0\0" + bytes(4000))
    with pytest.raises(ApiError, match=r"log\.ld is no table of rows, send it whole"):
        client_of(wire).upload(path, "spa", in_chunks=True)
    assert wire.requests == []


def test_a_list_is_read_page_by_page_as_it_is_needed() -> None:
    pages = (
        {"items": [{"id": "a"}, {"id": "b"}], "nextCursor": "more"},
        {"items": [{"id": "c"}], "nextCursor": None},
    )
    wire = Wire(answers(*(httpx.Response(200, json=page) for page in pages)))
    sessions = client_of(wire).sessions("spa")
    assert next(sessions)["id"] == "a"
    assert len(wire.requests) == 1
    assert [session["id"] for session in sessions] == ["b", "c"]
    assert dict(wire.requests[1].url.params) == {"trackName": "spa", "cursor": "more"}


def job(status: str, **fields: Any) -> httpx.Response:
    given = {"id": "j", "status": status, "error": None, "progress": None} | fields
    return httpx.Response(200, json=given)


def test_a_job_is_looked_at_less_and_less_often_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("app.client.client.time.sleep", waited.append)
    seen: list[str] = []
    wire = Wire(answers(*[job("queued")] * 3, *[job("running")] * 20, job("succeeded")))
    done = client_of(wire).wait("j", on_change=lambda job: seen.append(job["status"]))
    assert done["status"] == "succeeded"
    assert (seen[0], seen[-1], len(seen)) == ("queued", "succeeded", 24)
    assert (waited[0], waited[-1]) == (0.1, 2.0)
    assert waited == sorted(waited)


def test_a_job_that_does_not_succeed_is_an_error_that_says_why() -> None:
    error = {"code": "invalid", "message": "Nothing to learn.", "details": {}}
    with pytest.raises(ApiError, match="job j failed: Nothing to learn") as failed:
        client_of(Wire(answers(job("failed", error=error)))).wait("j")
    assert (failed.value.code, failed.value.details["job"]["id"]) == ("job_failed", "j")
    with pytest.raises(ApiError, match="job j cancelled"):
        client_of(Wire(answers(job("cancelled")))).wait("j")
    with pytest.raises(ApiError, match="job j is still running") as late:
        client_of(Wire(answers(job("running")))).wait("j", seconds=-1)
    assert late.value.code == "job_not_done"


def test_a_track_of_any_name_is_one_part_of_an_address() -> None:
    wire = Wire(lambda *_: httpx.Response(200, json={"versions": []}))
    assert client_of(wire).history("Spa/1966 GP?") == []
    assert wire.requests[0].url.raw_path == (
        b"/ai-model/performance-history/Spa%2F1966%20GP%3F/lap_time_prediction"
    )
