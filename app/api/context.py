"""What a view needs of the application and of the request: the use cases, and who asks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from flask import Request, current_app, g, request

if TYPE_CHECKING:
    from app.container import Container

CONTAINER = "lapwise"
TOLD = "lapwise.told"  # in the WSGI environment: headers for the answer


def services() -> "Container":
    return cast("Container", current_app.extensions[CONTAINER])


def present() -> Request:
    """The present request itself, for whoever looks at it more than once: `flask.request` is a proxy."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def tell(name: str, value: str) -> None:
    """Adds a header to the answer to the present request, whatever that will be."""
    present().environ.setdefault(TOLD, []).append((name, value))


def claims() -> Mapping[str, Any]:
    """What the token says that the caller has shown; only where one is required."""
    return cast(Mapping[str, Any], g.claims)


def user_id() -> str:
    """The signed-in driver's id; only where a token is required."""
    return str(claims()["sub"])


def family_id() -> str:
    """The token family of the token shown."""
    return str(claims()["fam"])
