"""Signing in by cookies: the log-in and registration pages, renewal, and leaving."""

from datetime import timedelta
from typing import Any

from flask import redirect, render_template, request, url_for
from flask_jwt_extended import get_csrf_token, get_jwt, get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from werkzeug.wrappers import Response

from app.api.context import family_id, services
from app.api.tokens import token_pair
from app.errors import LapwiseError, Unauthorized
from app.services.accounts import Grant
from app.web.blueprint import RENEWABLE, bp, safe_next, signed_in

RENEWAL = "/login/renew"  # the only path that sees the refresh token
LEEWAY = timedelta(seconds=30)
COOKIES = {  # by name: the path, and whether scripts are kept from it
    "access_token_cookie": ("/", True),
    "csrf_access_token": ("/", False),
    "refresh_token_cookie": (RENEWAL, True),
    RENEWABLE: ("/", False),
}


@bp.get("/login")
def login() -> Any:
    return _form("pages/login.html")


@bp.get("/register")
def register() -> Any:
    return _form("pages/register.html")


@bp.post("/login")
def sign_in() -> Any:
    """Signs in and goes on to `next`; else the form again, with what is wrong beside the field."""
    given = {name: request.form.get(name, "") for name in ("email", "password")}
    try:
        grant = services().accounts.login(**given)
    except Unauthorized as exc:
        return _form("pages/login.html", {"password": [exc.message]}, 401)
    return _welcome(grant)


@bp.post("/register")
def open_account() -> Any:
    """Opens an account and signs in to it."""
    given = {name: request.form.get(name, "") for name in ("email", "password")}
    display_name = request.form.get("displayName", "").strip()[:100] or None
    try:
        services().accounts.register(**given, display_name=display_name)
    except LapwiseError as exc:
        wrong = dict(exc.details) or {"email": [exc.message]}
        return _form("pages/register.html", wrong, 422)
    return _welcome(services().accounts.login(**given))


@bp.route(RENEWAL, methods=["GET", "POST"])
def renew() -> Any:
    """Spends the refresh cookie on new ones: for a page by going back to it, for a script with 204."""
    is_page = request.method == "GET"
    try:
        verify_jwt_in_request(refresh=True, locations=["cookies"])
        spent = str(get_jwt_identity()), family_id(), get_jwt()["jti"]
        grant = services().accounts.refresh(*spent, leeway=LEEWAY)
    except (JWTExtendedException, PyJWTError, Unauthorized):
        again = redirect(url_for("web.login", next=safe_next(request.args.get("next"))))
        return forget(again if is_page else Response(status=401))
    return keep(redirect(safe_next(request.args.get("next"))) if is_page else Response(status=204), grant)


@bp.post("/logout")
def logout() -> Any:
    verify_jwt_in_request(locations=["cookies"])
    services().accounts.logout(family_id())
    return forget(redirect(url_for("web.login"), 303))


def keep(response: Response, grant: Grant) -> Response:
    """Gives the browser the tokens of a grant; scripts see only what the double submit needs."""
    pair, settings = token_pair(grant), services().settings
    access, refresh = pair["access_token"], pair["refresh_token"]
    values = {
        "access_token_cookie": (access, settings.access_token_seconds),
        "csrf_access_token": (get_csrf_token(access), settings.access_token_seconds),
        "refresh_token_cookie": (refresh, settings.refresh_token_seconds),
        RENEWABLE: (get_csrf_token(refresh), settings.refresh_token_seconds),
    }
    for name, (value, seconds) in values.items():
        path, hidden = COOKIES[name]
        response.set_cookie(
            name,
            value,
            max_age=timedelta(seconds=seconds),
            path=path,
            httponly=hidden,
            secure=request.is_secure,  # gunicorn heeds X-Forwarded-Proto of a proxy it trusts
            samesite="Lax",
        )
    return response


def forget(response: Response) -> Response:
    """Takes the tokens from the browser."""
    for name, (path, hidden) in COOKIES.items():
        response.delete_cookie(name, path=path, httponly=hidden, secure=request.is_secure, samesite="Lax")
    return response


def _welcome(grant: Grant) -> Response:
    return keep(redirect(safe_next(request.args.get("next")), 303), grant)


def _form(template: str, wrong: dict[str, Any] | None = None, status: int = 200) -> Any:
    onward = safe_next(request.args.get("next"))
    if status == 200 and signed_in():
        return redirect(onward)
    return render_template(template, wrong=wrong or {}, given=request.form, next=onward), status
