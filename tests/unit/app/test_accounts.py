"""The rules of accounts that need no server."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from argon2 import PasswordHasher
from limits.storage import MemoryStorage

from app.domain import User, utc_now
from app.errors import Invalid, InvalidCredentials, TooManySignIns
from app.services import passwords
from app.services.accounts import Accounts
from app.settings import Settings
from app.stores.accounts import TokenFamilies, Users
from app.stores.guesses import Guesses
from app.stores.revocations import Revocations


class KeptUsers(Mock):
    """Keeps the last user added, and finds them by email."""

    kept: User | None = None

    def add(self, user: User) -> None:
        self.kept = user

    def find_by_email(self, email: str) -> User | None:
        return self.kept if self.kept and self.kept.email == email else None


@pytest.fixture
def accounts(api_settings: Settings) -> Accounts:
    return Accounts(
        KeptUsers(Users),
        Mock(TokenFamilies),
        Mock(Revocations, seconds=960),
        Guesses(MemoryStorage()),
        api_settings,
    )


def test_an_email_address_is_kept_in_lower_case_and_trimmed(accounts: Accounts) -> None:
    assert accounts.register(" Max@Example.org ", "long enough").email == "max@example.org"
    assert accounts.login("MAX@example.org", "long enough", "10.0.0.1").user.email == "max@example.org"


@pytest.mark.parametrize(
    "email", ["", "max", "max@", "@example.org", "a b@example.org", "a" * 250 + "@b.org"]
)
def test_what_cannot_be_an_email_address_is_refused(accounts: Accounts, email: str) -> None:
    with pytest.raises(Invalid) as caught:
        accounts.register(email, "long enough")
    assert list(caught.value.details) == ["email"]


@pytest.mark.parametrize("length", [0, 9, 257])
def test_a_password_is_neither_short_nor_endless(accounts: Accounts, length: int) -> None:
    with pytest.raises(Invalid) as caught:
        accounts.register("max@example.org", "x" * length)
    assert caught.value.details == {"password": ["Length must be between 10 and 256."]}


def test_a_password_is_kept_as_an_argon2id_hash_that_no_repr_shows(accounts: Accounts) -> None:
    user = accounts.register("max@example.org", "long enough")
    assert user.password_hash.startswith("$argon2id$")
    assert user.password_hash not in repr(user)


def test_an_unknown_address_costs_the_same_check_as_a_wrong_password(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.register("max@example.org", "long enough")
    hasher = Mock(wraps=passwords._HASHER)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    answers = []
    for email in ("max@example.org", "nobody@example.org"):
        with pytest.raises(InvalidCredentials) as caught:
            accounts.login(email, "wrong password", "10.0.0.1")
        answers.append((caught.value.message, caught.value.details))
    assert answers[0] == answers[1]
    known, unknown = (call.args[0].split("$")[:4] for call in hasher.verify.call_args_list)
    assert known == unknown, "the same algorithm with the same costs"


def test_a_password_hashed_with_former_parameters_is_hashed_anew_when_it_is_shown(accounts: Accounts) -> None:
    user = accounts.register("max@example.org", "long enough")
    users: Any = accounts._users
    users.kept = replace(user, password_hash=PasswordHasher(time_cost=1).hash("long enough"))
    accounts.login("max@example.org", "long enough", "10.0.0.1")
    [(changed, password_hash)] = [call.args for call in users.change_hash.call_args_list]
    assert changed == users.kept
    assert passwords.is_right("long enough", password_hash)
    assert not passwords.is_outdated(password_hash)


def test_failed_sign_ins_are_held_up_alike_for_known_and_unknown_addresses(accounts: Accounts) -> None:
    accounts.register("max@example.org", "long enough")
    waits = []
    for email in ("max@example.org", "nobody@example.org"):
        for _ in range(5):
            with pytest.raises(InvalidCredentials):
                accounts.login(email, "wrong password", "10.0.0.1")
        with pytest.raises(TooManySignIns) as caught:
            accounts.login(email, "long enough", "10.0.0.1")
        waits.append(caught.value.details["retryAfter"])
    assert abs(waits[0] - waits[1]) <= 1
    assert 1 <= waits[0] <= 60
    assert accounts.login("max@example.org", "long enough", "10.0.0.2").user.email == "max@example.org"


def test_the_removers_run_before_the_account_goes(api_settings: Settings) -> None:
    order: list[str] = []
    users = Mock(Users)
    users.remove.side_effect = order.append
    families = Mock(TokenFamilies)
    families.of_user.return_value = []

    def remover(user_id: str) -> None:
        order.append(f"data of {user_id}")

    Accounts(users, families, Mock(Revocations, seconds=1), Mock(Guesses), api_settings, [remover]).remove(
        "max"
    )
    assert order == ["data of max", "max"]


def test_revoked_families_of_the_last_quarter_hour_are_restored(api_settings: Settings) -> None:
    families = Mock(TokenFamilies)
    families.revoked_since.return_value = ["a", "b"]
    revocations = Mock(Revocations, seconds=960)
    Accounts(Mock(Users), families, revocations, Mock(Guesses), api_settings).restore()
    assert [call.args for call in revocations.add.call_args_list] == [("a",), ("b",)]
    [since] = families.revoked_since.call_args.args
    assert 959 < (utc_now() - since).total_seconds() < 970
