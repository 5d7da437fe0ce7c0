"""Operations: how the platform does, for those who run it."""

from typing import Any

from flask import g, render_template
from werkzeug.exceptions import NotFound

from app.api.context import services
from app.web.blueprint import page


@page("/operations")
def operations() -> str:
    _check_admin()
    return render_template("pages/operations.html", flower=services().settings.flower_url)


@page("/operations/state")
def operations_state() -> str:
    """The part of the page that changes; asking the workers takes a second."""
    _check_admin()
    return render_template("parts/operations.html", **_state())


@page("/operations/jobs/<id:id>/retry", methods=["POST"])
def retry_failed(id: str) -> tuple[str, int]:
    """Tries anybody's failed job again."""
    _check_admin()
    services().operations.retry(id)
    return "", 204


def _state() -> dict[str, Any]:
    return {"state": services().operations.state(), "checks": services().platform.readiness()}


def _check_admin() -> None:
    if not g.user.is_admin:
        raise NotFound
