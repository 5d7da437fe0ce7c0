"""Access and refresh tokens: made from a grant, and refused with 401 whatever is wrong with one."""

import time
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, Literal, cast

from flask import Flask, current_app, g
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import DecodeError, PyJWTError
from structlog.contextvars import bind_contextvars

from app.api.context import present, services
from app.api.errors import error_answer
from app.errors import TokenExpired, TokenInvalid, TokenRevoked, Unauthorized
from app.services.accounts import Grant
from app.settings import Settings

Claims = Mapping[str, Any]
Shown = Literal["access", "refresh", "either"]
GENUINE = "lapwise-genuine-tokens"
MOST_GENUINE = 5_000
_UNSEEN = object()


class Genuine:
    """Claims of access tokens that were verified, by the header that showed them, until they expire.

    Verifying costs as much as predicting, and an app shows the same token thousands of times. Whether a
    token was revoked is asked each time.
    """

    def __init__(self) -> None:
        self._claims: dict[str, Claims] = {}

    def get(self, header: str) -> Claims | None:
        claims = self._claims.get(header)
        return claims if claims and claims.get("exp", 0) > time.time() else None

    def keep(self, header: str, claims: Claims) -> None:
        if len(self._claims) >= MOST_GENUINE:
            self._claims.clear()
        self._claims[header] = claims


class Manager(JWTManager):
    """Refuses also a token whose JSON nests deeper than Python's parser goes."""

    def _decode_jwt_from_config(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        try:
            return super()._decode_jwt_from_config(*args, **kwargs)
        except RecursionError as exc:
            raise DecodeError("nested too deeply") from exc


def init_tokens(app: Flask, settings: Settings) -> None:
    app.config.update(
        JWT_ALGORITHM="HS256",
        JWT_SECRET_KEY=settings.secret_key,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.access_token_seconds),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=settings.refresh_token_seconds),
        JWT_TOKEN_LOCATION=["headers", "cookies"],  # cookies are the dashboard's, see app.web.signin
        JWT_CSRF_CHECK_FORM=True,
    )
    manager = Manager(app)
    app.extensions[GENUINE] = Genuine()
    keys = {key_id(key): key for key in settings.secret_keys}
    oldest = next(reversed(keys))  # signed what names no key
    manager.additional_headers_loader(lambda _identity: {"kid": key_id(settings.secret_key)})
    manager.decode_key_loader(lambda header, _claims: _key(keys, header.get("kid", oldest)))
    manager.token_in_blocklist_loader(_is_revoked)
    manager.token_verification_loader(lambda _header, claims: claims["type"] in ("access", "refresh"))
    manager.token_verification_failed_loader(lambda _header, _claims: error_answer(TokenInvalid()))
    manager.unauthorized_loader(lambda _reason: error_answer(Unauthorized()))
    manager.invalid_token_loader(lambda _reason: error_answer(TokenInvalid()))
    manager.expired_token_loader(lambda _header, _claims: error_answer(TokenExpired()))
    manager.revoked_token_loader(lambda _header, _claims: error_answer(TokenRevoked()))


def access_claims() -> Claims | None:
    """Of the genuine access token that the request shows, revoked or not; None where it shows none."""
    claims = g.get("access_claims", _UNSEEN)
    if claims is _UNSEEN:
        claims = g.access_claims = _found()
    return cast(Claims | None, claims)


def require(shown: Shown) -> None:
    """Lets only a caller in who shows such a token; `context.claims` then tells what it says.

    Raises
    ------
    JWTExtendedException, PyJWTError, TokenRevoked
    """
    claims = access_claims() if shown != "refresh" else None
    if claims is None:
        verify(refresh=shown == "refresh", verify_type=shown != "either")
        return
    if _is_revoked({}, claims):
        raise TokenRevoked
    g.claims = claims


def verify(**how: Any) -> Claims | None:
    """flask_jwt_extended's own verification; `context.claims` then tells what the token says."""
    found = verify_jwt_in_request(**how)
    g.claims = found[1] if found else None
    return cast(Claims | None, g.claims)


def token_pair(grant: Grant) -> dict[str, Any]:
    """The two tokens of a grant; both name its family, the refresh token has the id the family waits for."""
    family = {"fam": grant.family_id}
    return {
        "access_token": create_access_token(grant.user.id, additional_claims=family),
        "refresh_token": create_refresh_token(
            grant.user.id, additional_claims=family | {"jti": grant.refresh_jti}
        ),
        "expires_in": services().settings.access_token_seconds,
        "user": grant.user,
    }


def key_id(key: str) -> str:
    """Names the key that a token was signed with, and tells nothing of it."""
    return sha256(b"lapwise-token-key\n" + key.encode()).hexdigest()[:16]


def _key(keys: Mapping[str, str], kid: str) -> str:
    if kid not in keys:
        raise DecodeError("signed with no key of ours")
    return keys[kid]


def _found() -> Claims | None:
    header = present().environ.get("HTTP_AUTHORIZATION", "")
    genuine: Genuine = current_app.extensions[GENUINE]
    if claims := genuine.get(header):
        return claims
    try:
        if claims := _verified("headers"):
            genuine.keep(header, claims)
        return claims or _verified("cookies")
    except (JWTExtendedException, PyJWTError):
        return None


def _verified(location: str) -> Claims | None:
    found = verify_jwt_in_request(optional=True, skip_revocation_check=True, locations=[location])
    return found[1] if found else None


def _is_revoked(_header: dict[str, Any], claims: Claims) -> bool:
    bind_contextvars(user_id=claims["sub"])
    family = claims.get("fam")
    return not isinstance(family, str) or services().accounts.is_revoked(family)
