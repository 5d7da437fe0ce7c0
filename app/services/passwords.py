"""Passwords: which are refused, how they are kept, and how many are hashed at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from secrets import token_hex
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from zxcvbn import zxcvbn

from app.errors import Invalid, Overloaded

LENGTH = (10, 256)  # shorter is guessed; longer adds nothing and makes hashing a way to load us
FEWEST_GUESSES = 1_000_000  # more than anybody gets to make here, and than any that leaked often takes
WEIGHED = 32  # characters: enough to tell, and to weigh a wicked 72 takes a second
HASHED_AT_ONCE = 4  # in a process: threads that wait cost nothing, those that hash 19 MiB each
WAIT_SECONDS = 5.0  # for one of them to end

# OWASP's argon2id setting with the least memory; RFC 9106's 64 MiB would be heavy for a small machine.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_hashing = BoundedSemaphore(HASHED_AT_ONCE)
_weighing = Lock()  # zxcvbn keeps what it is given besides in a global


def hashed(password: str) -> str:
    """How a password is kept.

    Raises
    ------
    Overloaded
        Too many are being hashed.
    """
    with _slot():
        return _HASHER.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether a password is the one kept; where none is kept it takes the same work to say no.

    Raises
    ------
    Overloaded
        Too many are being hashed.
    """
    nobodys = _nobodys_hash()
    with _slot():
        try:
            return _HASHER.verify(kept or nobodys, password) and kept is not None
        except VerifyMismatchError:
            return False


@cache
def _nobodys_hash() -> str:
    """Of a password that nobody has; asked for, needed or not, so that the time to make it tells nothing."""
    return hashed(token_hex())


def is_outdated(kept: str) -> bool:
    """Whether a password was hashed with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


def check(password: str, *known: str | None) -> None:
    """Refuses a password that is short, endless, or soon guessed.

    Parameters
    ----------
    known
        What others know of its driver, such as the email address.

    Raises
    ------
    Invalid
    """
    shortest, longest = LENGTH
    if not shortest <= len(password) <= longest:
        raise Invalid(password=[f"Length must be between {shortest} and {longest}."])
    with _weighing:
        weighed = zxcvbn(password[:WEIGHED], [text[:WEIGHED] for text in _parts(known)])
    if weighed["guesses"] < FEWEST_GUESSES:
        raise Invalid(password=["Too easy to guess: take several words that do not belong together."])


def _parts(known: tuple[str | None, ...]) -> Iterator[str]:
    for text in filter(None, known):
        yield from (text, text.partition("@")[0], *re.split(r"\W+", text))


@contextmanager
def _slot() -> Iterator[None]:
    if not _hashing.acquire(timeout=WAIT_SECONDS):
        raise Overloaded
    try:
        yield
    finally:
        _hashing.release()
