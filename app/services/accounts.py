"""Who a driver is: accounts, passwords, and sign-ins that can be renewed and revoked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex

import structlog
from marshmallow import ValidationError
from marshmallow.validate import Email

from app.domain import User, new_id, utc_now
from app.errors import Invalid, InvalidCredentials, TokenRevoked, TooManySignIns, Unauthorized
from app.services import passwords
from app.settings import Settings
from app.stores.accounts import TokenFamilies, Users
from app.stores.guesses import Guesses
from app.stores.revocations import Revocations

EMAIL_LENGTH = 254  # RFC 5321

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What tokens are made from: the driver, the family, and the id its next refresh token must have."""

    user: User
    family_id: str
    refresh_jti: str


class Accounts:
    """Use cases of accounts.

    Parameters
    ----------
    settings
        `refresh_token_seconds` is used.
    removers
        Each is called with the id of a user who leaves and removes what it keeps of them.
    """

    def __init__(
        self,
        users: Users,
        families: TokenFamilies,
        revocations: Revocations,
        guesses: Guesses,
        settings: Settings,
        removers: Sequence[Callable[[str], None]] = (),
    ) -> None:
        self._users = users
        self._families = families
        self._revocations = revocations
        self._guesses = guesses
        self._refresh_time = timedelta(seconds=settings.refresh_token_seconds)
        self._removers = removers

    def register(self, email: str, password: str, display_name: str | None = None) -> User:
        """A new account.

        Raises
        ------
        Invalid, EmailTaken
        """
        address, now = checked_email(email), utc_now()
        passwords.check(password, address, display_name)
        password_hash = passwords.hashed(password)
        user = User(
            id=self._users.id_for(address, now),
            email=address,
            password_hash=password_hash,
            display_name=display_name,
            created_at=now,
        )
        self._users.add(user)
        return user

    def login(self, email: str, password: str, network: str) -> Grant:
        """A new token family.

        Parameters
        ----------
        network
            Where the driver signs in from.

        Raises
        ------
        InvalidCredentials, TooManySignIns
            Alike, and after the same work, for an unknown address and a wrong password.
        """
        address = normalised(email)
        if wait := self._guesses.wait(address, network):
            raise TooManySignIns(retryAfter=wait)
        user = self._users.find_by_email(address)
        if not passwords.is_right(password, user.password_hash if user else None) or user is None:
            self._guesses.failed(address, network)
            raise InvalidCredentials
        self._guesses.succeeded(address, network)
        if passwords.is_outdated(user.password_hash):
            self._users.change_hash(user, passwords.hashed(password))
        grant = Grant(user=user, family_id=new_id(), refresh_jti=token_hex(16))
        self._families.add(grant.family_id, user.id, grant.refresh_jti, utc_now() + self._refresh_time)
        return grant

    def refresh(
        self, user_id: str, family_id: str, refresh_jti: str, *, leeway: timedelta = timedelta(0)
    ) -> Grant:
        """The next tokens of a family; the refresh token shown is spent by it.

        Parameters
        ----------
        leeway
            For so long a token that was just spent gives again what it was spent on: two tabs may ask at the
            same moment, or an answer may not arrive.

        Raises
        ------
        TokenRevoked
            The token was spent before. Whoever holds the newer one may have stolen it, so the family ends.
        """
        user, new_jti, now = self.get(user_id), token_hex(16), utc_now()
        if not self._families.rotate(
            family_id, old_jti=refresh_jti, new_jti=new_jti, now=now, life=self._refresh_time
        ):
            successor = self._families.find_successor(family_id, refresh_jti, now - leeway)
            if not (leeway and successor):
                self.logout(family_id)
                raise TokenRevoked
            new_jti = successor
        return Grant(user=user, family_id=family_id, refresh_jti=new_jti)

    def logout(self, family_id: str) -> None:
        """Ends a family: no token of it is good from now on."""
        self._families.revoke(family_id, utc_now())
        self._revocations.add(family_id)

    def is_revoked(self, family_id: str) -> bool:
        return self._revocations.has(family_id, lambda: self._families.is_revoked(family_id))

    def get(self, user_id: str) -> User:
        """The account behind a token.

        Raises
        ------
        Unauthorized
            It has been removed.
        """
        user = self._users.find(user_id)
        if user is None:
            raise Unauthorized
        return user

    def remove(self, user_id: str) -> None:
        """Removes an account and all that is kept of it.

        The account goes last, so a removal that was cut off is found and ended by `resume_removal`.
        """
        self._users.begin_removal(user_id, utc_now())
        self._logout_everywhere(user_id)
        for remover in self._removers:
            remover(user_id)
        self._users.remove(user_id)
        self._logout_everywhere(user_id)  # whoever signed in meanwhile

    def resume_removal(self) -> None:
        """Ends the removal of one account that was cut off, if there is any."""
        user_id = self._users.take_unfinished_removal(utc_now())
        if user_id is not None:
            log.warning("removal_resumed", user_id=user_id)
            self.remove(user_id)

    def restore(self) -> None:
        """Tells Redis again, after it was emptied, which families are revoked."""
        since = utc_now() - timedelta(seconds=self._revocations.seconds)
        for family_id in self._families.revoked_since(since):
            self._revocations.add(family_id)

    def _logout_everywhere(self, user_id: str) -> None:
        for family_id in self._families.of_user(user_id):
            self.logout(family_id)


def normalised(email: str) -> str:
    """The form in which an address is kept and compared.

    >>> normalised(" Max@Example.org ")
    'max@example.org'
    """
    return email.strip().lower()


def checked_email(email: str) -> str:
    """A normalised address that can be one, or `Invalid`."""
    address = normalised(email)
    try:
        Email()(address)
    except ValidationError as exc:
        raise Invalid(email=["Not a valid email address."]) from exc
    if len(address) > EMAIL_LENGTH:
        raise Invalid(email=[f"Longer than maximum length {EMAIL_LENGTH}."])
    return address
