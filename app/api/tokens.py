"""Access and refresh tokens: made from a grant, and refused with 401 whatever is wrong with one."""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from jwt import DecodeError
from structlog.contextvars import bind_contextvars

from app.api.context import services
from app.api.errors import error_answer
from app.errors import TokenExpired, TokenInvalid, TokenRevoked, Unauthorized
from app.services.accounts import Grant
from app.settings import Settings


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


def _is_revoked(_header: dict[str, Any], claims: dict[str, Any]) -> bool:
    bind_contextvars(user_id=claims["sub"])
    family = claims.get("fam")
    return not isinstance(family, str) or services().accounts.is_revoked(family)
