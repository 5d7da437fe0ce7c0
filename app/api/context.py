"""What a view needs of the application and of the request: the use cases, and who asks."""

from typing import TYPE_CHECKING, cast

from flask import current_app
from flask_jwt_extended import get_jwt, get_jwt_identity

if TYPE_CHECKING:
    from app.container import Container

CONTAINER = "lapwise"


def services() -> "Container":
    return cast("Container", current_app.extensions[CONTAINER])


def user_id() -> str:
    """The signed-in driver's id; only where a token is required."""
    return str(get_jwt_identity())


def family_id() -> str:
    """The token family of the token shown."""
    return str(get_jwt()["fam"])
