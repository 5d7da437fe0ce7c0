"""One driver's connection: signed requests, repeated where that is safe, and one error for all failures."""

from collections.abc import Iterator
from http import HTTPMethod
from typing import Any, NoReturn, TypeVar

import httpx
from httpx_retries import Retry, RetryTransport

from app.client.tokens import BearerAuth, Keeper, Pair
from app.errors import LapwiseError

T = TypeVar("T")

TIMEOUT = 60.0  # seconds for one call
RETRIES = 6
LONGEST_PAUSE = 60.0  # seconds, whatever Retry-After says
ALL_PAUSES = 120.0  # seconds one call may spend waiting
IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")

_BOUNDS: dict[str, Any] = {
    "total": RETRIES,
    "allowed_methods": tuple(HTTPMethod),  # which calls are safe is decided here, not by method alone
    "backoff_factor": 0.25,
    "backoff_jitter": 0.5,
    "max_backoff_wait": LONGEST_PAUSE,
    "total_timeout": ALL_PAUSES,
}
NEVER = Retry(total=0)
SAFE = Retry(status_forcelist=(429, 502, 503, 504), **_BOUNDS)
# a 429 comes before anything was done, and what never reached the server did nothing
UNSAFE = Retry(
    status_forcelist=(429,), retry_on_exceptions=(httpx.ConnectError, httpx.ConnectTimeout), **_BOUNDS
)


class ApiError(LapwiseError):
    """A call came to no good end: the platform refused it, a job failed, or nobody answered.

    Attributes
    ----------
    code, message, details
        As the platform gave them; `unreachable` where it gave no answer, `job_failed`, `job_cancelled` and
        `job_not_done` where a job was waited for.
    status
        The answer's; None where a call was not refused.
    """

    def __init__(
        self, code: str, message: str, details: dict[str, Any] | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details or {}
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" {self.details}" if self.details else "")


class Connection:
    """Calls of one driver on one platform; several threads may share it.

    Attributes
    ----------
    http
        The httpx client beneath, signed in, for streams and what else `call` does not do; it repeats nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        keeper: Keeper | None = None,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.keeper = keeper or Keeper()
        self.http = httpx.Client(
            base_url=url,
            timeout=timeout,
            transport=RetryTransport(transport or httpx.HTTPTransport(), retry=NEVER),
            auth=BearerAuth(self.keeper, f"{url.rstrip('/')}/auth/refresh", refused=refusal, retry=UNSAFE),
        )

    def call(self, method: str, path: str, *, is_safe: bool | None = None, **options: Any) -> Any:
        """The answer's JSON, None where it has none; what may work later is tried again, within bounds.

        Parameters
        ----------
        is_safe
            Whether a repetition does no harm; by default that of idempotent methods, and of requests with
            an Idempotency-Key. Others are repeated only when they cannot have had an effect.
        options
            As `httpx.Client.request` takes them.

        Raises
        ------
        ApiError
        """
        if is_safe is None:
            is_safe = method in IDEMPOTENT or IDEMPOTENCY_KEY in (options.get("headers") or {})
        extensions = {"retry": SAFE if is_safe else UNSAFE}
        try:
            answer = self.http.request(method, path, extensions=extensions, **options)
        except httpx.TransportError as exc:
            _unreachable(self.http.base_url, exc)
        if method == "DELETE" and answer.status_code == 404 and _attempts(answer) > 0:
            return None  # the first attempt removed it, its answer was lost
        if answer.is_error:
            raise refusal(answer)
        return answer.json() if answer.content else None

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """Everything of a list, newest first as a rule, asked for page by page as it is needed."""
        given = {name: value for name, value in query.items() if value is not None}
        cursor: str | None = None
        while True:
            page = self.call("GET", path, params=given | ({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def login(self, email: str, password: str) -> None:
        """Signs in; the access token is renewed from then on."""
        body = {"email": email, "password": password}
        self.keep(Pair.of(self.call("POST", "/auth/login", json=body, auth=None)))

    def keep(self, pair: Pair | None) -> None:
        """Keeps other tokens from now on, or none."""
        with self.keeper.alone():
            self.keeper.put(pair)

    def close(self) -> None:
        self.http.close()


def refusal(answer: httpx.Response) -> ApiError:
    """The error in an answer, also in one that is not the platform's but of something before it."""
    try:
        error = answer.json()["error"]
        return ApiError(error["code"], error["message"], error["details"], status=answer.status_code)
    except (ValueError, KeyError, TypeError):
        code = f"http_{answer.status_code}"
        return ApiError(code, answer.reason_phrase or "no reason given", status=answer.status_code)


def _unreachable(url: httpx.URL, exc: httpx.TransportError) -> NoReturn:
    raise ApiError("unreachable", f"{url} does not answer: {str(exc) or type(exc).__name__}") from exc


def _attempts(answer: httpx.Response) -> int:
    retry: Retry = answer.extensions["retry"]
    return retry.attempts_made
