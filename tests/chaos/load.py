"""Drivers that send sessions until each is answered, and readers that look all the time."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Condition, Event, Thread
from typing import Any

import httpx

from app.client import ApiError, Client
from app.client.uploading import Table
from app.signatures import HEADER, sign
from tests.chaos.plan import PlannedSession, Way
from tests.chaos.report import Report
from tests.factories import CAR, session_file

PASSWORD = "a long enough password"
LOT = 250  # rows of a chunk
AGAIN_SECONDS = 1.0  # between two tries of a whole upload, each of which repeats its calls by itself
LOOK_SECONDS = 0.25  # between two looks of a reader
TIMEOUT = 90.0  # longer than any answer may take, so that those that hang are seen
LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 180, "throttle": 1, "brake": 0, "gear": 5, "track_position": 0.5, "current_lap_time": 50.1}


class Observed(httpx.HTTPTransport):
    """Counts every single answer that comes over it, and tells those that must not be."""

    def __init__(self, report: Report, who: str) -> None:
        super().__init__()
        self._report = report
        self._who = who

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        what, started = f"{request.method} {request.url.path}", time.monotonic()
        try:
            answer = super().handle_request(request)
        except httpx.TransportError as exc:
            self._report.answered(self._who, what, type(exc).__name__, time.monotonic() - started)
            raise
        self._report.answered(self._who, what, str(answer.status_code), time.monotonic() - started)
        told_when = "Retry-After" in answer.headers
        if answer.is_error and not (answer.status_code in (429, 503) and told_when):
            body = answer.read().decode(errors="replace")
            self._report.violation(f"{self._who} got {answer.status_code} from {what}: {body[:400]}")
        return answer


class Gate:
    """Lets sessions go in the order of their numbers, a few at a time."""

    def __init__(self) -> None:
        self._open_to = 0
        self._changed = Condition()

    def open_to(self, number: int) -> None:
        with self._changed:
            self._open_to = max(self._open_to, number)
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: number < self._open_to)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A session that the platform has taken, by its word."""

    number: int
    session_id: str
    user_id: str
    track: str
    valid_laps: int
    job_ids: tuple[str, ...]


class Driver:
    """One driver: an account, the sessions it has to send, and those that were taken."""

    def __init__(self, url: str, name: str, report: Report, folder: Path, webhook_secret: str) -> None:
        self.client = Client(url, transport=Observed(report, "drivers"), timeout=TIMEOUT)
        self.name = name
        self.answered: list[Answered] = []
        self._settled: set[str] = set()  # tracks
        self._report = report
        self._folder = folder
        self._secret = webhook_secret
        self._ways: dict[Way, Callable[[PlannedSession, Path], dict[str, Any]]] = {
            Way.WHOLE: self._whole,
            Way.CHUNKS: self._chunks,
            Way.EVENT: self._event,
            Way.LATER: self._later,
        }
        self.client.register(f"{name.lower()}@example.com", PASSWORD)
        self.user_id = self.client.me()["id"]

    def send_all(self, sessions: list[PlannedSession], gate: Gate, give_up: Event) -> None:
        """Sends each when its turn has come, again and again until it is taken."""
        for session in sessions:
            gate.wait_for(session.number)
            path = session_file(
                self._folder, index=session.number, laps=session.laps, driver=self.name,
                track=session.track, sample_rate=2.0,
            )  # fmt: skip
            while not (self._has_one_chain(session.track) and self._sent(session, path)):
                if give_up.wait(AGAIN_SECONDS):
                    return self._report.violation(f"session {session.number} was never taken")

    def _has_one_chain(self, track: str) -> bool:
        """Whether the lineage is not there yet, or has one chain: drift may have it trained anew."""
        if track in self._settled or all(one.track != track for one in self.answered):
            return True
        try:
            if not any(self.client.items(f"/ai-model/user/{track}", activeOnly="true")):
                return False
            path = f"/ai-model/lineage-settings/{track}/{LAP_TIME}"
            self.client.call("PUT", path, json={"automaticRetraining": False})
        except ApiError:
            return False
        self._settled.add(track)
        return True

    def _sent(self, session: PlannedSession, path: Path) -> bool:
        try:
            answer = self._ways[session.way](session, path)
        except ApiError as exc:
            self._report.count(f"uploads begun again after {exc.code}")
            return False
        taken = Answered(
            number=session.number,
            session_id=answer["session"]["id"],
            user_id=self.user_id,
            track=session.track,
            valid_laps=answer["session"]["validLapsCount"],
            job_ids=tuple(job["id"] for job in answer["jobs"]),
        )
        self.answered.append(taken)
        self._report.count(f"sessions taken, {session.way}")
        return True

    def _whole(self, session: PlannedSession, path: Path, auto_train: bool = True) -> dict[str, Any]:
        return dict(self.client.upload(path, session.track, car_model=CAR, auto_train=auto_train))

    def _chunks(self, session: PlannedSession, path: Path) -> dict[str, Any]:
        start = {"mapName": session.track, "sessionName": path.name, "carModel": CAR}
        query = self.client.call("POST", "/racing-session/upload/init", json=start)
        rows = _rows(path)
        lots = [rows[begin : begin + LOT] for begin in range(0, len(rows), LOT)]
        for index in reversed(range(len(lots))):  # any order will do
            body = {"chunk": lots[index], "chunkIndex": index}
            self.client.call("POST", "/racing-session/upload/chunk", is_safe=True, params=query, json=body)
        complete = {"totalChunks": len(lots)}
        path_ = "/racing-session/upload/complete"
        return dict(self.client.call("POST", path_, is_safe=True, params=query, json=complete))

    def _event(self, session: PlannedSession, path: Path) -> dict[str, Any]:
        return self._tell(session, {"telemetry": _rows(path), "carModel": CAR})

    def _later(self, session: PlannedSession, path: Path) -> dict[str, Any]:
        uploaded = self._whole(session, path, auto_train=False)
        return self._tell(session, {"sessionId": uploaded["session"]["id"]})

    def _tell(self, session: PlannedSession, what: dict[str, Any]) -> dict[str, Any]:
        """As a game backend does, which signs and has no token."""
        event = {"eventId": f"chaos-{session.number}", "userId": self.user_id, "trackName": session.track}
        body = json.dumps(event | what).encode()
        headers = {"Content-Type": "application/json", HEADER: sign(self._secret, body, int(time.time()))}
        path = "/webhooks/session-uploaded"
        answer = self.client.call("POST", path, is_safe=True, content=body, headers=headers, auth=None)
        return dict(answer)


class Reader:
    """Looks at everything of one driver, over and over, and repeats nothing."""

    def __init__(self, url: str, driver: Driver, report: Report, seed: int) -> None:
        self._driver = driver
        self._random = Random(seed)
        self._client = Client(
            url, keeper=driver.client.keeper, transport=Observed(report, "readers"), timeout=TIMEOUT
        )
        self._lineages: set[str] = set()  # tracks of which an active version was seen

    def look_until(self, stop: Event) -> None:
        while not stop.wait(LOOK_SECONDS):
            try:
                self._look()
            except httpx.TransportError:
                pass  # counted where it came

    def _look(self) -> None:
        http, random = self._client.http, self._random
        looks: list[Callable[[], httpx.Response]] = [
            lambda: http.get("/jobs"),
            lambda: http.get("/racing-session"),
        ]
        taken = self._driver.answered
        if taken:
            one = random.choice(taken)
            looks += [
                lambda: http.get(f"/racing-session/{one.session_id}"),
                lambda: http.get(f"/jobs/{random.choice(one.job_ids)}"),
                lambda: self._versions(one.track),
            ]
        if self._lineages:
            track = random.choice(sorted(self._lineages))
            about = {"trackName": track, "modelType": LAP_TIME, "inputData": FRAME}
            looks += [
                lambda: http.get(f"/ai-model/active/{track}/{LAP_TIME}"),
                lambda: http.post("/ai-model/predict", json=about),
            ]
        random.choice(looks)()

    def _versions(self, track: str) -> httpx.Response:
        answer = self._client.http.get(f"/ai-model/user/{track}", params={"activeOnly": "true"})
        if answer.is_success and answer.json()["items"]:
            self._lineages.add(track)
        return answer


def started(*runs: Callable[[], None]) -> list[Thread]:
    """A thread for each."""
    threads = [Thread(target=run, daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    return threads


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row for chunk in Table(path).chunks() for row in chunk]
