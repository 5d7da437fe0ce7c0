"""Access tokens renewed before they expire; a refresh token is spent once, whoever holds the same pair."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Self

import httpx
from httpx_retries import Retry

MARGIN = 30.0  # seconds before its end at which a token is renewed, so that no long upload meets it


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The tokens of one sign-in; at `renew_at`, a Unix time, the access token is about to expire."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    renew_at: float
    email: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """From the answer to a login or a refresh."""
        return cls(
            access=answer["accessToken"],
            refresh=answer["refreshToken"],
            renew_at=time.time() + max(answer["expiresIn"] - MARGIN, answer["expiresIn"] / 2),
            email=answer["user"]["email"],
        )


class Keeper:
    """Keeps a pair in memory; a subclass may keep it where other processes find it too."""

    def __init__(self) -> None:
        self._pair: Pair | None = None
        self._lock = RLock()

    def get(self) -> Pair | None:
        return self._pair

    def put(self, pair: Pair | None) -> None:
        """Keeps another pair; None forgets it."""
        self._pair = pair

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts nobody else renews the pair."""
        with self._lock:
            yield


class BearerAuth(httpx.Auth):
    """Shows the access token, and spends the refresh token on a new pair before that expires.

    Parameters
    ----------
    url
        Where a refresh token is spent.
    refused
        Makes the error of an answer that refuses to renew.
    retry
        When a renewal may be repeated.
    """

    def __init__(
        self, keeper: Keeper, url: str, *, refused: Callable[[httpx.Response], Exception], retry: Retry
    ) -> None:
        self._keeper = keeper
        self._url = url
        self._refused = refused
        self._retry = retry

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        pair = self._keeper.get()
        if pair is None:
            yield request
            return
        if time.time() > pair.renew_at:
            pair = yield from self._renewed(request, pair)
        request.headers["Authorization"] = f"Bearer {pair.access}"
        answer = yield request
        if answer.status_code == 401:  # this clock and the platform's may differ, or another signed out
            answer.read()
            if "token_expired" in answer.text:
                pair = yield from self._renewed(request, pair)
                request.headers["Authorization"] = f"Bearer {pair.access}"
                yield request

    def _renewed(self, request: httpx.Request, old: Pair) -> Generator[httpx.Request, httpx.Response, Pair]:
        with self._keeper.alone():
            now = self._keeper.get()
            if now is not None and now.access != old.access:
                return now  # another thread or process was first
            headers = {"Authorization": f"Bearer {old.refresh}"}
            extensions = request.extensions | {"retry": self._retry}  # with the request's timeouts
            answer = yield httpx.Request("POST", self._url, headers=headers, extensions=extensions)
            answer.read()
            if answer.is_error:
                if answer.status_code == 401:
                    self._keeper.put(None)
                raise self._refused(answer)
            pair = Pair.of(answer.json())
            self._keeper.put(pair)
            return pair
