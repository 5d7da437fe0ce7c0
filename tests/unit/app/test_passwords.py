"""Which passwords are refused, and that hashing them cannot fill a machine."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from unittest.mock import Mock

import pytest

from app.errors import Invalid, Overloaded
from app.services import passwords


@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "1234567890",
        "qwertyuiop",
        "Password123!",
        "P@ssw0rd1234",
        "iloveyou123",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "passwordpassword",
        "max.power@example.org",
        "Max.Power1",
        "Maximilian1",
        "hamilton44",
        "password" * 32,
    ],
)
def test_a_password_that_leaked_or_is_the_drivers_own_name_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        passwords.check(password, "max.power@example.org", "Maximilian Hamilton")
    assert caught.value.details["password"][0].startswith("Too easy to guess")


@pytest.mark.parametrize(
    "password", ["a long pass phrase", "correct horse battery", "long enough", "vX8#qLw!2z", "ключ от гаража"]
)
def test_a_password_of_words_or_of_chance_is_taken(password: str) -> None:
    passwords.check(password, "max@example.org", None)


def test_the_most_wicked_password_is_weighed_in_reasonable_time() -> None:
    started = time.perf_counter()
    with pytest.raises(Invalid):
        passwords.check("password" + "4@8({[<3!1|0$5+7%2"[:2] * 12 + "x" * 200)
    passwords.check("4@8({[<3!1|0$5+7%2" * 14, "a@" * 127)
    assert time.perf_counter() - started < 3, "the whole of it would take minutes"


def test_no_more_passwords_are_hashed_at_once_than_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, most, lock = [0], [0], Lock()

    def slow(*_args: str) -> str:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        with lock:
            inside[0] -= 1
        return "hash"

    monkeypatch.setattr(passwords, "_HASHER", Mock(hash=slow))
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(passwords.hashed, ["x"] * 16)) == ["hash"] * 16
    assert most == [passwords.HASHED_AT_ONCE]


def test_who_would_wait_long_for_a_hash_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    for _ in range(passwords.HASHED_AT_ONCE):
        passwords._hashing.acquire()
    try:
        with pytest.raises(Overloaded):
            passwords.is_right("a long pass phrase", None)
    finally:
        passwords._hashing.release(passwords.HASHED_AT_ONCE)
    assert not passwords.is_right("a long pass phrase", None)
