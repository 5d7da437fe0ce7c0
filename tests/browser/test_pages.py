"""Every page in both themes, narrow and wide: nothing breaks, jumps or is held up, and all can use it."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from werkzeug.routing import Rule

from app import create_app
from app.settings import Settings
from tests.browser.conftest import Equipped
from tests.browser.driving import NARROW, OUTPUT, WIDE, Watch, settled
from tests.browser.quality import MEASURING, REACHABLE, all_stops, held_up, jumped, next_stop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OPEN = {"login": "/login", "register": "/register", "missing": "/no-such-page"}
PAGES = [
    *OPEN,
    *("home", "upload", "session", "track", "model", "predict", "sectors", "setup", "operations"),
    *("train", "compare", "bring_in"),
]
PARTS = {
    "web.renew",
    "web.predicted_chart",
    "web.operations_state",
    "web.laps_chart",
    "web.versions_chart",
    "web.traces_chart",
}  # answers to scripts and redirections; no pages
Contexts = dict[bool, BrowserContext]
FIRST_PAGE_MS = 1_500
HELD_UP_MS = 100
SERIOUS = ("serious", "critical")
# what can be pressed, chosen or moved, but for forms that the server takes; what is typed is not lost
PRESSABLE = ":is(button, select, [type=file], [type=range], [type=radio]):enabled:visible:not(form[method] *)"
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}}


@pytest.fixture(scope="module", params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def contexts(chromium: Browser, url: str, equipped: Equipped, theme: str) -> Iterator[Contexts]:
    """By whether a driver is signed in."""
    common: Any = {"base_url": url, "color_scheme": theme, "reduced_motion": "reduce"}
    stranger = chromium.new_context(**common)
    driver = chromium.new_context(**common, storage_state=equipped.cookies)
    for context in (stranger, driver):
        context.add_init_script(MEASURING)
    yield {False: stranger, True: driver}
    stranger.close()
    driver.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_open_to_all(
    contexts: Contexts, equipped: Equipped, watch: Watch, theme: str, name: str, size: Any
) -> None:
    tab = contexts[name not in OPEN].new_page()
    watch.expected = {404} if name == "missing" else set()
    watch.over(tab)
    tab.set_viewport_size(size)
    tab.goto(OPEN.get(name) or equipped.paths[name])
    settled(tab)
    assert jumped(tab) == []
    expect(tab.locator("[data-needs]")).to_have_count(0)
    assert held_up(tab) < HELD_UP_MS
    tab.screenshot(path=OUTPUT / f"{name}-{theme}-{size['width']}.png", full_page=True)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert serious(tab) == []
    stops = all_stops(tab)
    assert len(stops) == tab.evaluate(REACHABLE)
    assert [next_stop(tab, "Shift+Tab") for _ in stops] == [*reversed(stops)]
    tab.close()


@pytest.mark.parametrize("name", PAGES)
def test_without_its_script_nothing_can_be_pressed_in_vain_and_the_page_says_why(
    chromium: Browser, url: str, equipped: Equipped, name: str
) -> None:
    cookies = None if name in OPEN else equipped.cookies
    with chromium.new_context(base_url=url, storage_state=cookies, java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(OPEN.get(name) or equipped.paths[name])
        expect(tab.locator("h1")).to_be_visible()
        expect(tab.locator(PRESSABLE)).to_have_count(0)
        modules = tab.locator("script").count() - 1  # beside that of every page
        expect(tab.locator("noscript p:visible")).to_have_count(min(modules, 1))


def test_a_module_that_does_not_arrive_is_told_of_and_its_buttons_stay_off(
    chromium: Browser, url: str, equipped: Equipped
) -> None:
    with chromium.new_context(base_url=url, storage_state=equipped.cookies) as context:
        tab = context.new_page()
        tab.route("**/js/model.js", lambda route: route.abort())
        tab.goto(equipped.paths["model"])
        expect(tab.get_by_role("status")).to_contain_text("did not arrive")
        expect(tab.get_by_role("button", name=re.compile("^Delete version"))).to_be_disabled()
        expect(tab.get_by_label("Choose a model file")).to_be_enabled()  # its own module is there


def test_every_page_is_looked_at(equipped: Equipped) -> None:
    """A new page is added to `paths_of` in the fixtures, or here to those that need nobody signed in."""
    rules = {rule.endpoint for rule in pages() if rule.methods and "GET" in rule.methods}
    looked_at = {f"web.{name}" for name in (*OPEN, *equipped.paths)} - {"web.missing"}
    assert rules - PARTS == looked_at


def pages() -> list[Rule]:
    settings = Settings(
        mongo_url="mongodb://nowhere.invalid",
        redis_url="memory://",
        secret_key="a secret of the tests, long enough",
        model_key="another secret of the tests",
        webhook_secret="a third secret of the tests",
    )
    container: Any = SimpleNamespace(settings=settings, platform=SimpleNamespace(), live=None)
    rules = create_app(container=container).url_map.iter_rules()
    return [rule for rule in rules if rule.endpoint.startswith("web.")]


def serious(tab: Page) -> list[str]:
    """What axe-core finds that would keep somebody out."""
    found = Axe().run(tab, options=RULES).response["violations"]
    return [told(problem) for problem in found if problem["impact"] in SERIOUS]


def told(problem: dict[str, Any]) -> str:
    """What is wrong, and where."""
    places = [node["html"][:200] for node in problem["nodes"][:3]]
    return f"{problem['id']}: {problem['help']}: {places}"


def test_the_first_page_is_there_in_a_second_and_a_half(chromium: Browser, url: str) -> None:
    """The fastest of three, for others may use the machine; each with a cold cache."""
    assert min(first_load(chromium, url) for _ in range(3)) < FIRST_PAGE_MS


def first_load(chromium: Browser, url: str) -> float:
    """Milliseconds from nothing to the end of loading."""
    with chromium.new_context(base_url=url) as context:
        tab = context.new_page()
        tab.goto("/")
        return float(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))


def test_charts_are_drawn_in_the_theme_and_again_when_it_changes(
    chromium: Browser, url: str, equipped: Equipped, watch: Watch
) -> None:
    context = chromium.new_context(base_url=url, storage_state=equipped.cookies, color_scheme="light")
    tab = context.new_page()
    watch.over(tab)
    tab.goto(equipped.paths["track"])
    settled(tab)
    with tab.expect_response(re.compile("/charts/laps/.*theme=dark")) as answer:
        tab.get_by_role("button", name="Use the dark theme").click()
    assert answer.value.ok
    settled(tab)
    expect(tab.locator(".chart canvas").first).to_be_visible()
    tab.reload()
    expect(tab.locator("html")).to_have_attribute("data-theme", "dark")
    context.close()
