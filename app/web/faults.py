"""Errors as pages: whoever looks with a browser gets words and a way on, a program the API's JSON."""

from flask import Flask, make_response, render_template, request
from werkzeug.wrappers import Response

from app.web.blueprint import POLICY, to_sign_in, wants_page
from app.web.signin import forget

TITLES = {403: "Not from here", 404: "Nothing here", 429: "Too fast", 503: "One moment"}
REFUSED, BROKEN = "That did not work", "Something broke"


def init_faults(app: Flask) -> None:
    app.after_request(_in_words)


def _in_words(answer: Response) -> Response:
    """The page that an error of the one JSON shape becomes, at an address of ours or of nobody."""
    if answer.status_code < 400 or answer.mimetype != "application/json":
        return answer
    if request.blueprint not in ("web", None) or not wants_page():
        return answer
    if answer.status_code == 401:  # the account is gone, or every sign-in of it was ended
        return forget(to_sign_in())
    told = answer.get_json()["error"]
    title = TITLES.get(answer.status_code, REFUSED if answer.status_code < 500 else BROKEN)
    page = render_template("pages/fault.html", title=title, status=answer.status_code, told=told)
    response = make_response(page, answer.status_code)
    response.headers["Content-Security-Policy"] = POLICY
    if "Retry-After" in answer.headers:
        response.headers["Retry-After"] = answer.headers["Retry-After"]
    return response
