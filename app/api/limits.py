"""Limits how often a driver, or a network that has not signed in, may call."""

import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from flask import Flask, Response, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from redis.exceptions import RedisError

from app.api.errors import shaped
from app.api.tokens import access_claims
from app.settings import Settings
from app.stores import leases
from app.stores.job_status import REDIS_TIMEOUT

IPV6_PREFIX = 64  # what one customer gets at least; its addresses are as good as endless
REGISTRATIONS = ("accounts.register", "web.open_account")
SIGN_INS = ("accounts.login", "web.sign_in", *REGISTRATIONS)
log = structlog.get_logger()


class Parsed(ApplicationLimit):
    """A limit whose text is read once rather than for each request.

    Parameters
    ----------
    endpoints
        To which it applies; nothing means all.
    """

    def __init__(
        self,
        text: str,
        caller: Callable[[], str] | None = None,
        scope: str = "global",
        endpoints: Sequence[str] = (),
    ) -> None:
        super().__init__(limit_provider=text, key_function=caller, scope=scope)
        self._endpoints = endpoints
        self._parsed: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        if self._endpoints and request.endpoint not in self._endpoints:
            return
        self._parsed = self._parsed or tuple(super().__iter__())  # the limiter had to be bound to it before
        yield from self._parsed


def init_limits(app: Flask, settings: Settings) -> Limiter:
    """Counts every request in Redis, and registrations and logins once more by their network.

    While Redis is away each process counts by itself, and looks every 1, 2, 4 … 32 s whether it is back.
    """
    limiter = Limiter(
        _caller,
        app=app,
        application_limits=[
            Parsed(settings.rate_limit),
            Parsed(settings.login_rate_limit, network, "sign-in", SIGN_INS),
            Parsed(settings.register_rate_limit, network, "register", REGISTRATIONS),
        ],
        storage_uri=settings.redis_url,
        strategy=leases.STRATEGY,
        storage_options={
            "key_prefix": "lapwise:limit",
            "socket_timeout": REDIS_TIMEOUT,  # type: ignore[dict-item]  # goes to redis-py, which takes floats
            "socket_connect_timeout": REDIS_TIMEOUT,  # type: ignore[dict-item]
        },
        in_memory_fallback_enabled=True,
    )

    @app.errorhandler(RateLimitExceeded)
    def exceeded(error: RateLimitExceeded) -> Response:
        limit = limiter.current_limit
        seconds = max(1, limit.reset_at - int(time.time())) if limit else 1
        message = f"At most {error.description}; wait {seconds} s."
        return shaped(429, "rate_limited", message, {}, {"Retry-After": str(seconds)})

    @app.after_request
    def show(response: Response) -> Response:
        try:
            response.headers.update(_shown(limiter))
        except RedisError as exc:  # it went away after the request was counted
            log.warning("limits_not_shown", error=str(exc))
        return response

    return limiter


def network() -> str:
    """Where the request comes from: its IPv4 address, or the /64 of its IPv6 address."""
    found = address()
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, IPV6_PREFIX), strict=False))


def address() -> IPv4Address | IPv6Address | None:
    """The caller's address; None where the trusted proxy names none."""
    try:
        return ip_address(request.remote_addr or "")
    except ValueError:
        return None


def _shown(limiter: Limiter) -> dict[str, str]:
    """Headers that tell the limit nearest to being reached."""
    if not limiter.current_limits:
        return {}
    limit = min(limiter.current_limits, key=lambda limit: limit.remaining)
    return {
        "X-RateLimit-Limit": str(limit.limit.amount),
        "X-RateLimit-Remaining": str(limit.remaining),
        "X-RateLimit-Reset": str(limit.reset_at),
    }


def _caller() -> str:
    """The user of a genuine access token, else the network: a forged token must not get a count of its own.

    Nor does a refresh token: one that was stolen and revoked would use up its driver's count for a month.
    """
    claims = access_claims()
    return f"user:{claims['sub']}" if claims else f"address:{network()}"
