"""Limits how often a driver, or a network that has not signed in, may call."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Lock

import structlog
from flask import Flask, request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from limits.util import WindowStats
from redis.exceptions import RedisError

from app.api.context import present, tell
from app.api.tokens import access_claims
from app.errors import RateLimited
from app.settings import Settings
from app.stores.job_status import REDIS_TIMEOUT
from app.stores.leases import LeasedWindowRateLimiter

IPV6_PREFIX = 64  # what one customer gets at least; its addresses are as good as endless
REGISTRATIONS = ("accounts.register", "web.open_account")
SIGN_INS = ("accounts.login", "web.sign_in", *REGISTRATIONS)
LIMITS = "lapwise-limits"
AWAY_AT_MOST = 32.0  # seconds
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How often a caller may call some endpoints, or all where none is named."""

    item: RateLimitItem
    caller: Callable[[], str]
    scope: str = "global"
    endpoints: Collection[str] = ()


class Limits:
    """Counts calls in Redis; while it is away each process by itself, looking after 1, 2, 4 … 32 s for it.

    Parameters
    ----------
    shared
        Counts in Redis.
    limits
        The shortest first.
    exempt
        Blueprints whose calls are not counted.
    """

    def __init__(self, shared: RateLimiter, limits: Collection[Limit], exempt: Collection[str]) -> None:
        self._shared = shared
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._limits = sorted(limits, key=lambda limit: limit.item)
        self._exempt = exempt
        self._away = 0.0  # seconds between two looks for Redis, while it is away
        self._back_at = 0.0  # when the next look is due
        self._lock = Lock()

    def check(self) -> None:
        """Counts the present request.

        Raises
        ------
        RateLimited
        """
        endpoint = present().endpoint
        if endpoint is None:
            return
        blueprint, _, view = endpoint.rpartition(".")
        if view == "static" or blueprint in self._exempt:
            return
        counted = []
        for limit in self._limits:
            if not limit.endpoints or endpoint in limit.endpoints:
                is_let_in, left = self._counted(limit.item, (limit.caller(), limit.scope))
                counted.append((limit.item, left))
                if not is_let_in:
                    break
        _show(counted)
        if not is_let_in:
            seconds = max(1, _end(left) - int(time.time()))
            raise RateLimited(f"At most {limit.item}; wait {seconds} s.", retryAfter=seconds)

    def _counted(self, item: RateLimitItem, caller: tuple[str, ...]) -> tuple[bool, WindowStats]:
        if self._is_there():
            try:
                return _hit(self._shared, item, caller)
            except RedisError as exc:
                self._miss(0.0, str(exc))
        return _hit(self._own, item, caller)

    def _is_there(self) -> bool:
        """Whether to ask Redis; of the requests that come when a look is due, one looks."""
        if not self._away:
            return True
        with self._lock:
            seen = self._away
            if time.monotonic() < self._back_at:
                return False
            self._back_at = time.monotonic() + AWAY_AT_MOST
        if self._shared.storage.check():
            self._away = 0.0
            return True
        self._miss(seen, "it does not answer")
        return False

    def _miss(self, seen: float, error: str) -> None:
        """Looks later from now on, unless another request has found the same and seen to it."""
        with self._lock:
            if self._away != seen:
                return
            self._away = min(2 * seen or 1.0, AWAY_AT_MOST)
            self._back_at = time.monotonic() + self._away
        log.warning("limits_counted_here", error=error, seconds=self._away)


def init_limits(app: Flask, settings: Settings, exempt: Collection[str]) -> None:
    """Counts every request, and registrations and logins once more by their network."""
    limits = [
        *_limits(settings.rate_limit, _caller),
        *_limits(settings.login_rate_limit, network, "sign-in", SIGN_INS),
        *_limits(settings.register_rate_limit, network, "register", REGISTRATIONS),
    ]
    storage = storage_from_string(
        settings.redis_url,
        key_prefix="lapwise:limit",
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
    )
    app.extensions[LIMITS] = found = Limits(LeasedWindowRateLimiter(storage), limits, exempt)
    app.before_request(found.check)


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


def _limits(
    text: str, caller: Callable[[], str], scope: str = "global", endpoints: Collection[str] = ()
) -> list[Limit]:
    return [Limit(item=item, caller=caller, scope=scope, endpoints=endpoints) for item in parse_many(text)]


def _hit(counts: RateLimiter, item: RateLimitItem, caller: tuple[str, ...]) -> tuple[bool, WindowStats]:
    return counts.hit(item, *caller), counts.get_window_stats(item, *caller)


def _end(window: WindowStats) -> int:
    """The second in which it is over."""
    return int(window.reset_time) + 1


def _show(counted: Sequence[tuple[RateLimitItem, WindowStats]]) -> None:
    """Tells of the limit nearest to being reached."""
    item, left = min(counted, key=lambda one: one[1].remaining)
    tell("X-RateLimit-Limit", str(item.amount))
    tell("X-RateLimit-Remaining", str(left.remaining))
    tell("X-RateLimit-Reset", str(_end(left)))


def _caller() -> str:
    """The user of a genuine access token, else the network: a forged token must not get a count of its own.

    Nor does a refresh token: one that was stolen and revoked would use up its driver's count for a month.
    """
    claims = access_claims()
    return f"user:{claims['sub']}" if claims else f"address:{network()}"
