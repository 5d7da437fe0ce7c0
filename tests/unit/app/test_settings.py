"""Settings come from the environment, and a missing or wrong one is named."""

from dataclasses import fields
from pathlib import Path

import pytest

from app.errors import SettingInvalid, SettingMissing
from app.settings import ClientSettings, LocalSettings, Settings

REQUIRED = {
    "LAPWISE_MONGO_URL": "mongodb://user:hunter2@db/",
    "LAPWISE_REDIS_URL": "redis://cache",
    "LAPWISE_SECRET_KEY": "hunter3 hunter3 hunter3",
    "LAPWISE_MODEL_KEY": "hunter4 hunter4 hunter4",
    "LAPWISE_WEBHOOK_SECRET": "hunter5 hunter5 hunter5",
}
README = Path(__file__).parents[3] / "README.md"


def test_required_settings_are_enough() -> None:
    settings = Settings.from_environment(REQUIRED)
    assert settings.queue_url == "redis://cache"
    assert settings.access_token_seconds == 900


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(SettingMissing, match=name):
        Settings.from_environment(REQUIRED | {name: " "})


def test_a_setting_of_the_wrong_type_is_named() -> None:
    with pytest.raises(SettingInvalid, match="LAPWISE_JOB_ATTEMPTS"):
        Settings.from_environment(REQUIRED | {"LAPWISE_JOB_ATTEMPTS": "many"})


@pytest.mark.parametrize("name", ["LAPWISE_SECRET_KEY", "LAPWISE_MODEL_KEY", "LAPWISE_WEBHOOK_SECRET"])
def test_a_secret_that_could_be_guessed_is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(SettingInvalid, match=name) as refused:
        Settings.from_environment(REQUIRED | {name: "swordfish"})
    assert "swordfish" not in str(refused.value)


def test_no_secret_is_in_the_repr() -> None:
    assert "hunter" not in repr(Settings.from_environment(REQUIRED))


@pytest.mark.parametrize("kind", [Settings, LocalSettings, ClientSettings])
def test_every_setting_is_in_the_readme(kind: type[Settings | LocalSettings | ClientSettings]) -> None:
    readme = README.read_text()
    missing = [field.name for field in fields(kind) if f"`LAPWISE_{field.name.upper()}`" not in readme]
    assert missing == []


@pytest.mark.parametrize(("text", "meant"), [("true", True), ("1", True), ("False", False), ("no", False)])
def test_a_flag_is_written_in_words_or_digits(text: str, meant: bool) -> None:
    settings = Settings.from_environment(REQUIRED | {"LAPWISE_WEBHOOK_ALLOW_PRIVATE": text})
    assert settings.webhook_allow_private is meant


def test_a_flag_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(SettingInvalid, match="LAPWISE_WEBHOOK_ALLOW_PRIVATE"):
        Settings.from_environment(REQUIRED | {"LAPWISE_WEBHOOK_ALLOW_PRIVATE": "perhaps"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAPWISE_SECRET_KEY_OLD", "long enough for a key, short"),
        ("LAPWISE_METRICS_TOKEN", "short"),
        ("LAPWISE_CORS_ORIGINS", "*"),
        ("LAPWISE_CORS_ORIGINS", "https://example.org/"),
        ("LAPWISE_CORS_ORIGINS", "https://.*, https://example.org"),
        ("LAPWISE_TRUSTED_PROXIES", "one"),
        ("LAPWISE_TRUSTED_PROXIES", "-1"),
    ],
)
def test_a_setting_of_the_doors_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=name):
        Settings.from_environment(REQUIRED | {name: value})
