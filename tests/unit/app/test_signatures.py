"""A signature is good for one body, one secret and a few minutes, and nothing else passes for one."""

import pytest

from app.errors import SignatureInvalid
from app.signatures import TOLERANCE, check, sign

SECRET, BODY, NOW = "a secret of the tests", b'{"eventId": "1"}', 1_770_802_200
GOOD = sign(SECRET, BODY, NOW)
V1 = GOOD.partition(",")[2]
T = f"t={NOW}"


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        f"{V1},{T}",
        f"{T}, {V1}",
        f"{T},v1={'0' * 64},{V1}",
        f"{T},{V1},v1={'f' * 64}",
        f"{T},{V1.upper().replace('V1', 'v1')}",
    ],
)
def test_a_genuine_signature_is_good_however_it_is_written(header: str) -> None:
    check(header, SECRET, BODY, NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        T,
        V1,
        "nonsense",
        f"{T};{V1}",
        f"{T},{V1},v0=abc",
        f"{T},{T},{V1}",
        f"t={NOW + 1},{V1}",
        f"t=-{NOW},{V1}",
        f"t={NOW}.0,{V1}",
        f"t=,{V1}",
        f"t=٣,{V1}",
        f"{T},v1={'0' * 64}",
        f"{T},{V1[:-1]}",
        f"{T},{V1}0",
        f"{T},v1=",
        f"{T}," + ",".join([V1] * 50),
        f"t={'9' * 400},{V1}",
    ],
)
def test_what_is_no_signature_of_this_body_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        check(header, SECRET, BODY, NOW)


def test_another_body_or_secret_is_refused() -> None:
    for secret, body in ((SECRET, BODY + b" "), (SECRET + "x", BODY), ("", BODY)):
        with pytest.raises(SignatureInvalid, match="does not belong"):
            check(GOOD, secret, body, NOW)


@pytest.mark.parametrize("seconds", [-TOLERANCE, 0, TOLERANCE])
def test_a_signature_is_good_within_the_window(seconds: int) -> None:
    check(GOOD, SECRET, BODY, NOW + seconds)


@pytest.mark.parametrize("seconds", [-TOLERANCE - 1, TOLERANCE + 0.5, 10**9])
def test_a_signature_outside_the_window_is_refused(seconds: float) -> None:
    with pytest.raises(SignatureInvalid, match="300 s"):
        check(GOOD, SECRET, BODY, NOW + seconds)


def test_a_secret_that_was_replaced_is_good_while_it_is_listed() -> None:
    signed = sign("the former secret", BODY, NOW)
    check(signed, "the secret of today", BODY, NOW, former=["another", "the former secret"])
    with pytest.raises(SignatureInvalid):
        check(signed, "the secret of today", BODY, NOW, former=["another"])
