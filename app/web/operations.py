"""Operations: how the platform does, for those who run it."""

from flask import abort, g, render_template

from app.api.context import services
from app.web.blueprint import page


@page("/operations")
def operations() -> str:
    if not getattr(g.user, "is_admin", False):
        abort(404, "There is nothing at this address.")
    return render_template("pages/operations.html", readiness=services().platform.readiness())
