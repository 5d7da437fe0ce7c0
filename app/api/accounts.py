"""HTTP for accounts: registration, sign-in, renewal of tokens, and leaving."""

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length

from app.api.blueprint import Blueprint
from app.api.context import claims, family_id, services, user_id
from app.api.fields import CamelSchema, Id, Text, Utc
from app.api.limits import network
from app.api.tokens import token_pair
from app.domain import User
from app.services import passwords
from app.services.accounts import EMAIL_LENGTH

bp = Blueprint("accounts", __name__, url_prefix="/auth", description="Drivers' accounts and tokens.")

_PASSWORD = {"format": "password", "example": "a long pass phrase"}
_TOKEN = {"example": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI2NjU1In0.c2lnbmF0dXJl"}


class LoginSchema(CamelSchema):
    email = Text(EMAIL_LENGTH, "max@example.org", required=True)
    password = fields.String(
        required=True, load_only=True, validate=Length(1, passwords.LENGTH[1]), metadata=_PASSWORD
    )


class RegistrationSchema(LoginSchema):
    password = fields.String(
        required=True, load_only=True, validate=Length(*passwords.LENGTH), metadata=_PASSWORD
    )
    display_name = Text(100, "Max")


class UserSchema(CamelSchema):
    id = Id(required=True)
    email = Text(EMAIL_LENGTH, "max@example.org", required=True)
    display_name = Text(100, "Max", required=True, allow_none=True)
    created_at = Utc(required=True)


class RegisteredSchema(CamelSchema):
    user = fields.Nested(UserSchema, required=True)


class TokensSchema(CamelSchema):
    access_token = fields.String(required=True, metadata=_TOKEN)
    refresh_token = fields.String(required=True, metadata=_TOKEN)
    expires_in = fields.Integer(required=True, metadata={"example": 900, "description": "seconds"})
    user = fields.Nested(UserSchema, required=True)


@bp.operation(
    "POST",
    "/register",
    json=RegistrationSchema,
    answer=RegisteredSchema,
    status=201,
    errors=(409,),
    shows="nothing",
)
def register(body: dict[str, Any]) -> dict[str, User]:
    """Open an account; a password that is soon guessed is refused."""
    return {"user": services().accounts.register(**body)}


@bp.operation("POST", "/login", json=LoginSchema, answer=TokensSchema, errors=(401,), shows="nothing")
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Sign in: an access token for requests, a refresh token for the next pair."""
    return token_pair(services().accounts.login(**body, network=network()))


@bp.operation("POST", "/refresh", answer=TokensSchema, shows="refresh")
def refresh() -> dict[str, Any]:
    """Spend the refresh token, shown as bearer, on a new pair; showing it again revokes the whole family."""
    return token_pair(services().accounts.refresh(user_id(), family_id(), claims()["jti"]))


@bp.operation("POST", "/logout", status=204, shows="either")
def logout() -> None:
    """Revoke both tokens of this sign-in; either of them may be shown."""
    services().accounts.logout(family_id())


@bp.operation("GET", "/me", answer=UserSchema)
def me() -> User:
    """The signed-in driver."""
    return services().accounts.get(user_id())


@bp.operation("DELETE", "/me", status=204)
def remove_me() -> None:
    """Remove the account with all its sessions, models and binaries."""
    services().accounts.remove(user_id())
