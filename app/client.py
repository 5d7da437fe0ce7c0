"""A small client of the HTTP API, for the demo, the bench and the end-to-end tests."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from app.errors import LapwiseError

TIMEOUT = 60.0  # seconds for one call; an upload is answered once it is read and stored
POLL_SECONDS = 0.1
RETRIES = 5  # of an answer that says to come back, or of reading when the connection breaks
RETRY_SECONDS = 1.0
ENDED = ("succeeded", "failed", "cancelled")


class ApiError(LapwiseError):
    """The platform refused a request."""

    code = "api_error"

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}", **error.get("details", {}))
        self.status = status
        self.error = error


class JobNotDone(LapwiseError):
    """The job did not end well, or not in time."""

    code = "job_not_done"


class Client:
    """One driver's access to a platform.

    Parameters
    ----------
    url
        Where the API is, as `ready` and `endpoints.json` name it.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def register(self, email: str, password: str) -> None:
        """Makes an account and signs in."""
        self.call("POST", "/auth/register", json={"email": email, "password": password})
        self.login(email, password)

    def login(self, email: str, password: str) -> None:
        answer = self.call("POST", "/auth/login", json={"email": email, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['accessToken']}"

    def upload(
        self,
        path: Path,
        track_name: str,
        *,
        car_model: str | None = None,
        driver: str | None = None,
        setup: Mapping[str, float] | None = None,
        session_name: str | None = None,
        auto_train: bool = True,
    ) -> dict[str, Any]:
        """`{session, jobs}` of one file."""
        fields = {
            "trackName": track_name,
            "sessionName": session_name,
            "carModel": car_model,
            "driver": driver,
            "setup": json.dumps(setup) if setup else None,
            "autoTrain": str(auto_train).lower(),
        }
        with path.open("rb") as stream:
            answer: dict[str, Any] = self.call(
                "POST",
                "/racing-session/upload",
                data={name: value for name, value in fields.items() if value is not None},
                files={"file": (path.name, stream, "application/octet-stream")},
            )
        return answer

    def wait(self, job_id: str, *, seconds: float = 120.0) -> dict[str, Any]:
        """The job once it has succeeded.

        Raises
        ------
        JobNotDone
            It failed, was cancelled, or is not done after `seconds`.
        """
        end = time.monotonic() + seconds
        while True:
            job: dict[str, Any] = self.call("GET", f"/jobs/{job_id}")
            if job["status"] == "succeeded":
                return job
            if job["status"] in ENDED or time.monotonic() > end:
                raise JobNotDone(f"job {job_id} is {job['status']}: {job['error']}")
            time.sleep(POLL_SECONDS)

    def predict(self, track_name: str, model_type: str, rows: Any, **options: Any) -> dict[str, Any]:
        body = {"trackName": track_name, "modelType": model_type, "inputData": rows}
        answer: dict[str, Any] = self.call(
            "POST", "/ai-model/predict", json=body | {"predictionOptions": options}
        )
        return answer

    def history(self, track_name: str, model_type: str = "lap_time_prediction") -> list[dict[str, Any]]:
        """A lineage's versions, oldest first."""
        path = f"/ai-model/performance-history/{track_name}/{model_type}"
        versions: list[dict[str, Any]] = self.call("GET", path)["versions"]
        return versions

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Everything of a list, page by page."""
        cursor = None
        while True:
            page = self.call("GET", path, params=query | ({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON; what may work later is tried again.

        Raises
        ------
        ApiError
            With the contract's code, message and details.
        """
        for retries_left in range(RETRIES, -1, -1):
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError:
                if method != "GET" or not retries_left:  # whether another call took effect is not known
                    raise
                time.sleep(RETRY_SECONDS)
                continue
            if answer.status_code not in (429, 503) or not retries_left or "files" in options:
                break
            time.sleep(float(answer.headers.get("Retry-After", RETRY_SECONDS)))
        if answer.is_error:
            raise ApiError(answer.status_code, answer.json()["error"])
        return answer.json() if answer.content else None
