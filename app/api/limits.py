"""Limits how often a driver, or an address that has not signed in, may call."""

import time

from flask import Flask, Response, request
from flask_jwt_extended import get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address
from jwt import PyJWTError

from app.api.errors import shaped
from app.settings import Settings
from app.stores import leases
from app.stores.job_status import REDIS_TIMEOUT

SIGN_IN = ("accounts.register", "accounts.login", "web.open_account", "web.sign_in")


def init_limits(app: Flask, settings: Settings) -> Limiter:
    """Counts every request in Redis, and registrations and logins once more by their address."""
    sign_in = ApplicationLimit(
        limit_provider=settings.login_rate_limit,
        key_function=get_remote_address,
        scope="sign-in",
        exempt_when=lambda: request.endpoint not in SIGN_IN,
    )
    limiter = Limiter(
        _caller,
        app=app,
        application_limits=[settings.rate_limit, sign_in],
        storage_uri=settings.redis_url,
        strategy=leases.STRATEGY,
        storage_options={
            "key_prefix": "lapwise:limit",
            "socket_timeout": REDIS_TIMEOUT,  # type: ignore[dict-item]  # goes to redis-py, which takes floats
            "socket_connect_timeout": REDIS_TIMEOUT,  # type: ignore[dict-item]
        },
    )

    @app.errorhandler(RateLimitExceeded)
    def exceeded(error: RateLimitExceeded) -> Response:
        limit = limiter.current_limit
        seconds = max(1, limit.reset_at - int(time.time())) if limit else 1
        message = f"At most {error.description}; wait {seconds} s."
        return shaped(429, "rate_limited", message, {}, {"Retry-After": str(seconds)})

    @app.after_request
    def show(response: Response) -> Response:
        if limiter.current_limits and response.status_code != 503:  # Redis down: there is nothing to show
            limit = min(limiter.current_limits, key=lambda limit: limit.remaining)
            response.headers["X-RateLimit-Limit"] = str(limit.limit.amount)
            response.headers["X-RateLimit-Remaining"] = str(limit.remaining)
            response.headers["X-RateLimit-Reset"] = str(limit.reset_at)
        return response

    return limiter


def _caller() -> str:
    """The user of a genuine token, else the address: a forged token must not get a count of its own."""
    try:
        verified = verify_jwt_in_request(optional=True, verify_type=False, skip_revocation_check=True)
    except (JWTExtendedException, PyJWTError):
        verified = None
    return f"user:{get_jwt_identity()}" if verified else f"address:{get_remote_address()}"
