"""What every page has: who looks at it, where a stranger is sent, and the headers that keep it safe."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, request, url_for
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as Answer

from app.api.context import services, user_id
from app.api.errors import error_answer
from app.api.tokens import verify
from app.domain import User
from app.errors import Unauthorized

V = TypeVar("V", bound=Callable[..., Any])
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# BokehJS puts style elements into its shadow roots; styles in attributes and all scripts stay forbidden
CHART_POLICY = f"{POLICY}; style-src-elem 'self' 'unsafe-inline'"
RENEWABLE = "csrf_refresh_token"  # says that there is a refresh token too, which only renewal sees

bp = Blueprint("web", __name__, template_folder="templates")


def page(rule: str, **options: Any) -> Callable[[V], V]:
    """Routes a view that only a signed-in driver sees; `g.user` is who it is."""

    def decorate(view: V) -> V:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            user = signed_in()
            if user is None:
                return to_sign_in() if wants_page() else error_answer(Unauthorized())
            g.user = user
            return view(*args, **kwargs)

        bp.add_url_rule(rule, view_func=guarded, **options)
        return view

    return decorate


def wants_page() -> bool:
    """Whether a person asks, by following a link, and not a script."""
    accepted = request.accept_mimetypes
    return accepted.quality("text/html") > accepted.quality("application/json")


def signed_in() -> User | None:
    """The driver whose access cookie the request carries."""
    try:
        if verify(optional=True, locations=["cookies"]) is None:
            return None
    except (JWTExtendedException, PyJWTError):
        return None
    return services().accounts.get(user_id())


def to_sign_in() -> Answer:
    """To the renewal where there may be something to renew, else to the log-in page; then back here."""
    here = request.full_path.rstrip("?")
    view = "web.renew" if RENEWABLE in request.cookies else "web.login"
    return redirect(url_for(view, next=here) if here != "/" else url_for(view))


def safe_next(path: str | None) -> str:
    """Where to go after signing in: a path on this site, whatever was asked for.

    >>> safe_next("/sessions/1?lap=2"), safe_next("//evil.example"), safe_next("https:evil"), safe_next(None)
    ('/sessions/1?lap=2', '/', '/', '/')
    """
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable():
        return "/"
    return path


@bp.before_request
def refuse_strangers() -> None:
    """A form of another site posts nothing here, signed in or not."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.host
    if is_foreign or site not in ("same-origin", "none"):
        raise Forbidden("This form was sent from another site.")


@bp.after_request
def keep_safe(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CHART_POLICY if g.get("has_charts") else POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    return response
