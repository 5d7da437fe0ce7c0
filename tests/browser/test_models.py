"""What a driver does with a model: predict, replay a lap live, roll back, share, delete."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Equipped
from tests.browser.driving import WIDE, Watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TIME = re.compile(r"^\d:\d\d\.\d{3}$")
BAND = re.compile(r"^\d:\d\d\.\d{3} and \d:\d\d\.\d{3}$")


@pytest.fixture
def mine(chromium: Browser, url: str, equipped: Equipped, watch: Watch) -> Page:
    """A tab of the driver who has models of all types."""
    context = chromium.new_context(base_url=url, viewport=WIDE, storage_state=equipped.cookies)
    opened = context.new_page()
    watch.over(opened)
    return opened


def test_a_moment_of_a_lap_is_predicted_as_its_sliders_move(mine: Page, equipped: Equipped) -> None:
    mine.goto(equipped.paths["predict"])
    predicted = mine.locator("[data-lap-time]")
    expect(predicted).to_have_text(TIME)
    before = predicted.text_content()
    mine.get_by_label("Seconds since the start").fill("70")
    expect(predicted).not_to_have_text(before or "")
    expect(mine.locator("[data-interval]")).to_have_text(BAND)
    expect(mine.locator("[data-importance] li").first).to_be_visible()


def test_a_recorded_lap_is_predicted_live_until_its_end(mine: Page, equipped: Equipped) -> None:
    mine.goto(equipped.paths["predict"])
    live = mine.locator("[data-live]")
    expect(live.locator("#lap option").first).to_be_attached()
    live.get_by_label("Speed").fill("10")
    live.get_by_role("button", name="Play").click()
    expect(live.locator("[data-band]")).to_have_text(BAND, timeout=10_000)
    expect(live.locator("[data-place]")).to_have_text("100 %", timeout=30_000)
    expect(live.locator("[data-said]")).to_contain_text("At half the lap it said")
    assert abs(seconds(live.locator("[data-now]")) - seconds(live.locator("[data-real]"))) < 0.1


def seconds(shown: Locator) -> float:
    """A lap time as the page shows it."""
    minutes, rest = (shown.text_content() or "").split(":")
    return 60 * int(minutes) + float(rest)


def test_versions_are_rolled_back_shared_and_deleted(mine: Page, equipped: Equipped) -> None:
    mine.goto(equipped.paths["model"])
    versions = mine.get_by_role("region", name="Versions")
    versions.get_by_role("link").last.click()
    mine.get_by_role("button", name=re.compile("^Make .* active$")).click()
    mine.get_by_role("button", name="Make it active").click()
    expect(mine.locator(".head .tag")).to_have_text("active")
    mine.get_by_label("Their email address").fill("somebody@example.org")
    mine.get_by_role("button", name="Share", exact=True).click()
    mine.get_by_role("button", name="Stop sharing").click()
    expect(mine.get_by_text("Shared with nobody.")).to_be_visible()
    number = mine.locator("[data-number]").get_attribute("data-number")
    mine.get_by_role("button", name=f"Delete version {number}").click()
    mine.get_by_role("button", name="Delete it").click()
    expect(mine).to_have_url(re.compile("/tracks/"))
