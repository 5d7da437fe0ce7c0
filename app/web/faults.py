"""Errors as pages: whoever looks with a browser gets words and a way on, a program the API's JSON."""

from typing import Any

from flask import Flask, make_response, render_template
from werkzeug.exceptions import HTTPException

from app.api.errors import error_answer
from app.errors import Unauthorized
from app.web.blueprint import POLICY, bp, to_sign_in, wants_page
from app.web.signin import forget

TITLES = {
    403: "Not from here",
    404: "Nothing here",
    429: "Too fast",
    503: "One moment",
    500: "Something broke",
}


def init_faults(app: Flask) -> None:
    app.register_error_handler(404, _nothing_here)


@bp.errorhandler(Exception)
def fault_page(error: Exception) -> Any:
    """The page for an error that one of our views ended in; for a script, the API's JSON."""
    if not wants_page():
        return error_answer(error)
    if isinstance(error, Unauthorized):  # the account is gone, or every sign-in of it was ended
        return forget(to_sign_in())
    answer = error_answer(error)  # one table for both says which status it is, and logs what we did wrong
    told = answer.get_json()["error"]
    status = answer.status_code if answer.status_code in TITLES else 404 if answer.status_code < 500 else 500
    page = render_template("pages/fault.html", title=TITLES[status], status=status, told=told)
    response = make_response(page, answer.status_code)
    response.headers["Content-Security-Policy"] = POLICY
    if "Retry-After" in answer.headers:
        response.headers["Retry-After"] = answer.headers["Retry-After"]
    return response


def _nothing_here(error: HTTPException) -> Any:
    return fault_page(error) if wants_page() else error_answer(error)
