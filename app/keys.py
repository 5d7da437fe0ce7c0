"""Keys with their successors: one signs and seals, former ones still open what they made."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import SecretUnreadable


@dataclass(frozen=True)
class KeyRing:
    """The key of today, and former ones, newest first."""

    current: bytes = field(repr=False)
    former: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def all(self) -> tuple[bytes, ...]:
        return (self.current, *self.former)

    @property
    def current_id(self) -> str:
        return key_id(self.current)


def key_id(key: bytes) -> str:
    """Tells keys apart, and nothing of a key."""
    return hmac.new(key, b"lapwise-key-id", hashlib.sha256).hexdigest()[:16]


def with_id(keys: Sequence[bytes], wanted: str | None) -> tuple[bytes, ...]:
    """The key of an id, if it is among the keys; all of them where the id is not known.

    >>> with_id([b"new", b"old"], key_id(b"old")), with_id([b"new", b"old"], None)
    ((b'old',), (b'new', b'old'))
    """
    return tuple(key for key in keys if wanted is None or key_id(key) == wanted)


class Seal:
    """Encrypts texts that lie in the database, for one purpose, with keys derived from a ring's by HKDF.

    Source: RFC 5869; Fernet is AES-128-CBC with HMAC-SHA256.

    Parameters
    ----------
    purpose
        Texts sealed for another one do not open.
    """

    def __init__(self, keys: KeyRing, purpose: str) -> None:
        self._current = _fernet(keys.current, purpose)
        self._all = MultiFernet([_fernet(key, purpose) for key in keys.all])

    def close(self, text: str) -> str:
        """The text, sealed with the key of today."""
        return self._current.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed with any of the keys.

        Raises
        ------
        SecretUnreadable
        """
        try:
            return self._all.decrypt(sealed).decode()
        except InvalidToken as exc:
            raise SecretUnreadable from exc

    def is_current(self, sealed: str) -> bool:
        """Whether the key of today sealed it."""
        try:
            self._current.decrypt(sealed)
        except InvalidToken:
            return False
        return True


def _fernet(key: bytes, purpose: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lapwise {purpose}".encode()).derive(key)
    return Fernet(urlsafe_b64encode(derived))
