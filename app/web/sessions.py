"""A session's page: its laps, and two of them laid over each other."""

from flask import g, render_template

from app.api.context import services
from app.web.blueprint import page


@page("/sessions/<id:id>")
def session(id: str) -> str:
    session = services().sessions.get(g.user.id, id)
    return render_template("pages/session.html", session=session)
