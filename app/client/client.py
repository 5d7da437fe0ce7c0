"""What a driver does with a platform, call by call."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote
from uuid import uuid4

from app.client.answers import (
    HistoryItem,
    Job,
    Lap,
    ModelType,
    Prediction,
    Session,
    Trace,
    Uploaded,
    User,
    Version,
)
from app.client.connection import IDEMPOTENCY_KEY, ApiError, Connection
from app.client.uploading import CountedFile, OnProgress, Table

READ_SECONDS = 300.0  # an upload is answered once it is read and stored
POLL_SECONDS = (0.1, 2.0)  # between two looks at a job: at first, and at most
POLL_GROWTH = 1.3
LAP_TIME: ModelType = "lap_time_prediction"


class About(TypedDict, total=False):
    """What a driver says of a session; `driver` is whose laps to take from a file with several drivers."""

    session_name: str | None
    car_model: str | None
    driver: str | None
    setup: Mapping[str, float] | None
    auto_train: bool


class Client(Connection):
    """One driver's access to a platform.

    Parameters
    ----------
    url
        Where the API is, as `ready` and `endpoints.json` name it.
    keeper
        Where the tokens of a sign-in are kept, by default in this object.
    timeout
        Seconds for one call.
    transport
        What carries the requests, by default the network.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # accounts

    def register(self, email: str, password: str) -> None:
        """Makes an account and signs in."""
        self.call("POST", "/auth/register", json={"email": email, "password": password}, auth=None)
        self.login(email, password)

    def logout(self) -> None:
        """Revokes the tokens, where they still hold, and forgets them."""
        try:
            self.call("POST", "/auth/logout", is_safe=True)
        except ApiError as exc:
            if exc.status != 401:
                raise
        self.keep(None)

    def me(self) -> User:
        user: User = self.call("GET", "/auth/me")
        return user

    # sessions

    def upload(
        self,
        path: Path,
        track_name: str | None = None,
        *,
        in_chunks: bool = False,
        on_progress: OnProgress = lambda _done, _total: None,
        **about: Unpack[About],
    ) -> Uploaded:
        """Stores a session's file; the same file again answers the same session.

        Parameters
        ----------
        track_name
            May be left out where the file names the track.
        in_chunks
            Send a table's rows (CSV, JSON lines, Parquet) a few thousand at a time, each lot repeated by
            itself where need be: for files larger than one request may be, and lines that break.
        """
        if in_chunks:
            return self._upload_rows(Table(path), path, track_name, on_progress, about)
        fields = {
            "trackName": track_name,
            "sessionName": about.get("session_name"),
            "carModel": about.get("car_model"),
            "driver": about.get("driver"),
            "setup": json.dumps(dict(about.get("setup") or {})),
            "autoTrain": str(about.get("auto_train", True)).lower(),
        }
        with CountedFile(path, on_progress) as stream:
            uploaded: Uploaded = self.call(
                "POST",
                "/racing-session/upload",
                is_safe=True,
                data={name: value for name, value in fields.items() if value is not None},
                files={"file": (path.name, stream, "application/octet-stream")},
                timeout=READ_SECONDS,
            )
        return uploaded

    def sessions(self, track_name: str | None = None) -> Iterator[Session]:
        """Newest first."""
        return self.items("/racing-session", trackName=track_name)

    def laps(self, session_id: str) -> list[Lap]:
        laps: list[Lap] = self.call("GET", f"/racing-session/{session_id}/laps")
        return laps

    def trace(self, session_id: str, lap: int, *, points: int) -> Trace:
        path = f"/racing-session/{session_id}/laps/{lap}/trace"
        trace: Trace = self.call("GET", path, params={"points": points})
        return trace

    # jobs

    def start(self, path: str, body: Mapping[str, Any]) -> Job:
        """The job that a call makes, one only, however often the call has to be repeated."""
        job: Job = self.call("POST", path, json=dict(body), headers={IDEMPOTENCY_KEY: uuid4().hex})
        return job

    def train(
        self,
        track_name: str,
        session_ids: Sequence[str],
        model_type: ModelType = LAP_TIME,
        *,
        algorithm: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> Job:
        """Trains a model from scratch: 1.0.0, or the lineage's next major number."""
        body = {
            "trackName": track_name,
            "modelType": model_type,
            "sessionIds": list(session_ids),
            "algorithm": algorithm,
            "hyperparameters": dict(hyperparameters or {}),
        }
        return self.start("/model/train", body)

    def jobs(self, *, status: str | None = None, kind: str | None = None) -> Iterator[Job]:
        """Newest first."""
        return self.items("/jobs", status=status, kind=kind)

    def retry(self, job_id: str) -> Job:
        """A new job in the place of one that failed or was cancelled."""
        return self.start(f"/jobs/{job_id}/retry", {})

    def wait(
        self,
        job_id: str,
        *,
        seconds: float = 120.0,
        on_change: Callable[[Job], None] = lambda _job: None,
    ) -> Job:
        """The job once it has succeeded; looks less and less often, `on_change` is shown what it sees.

        Raises
        ------
        ApiError
            `job_failed`, `job_cancelled`, or `job_not_done` after `seconds`.
        """
        end, pause = time.monotonic() + seconds, POLL_SECONDS[0]
        while True:
            job: Job = self.call("GET", f"/jobs/{job_id}")
            on_change(job)
            if job["status"] == "succeeded":
                return job
            if job["status"] in ("failed", "cancelled") or time.monotonic() > end:
                raise _not_done(job)
            time.sleep(pause)
            pause = min(pause * POLL_GROWTH, POLL_SECONDS[1])

    # models

    def predict(
        self, track_name: str, model_type: ModelType, rows: Mapping[str, Any] | Sequence[Any], **options: Any
    ) -> Prediction:
        """By the active version; of one row, or of a list of them. `options` are the predictionOptions."""
        return self._predict({"trackName": track_name, "modelType": model_type}, rows, options)

    def predict_by(
        self, model_id: str, rows: Mapping[str, Any] | Sequence[Any], **options: Any
    ) -> Prediction:
        """The same by a version of one's own choice."""
        return self._predict({"modelId": model_id}, rows, options)

    def versions(self, track_name: str, model_type: ModelType | None = None) -> Iterator[Version]:
        """Those on a track, newest first."""
        return self.items(f"/ai-model/user/{quoted(track_name)}", modelType=model_type)

    def version(self, model_id: str) -> Version:
        version: Version = self.call("GET", f"/ai-model/{model_id}")
        return version

    def active(self, track_name: str, model_type: ModelType = LAP_TIME) -> Version:
        version: Version = self.call("GET", f"/ai-model/active/{quoted(track_name)}/{model_type}")
        return version

    def history(self, track_name: str, model_type: ModelType = LAP_TIME) -> list[HistoryItem]:
        """A lineage's versions, oldest first."""
        path = f"/ai-model/performance-history/{quoted(track_name)}/{model_type}"
        versions: list[HistoryItem] = self.call("GET", path)["versions"]
        return versions

    def _predict(self, by: Mapping[str, str], rows: Any, options: Mapping[str, Any]) -> Prediction:
        body = {**by, "inputData": rows, "predictionOptions": dict(options)}
        prediction: Prediction = self.call("POST", "/ai-model/predict", json=body, is_safe=True)
        return prediction

    def _upload_rows(
        self, table: Table, path: Path, track_name: str | None, on_progress: OnProgress, about: About
    ) -> Uploaded:
        start = {
            "mapName": track_name,
            "sessionName": about.get("session_name") or path.name,
            "carModel": about.get("car_model"),
            "driver": about.get("driver"),
            "setup": dict(about.get("setup") or {}),
        }
        query = self.call("POST", "/racing-session/upload/init", json=start)
        sent, index = 0, -1
        for index, rows in enumerate(table.chunks()):
            body = {"chunk": rows, "chunkIndex": index}
            self.call("POST", "/racing-session/upload/chunk", is_safe=True, params=query, json=body)
            sent += len(rows)
            on_progress(sent, table.rows)
        body = {"autoTrain": about.get("auto_train", True), "totalChunks": index + 1}
        uploaded: Uploaded = self.call(
            "POST",
            "/racing-session/upload/complete",
            is_safe=True,
            params=query,
            json=body,
            timeout=READ_SECONDS,
        )
        return uploaded


def quoted(name: str) -> str:
    """A track's name as part of an address."""
    return quote(name, safe="")


def _not_done(job: Job) -> ApiError:
    ended = job["status"] in ("failed", "cancelled")
    code = f"job_{job['status']}" if ended else "job_not_done"
    how = job["status"] if ended else f"is still {job['status']}"
    why = f": {job['error']['message']}" if job["error"] else ""
    return ApiError(code, f"job {job['id']} {how}{why}", {"job": job})
