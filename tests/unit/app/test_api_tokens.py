"""Whatever is wrong with a token, the answer is a 401; keys can be changed without signing anybody out."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token, create_refresh_token

from app import create_app
from app.api.tokens import key_id
from app.settings import Settings

KEY = "a secret of the tests, long enough"
KEY_ID = key_id(KEY)
USER_ID = "6655f0c2a4b1c2d3e4f50617"
WITHOUT: Any = object()
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----"""


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good access token, with some changed or left out."""
    now = int(time.time())
    good = {"sub": USER_ID, "fam": "family", "jti": "1", "type": "access", "fresh": False}
    all_of_them = good | {"iat": now, "nbf": now, "exp": now + 86_400} | changes
    return {name: value for name, value in all_of_them.items() if value is not WITHOUT}


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(
    *, key: str = KEY, algorithm: str = "HS256", header: Mapping[str, Any] | None = None, **changes: Any
) -> str:
    head = {"alg": algorithm, "typ": "JWT", "kid": KEY_ID} | dict(header or {})
    head = {name: value for name, value in head.items() if value is not WITHOUT}
    text = f"{part(head)}.{part(claims(**changes))}"
    digest = hmac.new(key.encode(), text.encode(), "sha" + algorithm.removeprefix("HS"))
    return f"{text}.{part(digest.digest())}"


def unsigned(algorithm: Any, kid: Any = KEY_ID) -> str:
    """A token whose header says anything, under the signature of a good one."""
    return f"{part({'alg': algorithm, 'kid': kid})}.{part(claims())}.{token().rpartition('.')[2]}"


def ask(client: FlaskClient, shown: str, path: str = "/auth/me") -> Any:
    method = "GET" if path == "/auth/me" else "POST"
    return client.open(path, method=method, headers={"Authorization": f"Bearer {shown}"})


def test_a_good_token_is_taken(stranger: FlaskClient, services: SimpleNamespace) -> None:
    """Or else the refusals below would prove nothing."""
    services.accounts.get = lambda user_id: SimpleNamespace(
        id=user_id, email="", display_name=None, created_at=None
    )
    answer = ask(stranger, token())
    assert (answer.status_code, answer.json["id"]) == (200, USER_ID)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (token(key="another secret, which is as long"), "token_invalid"),
        (token(key=""), "token_invalid"),
        (token(algorithm="HS384"), "token_invalid"),
        (token(algorithm="HS512"), "token_invalid"),
        (unsigned("none"), "token_invalid"),
        (unsigned("None"), "token_invalid"),
        (unsigned("nOnE"), "token_invalid"),
        (unsigned("none").rpartition(".")[0] + ".", "token_invalid"),
        (unsigned("RS256"), "token_invalid"),
        (unsigned("ES256"), "token_invalid"),
        (unsigned(["HS256"]), "token_invalid"),
        (unsigned(None), "token_invalid"),
        (token()[:-2] + ("AA" if not token().endswith("AA") else "BB"), "token_invalid"),
        (token().rpartition(".")[0], "token_invalid"),
        (f"{token()}.", "token_invalid"),
        (token(header={"kid": "no-such-key"}), "token_invalid"),
        (token(header={"kid": "../../../dev/null"}, key=""), "token_invalid"),
        (token(header={"kid": "' UNION SELECT 'x"}, key="x"), "token_invalid"),
        (token(header={"kid": ""}), "token_invalid"),
        (unsigned("HS256", kid={"$ne": ""}), "token_invalid"),
        (unsigned("HS256", kid=[KEY_ID]), "token_invalid"),
        (unsigned("HS256", kid=0), "token_invalid"),
        (token(header={"jwk": {"kty": "oct", "k": part(b"mine")}}, key="mine"), "token_invalid"),
        (
            token(header={"jku": "https://example.org/keys", "x5u": "https://example.org"}, key="mine"),
            "token_invalid",
        ),
        (token(header={"crit": ["exp"]}), "token_invalid"),
        (token(exp=int(time.time()) - 1), "token_expired"),
        (token(exp="tomorrow"), "token_invalid"),
        (token(nbf=int(time.time()) + 600), "token_invalid"),
        (token(iat=int(time.time()) + 600), "token_invalid"),
        (token(sub=WITHOUT), "token_invalid"),
        (token(sub={"$ne": None}), "token_invalid"),
        (token(sub=1), "token_invalid"),
        (token(type="refresh"), "token_invalid"),
        (token(type=["access"]), "token_invalid"),
        (token(type="invitation"), "token_invalid"),
        (token(fam="revoked"), "token_revoked"),
        (token(fam=WITHOUT), "token_revoked"),
        (token(fam={"$ne": None}), "token_revoked"),
        (token(fam=None), "token_revoked"),
        (f"{part(b'[' * 5_000)}.e30.x", "token_invalid"),
        (f"{part({'alg': 'HS256'})}.{part(b'[' * 5_000)}.x", "token_invalid"),
        (f"{part({'alg': 'HS256'})}.{part(b'9' * 5_000)}.x", "token_invalid"),
        (f"{part([])}.{part(claims())}.x", "token_invalid"),
        (f"{part({'alg': 'HS256'})}.{part([])}.x", "token_invalid"),
        ("a.b.c", "token_invalid"),
        ("\xff.\xff.\xff", "token_invalid"),
    ],
)
def test_a_token_with_anything_wrong_is_a_401(stranger: FlaskClient, wrong: str, code: str) -> None:
    answer = ask(stranger, wrong)
    assert answer.status_code == 401, answer.text
    assert answer.json["error"]["code"] == code


def test_a_public_key_taken_for_a_secret_signs_nothing(stranger: FlaskClient) -> None:
    assert ask(stranger, token(key=PUBLIC_KEY)).status_code == 401


def test_an_access_token_does_not_refresh_and_a_refresh_token_opens_nothing(stranger: FlaskClient) -> None:
    assert ask(stranger, token(), "/auth/refresh").status_code == 401
    assert ask(stranger, token(type="refresh")).status_code == 401


def with_keys(settings: Settings, new: str, *old: str) -> Flask:
    """The application after its keys were changed."""
    accounts = SimpleNamespace(
        is_revoked=lambda _family: False, get=lambda _id: None, logout=lambda _family: None
    )
    settings = replace(settings, secret_key=new, secret_key_old=", ".join(old))
    container: Any = SimpleNamespace(settings=settings, platform=None, live=None, accounts=accounts)
    return create_app(container=container)


def pair(app: Flask) -> tuple[str, str]:
    with app.app_context():
        family = {"fam": "family"}
        return (
            create_access_token(USER_ID, additional_claims=family),
            create_refresh_token(USER_ID, additional_claims=family),
        )


OLD, NEW, NEWER = (
    "an old secret of the tests which is long",
    "a newer secret of the tests just as long",
    "the newest secret of the tests as long",
)


def test_after_a_change_of_keys_old_tokens_are_good_while_their_key_is_named(api_settings: Settings) -> None:
    first, second = pair(with_keys(api_settings, OLD)), pair(with_keys(api_settings, NEW, OLD))
    rotated = with_keys(api_settings, NEWER, NEW, OLD).test_client()
    forgotten = with_keys(api_settings, NEWER, NEW).test_client()
    for shown in (*first, *second):
        assert ask(rotated, shown, "/auth/logout").status_code == 204
    assert [ask(forgotten, shown, "/auth/logout").status_code for shown in (*first, *second)] == [
        401,
        401,
        204,
        204,
    ]


def test_new_tokens_are_signed_with_the_new_key_alone(api_settings: Settings) -> None:
    shown, _ = pair(with_keys(api_settings, NEW, OLD))
    assert jwt.get_unverified_header(shown)["kid"] == key_id(NEW)
    assert ask(with_keys(api_settings, OLD).test_client(), shown, "/auth/logout").status_code == 401
    assert ask(with_keys(api_settings, NEW).test_client(), shown, "/auth/logout").status_code == 204


def test_a_token_that_names_no_key_is_one_of_the_oldest(api_settings: Settings) -> None:
    """Those of releases before keys had names."""
    nameless = token(key=OLD, header={"kid": WITHOUT})
    assert ask(with_keys(api_settings, OLD).test_client(), nameless, "/auth/logout").status_code == 204
    assert ask(with_keys(api_settings, NEW, OLD).test_client(), nameless, "/auth/logout").status_code == 204
    assert ask(with_keys(api_settings, NEW).test_client(), nameless, "/auth/logout").status_code == 401
