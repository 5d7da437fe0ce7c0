"""The signature of webhooks, the same on those that come in and on those that go out.

It is `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`, so that neither the body nor its time can
be changed, and a recorded request is worth nothing a few minutes later.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from app.errors import SignatureInvalid

HEADER = "X-Lapwise-Signature"
TOLERANCE = 300  # seconds between the signature's time and ours, either way
LONGEST = 1_000  # characters of a header: room for several signatures
_TIME = re.compile(r"t=([0-9]{1,12})")
_SIGNATURE = re.compile(r"v1=([0-9a-fA-F]{64})")


def sign(secret: str, body: bytes, time: int) -> str:
    """The header for a body sent at a Unix time.

    >>> sign("secret", b"{}", 1700000000)
    't=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163'
    """
    return f"t={time},v1={_digest(secret, str(time), body)}"


def check(header: str | None, secret: str, body: bytes, now: float, *, former: Sequence[str] = ()) -> None:
    """Nothing, for a header that was made with the secret for this body a moment ago.

    There may be several `v1=` values, as a sender gives while its secret is being changed: one good one is
    enough.

    Parameters
    ----------
    former
        Secrets that were replaced and are still good, while senders change theirs.

    Raises
    ------
    SignatureInvalid
    """
    time, signatures = _parts(header)
    if abs(now - int(time)) > TOLERANCE:
        raise SignatureInvalid(f"the signature's time is more than {TOLERANCE} s from ours; sign it anew")
    expected = [_digest(one, time, body) for one in (secret, *former)]
    # every one is compared, so that the time taken tells nothing
    if not any([hmac.compare_digest(good, one.lower()) for good in expected for one in signatures]):
        raise SignatureInvalid("the signature does not belong to this body and secret")


def _parts(header: str | None) -> tuple[str, list[str]]:
    if not header or len(header) > LONGEST:
        raise SignatureInvalid(f"sign the request in {HEADER}: t=<unix seconds>,v1=<hex HMAC-SHA256>")
    parts = [part.strip() for part in header.split(",")]
    times = [match[1] for part in parts if (match := _TIME.fullmatch(part))]
    signatures = [match[1] for part in parts if (match := _SIGNATURE.fullmatch(part))]
    if len(times) != 1 or not signatures or len(times) + len(signatures) != len(parts):
        raise SignatureInvalid(f"{HEADER} must be t=<unix seconds>,v1=<hex HMAC-SHA256>")
    return times[0], signatures


def _digest(secret: str, time: str, body: bytes) -> str:
    return hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()
