"""The rules of accounts that need no server."""

from unittest.mock import Mock

import pytest

from app.domain import User, utc_now
from app.errors import Invalid, InvalidCredentials
from app.services.accounts import Accounts
from app.settings import Settings
from app.stores.accounts import TokenFamilies, Users
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
    return Accounts(KeptUsers(Users), Mock(TokenFamilies), Mock(Revocations, seconds=960), api_settings)


def test_an_email_address_is_kept_in_lower_case_and_trimmed(accounts: Accounts) -> None:
    assert accounts.register(" Max@Example.org ", "long enough").email == "max@example.org"
    assert accounts.login("MAX@example.org", "long enough").user.email == "max@example.org"


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
    from app.services import accounts as module

    accounts.register("max@example.org", "long enough")
    hasher = Mock(wraps=module._HASHER)
    monkeypatch.setattr(module, "_HASHER", hasher)
    answers = []
    for email in ("max@example.org", "nobody@example.org"):
        with pytest.raises(InvalidCredentials) as caught:
            accounts.login(email, "wrong password")
        answers.append((caught.value.message, caught.value.details))
    assert answers[0] == answers[1]
    known, unknown = (call.args[0].split("$")[:4] for call in hasher.verify.call_args_list)
    assert known == unknown, "the same algorithm with the same costs"


def test_the_removers_run_before_the_account_goes(api_settings: Settings) -> None:
    order: list[str] = []
    users = Mock(Users)
    users.remove.side_effect = order.append
    families = Mock(TokenFamilies)
    families.of_user.return_value = []

    def remover(user_id: str) -> None:
        order.append(f"data of {user_id}")

    Accounts(users, families, Mock(Revocations, seconds=1), api_settings, [remover]).remove("max")
    assert order == ["data of max", "max"]


def test_revoked_families_of_the_last_quarter_hour_are_restored(api_settings: Settings) -> None:
    families = Mock(TokenFamilies)
    families.revoked_since.return_value = ["a", "b"]
    revocations = Mock(Revocations, seconds=960)
    Accounts(Mock(Users), families, revocations, api_settings).restore()
    assert [call.args for call in revocations.add.call_args_list] == [("a",), ("b",)]
    [since] = families.revoked_since.call_args.args
    assert 959 < (utc_now() - since).total_seconds() < 970
