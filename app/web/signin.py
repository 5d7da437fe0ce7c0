"""Signing in by cookies: the log-in and registration pages, renewal, and leaving."""

from datetime import timedelta
from typing import Any

import structlog
from flask import redirect, render_template, request, url_for
from flask_jwt_extended import get_csrf_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from marshmallow import Schema, ValidationError
from werkzeug.wrappers import Response

from app.api.accounts import LoginSchema, RegistrationSchema
from app.api.context import claims, family_id, services, user_id
from app.api.limits import network
from app.api.tokens import token_pair, verify
from app.errors import EmailTaken, Invalid, Unauthorized
from app.services.accounts import Grant
from app.web.blueprint import RENEWABLE, bp, safe_next, signed_in

SIGN_IN = "/login"  # the refresh token goes to what is below this path alone
NOT_SIGNED_IN = (JWTExtendedException, PyJWTError, Unauthorized)
LEEWAY = timedelta(seconds=30)
COOKIES = {  # by name: the path, and whether scripts are kept from it
    "access_token_cookie": ("/", True),
    "csrf_access_token": ("/", False),
    "refresh_token_cookie": (SIGN_IN, True),
    RENEWABLE: ("/", False),
}
log = structlog.get_logger()


@bp.get(SIGN_IN)
def login() -> Any:
    return _form("pages/login.html")


@bp.get("/register")
def register() -> Any:
    return _form("pages/register.html")


@bp.post(SIGN_IN)
def sign_in() -> Any:
    """Signs in and goes on to `next`; else the form again, with what is wrong beside the field."""
    try:
        given = _given(LoginSchema())
        return _welcome(services().accounts.login(**given, network=network()))
    except Unauthorized as exc:
        return _form("pages/login.html", {"password": [exc.message]}, 401)
    except ValidationError as exc:
        return _form("pages/login.html", exc.messages_dict, 422)


@bp.post("/register")
def open_account() -> Any:
    """Opens an account and signs in to it."""
    try:
        given = _given(RegistrationSchema())
        services().accounts.register(**given)
    except ValidationError as exc:
        return _form("pages/register.html", exc.messages_dict, 422)
    except Invalid as exc:
        return _form("pages/register.html", dict(exc.details), 422)
    except EmailTaken as exc:
        return _form("pages/register.html", {"email": [exc.message]}, 409)
    return _welcome(services().accounts.login(given["email"], given["password"], network=network()))


@bp.route(f"{SIGN_IN}/renew", methods=["GET", "POST"])
def renew() -> Any:
    """Spends the refresh cookie on new ones: for a page by going back to it, for a script with 204."""
    is_page = request.method == "GET"
    try:
        verify(refresh=True, locations=["cookies"])
        spent = user_id(), family_id(), claims()["jti"]
        grant = services().accounts.refresh(*spent, leeway=LEEWAY)
    except NOT_SIGNED_IN:
        again = redirect(url_for("web.login", next=safe_next(request.args.get("next"))))
        return forget(again if is_page else Response(status=401))
    return keep(redirect(safe_next(request.args.get("next"))) if is_page else Response(status=204), grant)


@bp.post(f"{SIGN_IN}/end")
def logout() -> Any:
    """Ends the sign-in, also when the access token has expired, and takes the cookies back in any case."""
    try:
        verify(refresh=True, locations=["cookies"])
        services().accounts.logout(family_id())
    except NOT_SIGNED_IN:
        log.info("nothing_to_end")
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


def _given(schema: Schema) -> dict[str, Any]:
    """What the form holds, by the rules of the API."""
    filled = {name: value for name, value in request.form.items() if value.strip()}
    given: dict[str, Any] = schema.load(filled)
    return given


def _welcome(grant: Grant) -> Response:
    return keep(redirect(safe_next(request.args.get("next")), 303), grant)


def _form(template: str, wrong: dict[str, Any] | None = None, status: int = 200) -> Any:
    onward = safe_next(request.args.get("next"))
    if status == 200 and signed_in():
        return redirect(onward)
    return render_template(template, wrong=wrong or {}, given=request.form, next=onward), status
