"""What a driver does with a model: predict, replay a lap live, roll back, share, delete."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import Equipped
from tests.browser.driving import NARROW, OUTPUT, WIDE, Watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TIME = re.compile(r"^\d:\d\d\.\d{3}$")
VERDICT = re.compile(
    r"^Driven\. At the line it said \S+, [+−]?\d.* at half the lap it said \S+, [+−]?\d.*\.$"
)
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


def test_on_a_narrow_screen_the_answer_is_in_sight_above_whichever_slider_is_moved(
    mine: Page, equipped: Equipped
) -> None:
    mine.set_viewport_size(NARROW | {"height": 500})  # less than the sliders take
    mine.goto(equipped.paths["predict"])
    answer, sliders = mine.locator(".answer"), mine.locator("[data-predict] [type=range]")
    expect(mine.locator("[data-lap-time]")).to_have_text(TIME)
    for slider in [*reversed(sliders.all()), *sliders.all()]:
        slider.press("ArrowLeft")
        expect(answer).to_be_in_viewport(ratio=1)
        assert bottom(mine.locator(".top")) - 1 <= top(answer)
        assert bottom(answer) < top(slider)
    mine.screenshot(path=OUTPUT / "answered-light-360.png")
    mine.emulate_media(color_scheme="dark")
    mine.screenshot(path=OUTPUT / "answered-dark-360.png")


def top(shown: Locator) -> float:
    """In pixels of the window."""
    return float(shown.evaluate("one => one.getBoundingClientRect().top"))


def bottom(shown: Locator) -> float:
    return float(shown.evaluate("one => one.getBoundingClientRect().bottom"))


def test_a_recorded_lap_is_predicted_live_until_its_end(mine: Page, equipped: Equipped) -> None:
    mine.goto(equipped.paths["predict"])
    live = mine.locator("[data-live]")
    expect(live.locator("#lap option").first).to_be_attached()
    live.get_by_label("Speed").fill("10")
    live.get_by_role("button", name="Play").click()
    expect(live.locator("[data-band]")).to_have_text(BAND, timeout=10_000)
    expect(live.locator("[data-place]")).to_have_text("100 %", timeout=30_000)
    expect(live.locator("[data-said]")).to_have_text(VERDICT)
    mine.screenshot(path=OUTPUT / "replay-light-1600.png", full_page=True)
    mine.emulate_media(color_scheme="dark")
    mine.set_viewport_size(NARROW)
    mine.screenshot(path=OUTPUT / "replay-dark-360.png", full_page=True)
    assert abs(seconds(live.locator("[data-now]")) - seconds(live.locator("[data-real]"))) < 0.1


def test_a_replay_pauses_goes_on_and_stops(mine: Page, equipped: Equipped) -> None:
    mine.goto(equipped.paths["predict"])
    live = mine.locator("[data-live]")
    live.get_by_role("button", name="Play").click()
    expect(live.locator("[data-place]")).to_have_text(re.compile(r"^[1-9]\d* %$"))
    live.get_by_role("button", name="Pause").press("Enter")
    expect(live.locator("[data-said]")).to_have_text("Paused.")
    mine.wait_for_timeout(300)  # answers that were on their way
    before = live.locator("[data-place]").text_content()
    mine.wait_for_timeout(1_500)
    expect(live.locator("[data-place]")).to_have_text(before or "")
    live.get_by_role("button", name="Go on").press("Enter")
    expect(live.locator("[data-place]")).not_to_have_text(before or "")
    live.get_by_role("button", name="Stop").click()
    expect(live.locator("[data-said]")).to_have_text("Stopped.")
    expect(live.get_by_role("button", name="Play")).to_be_enabled()


def test_a_replay_whose_sign_in_ended_renews_it_and_goes_on(
    mine: Page, equipped: Equipped, watch: Watch
) -> None:
    opened: list[WebSocketRoute] = []
    mine.route_web_socket(
        re.compile("/live"), lambda route: (opened.append(route), route.connect_to_server())
    )
    watch.expected = {401}
    mine.goto(equipped.paths["predict"])
    live = mine.locator("[data-live]")
    live.get_by_label("Speed").fill("10")
    live.get_by_role("button", name="Play").click()
    expect(live.locator("[data-place]")).to_have_text(re.compile(r"^[1-9]\d %$"))
    mine.context.clear_cookies(name="access_token_cookie")
    with mine.expect_response("**/login/renew") as renewal:
        opened[0].close(code=4401, reason="the token has expired")
    assert renewal.value.status == 204
    expect(live.locator("[data-said]")).to_have_text(VERDICT, timeout=30_000)
    assert len(opened) == 2


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
