"""Two laps laid over each other: one cursor and one zoom for all charts, by mouse and by keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Equipped
from tests.browser.driving import WIDE, Watch, settled
from tests.browser.quality import TRIES, frame_time
from tests.factories import session_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CHARTS, STEPS = 5, 20
LAPS, MOST_BYTES, FRAME_MS = 100, 150_000, 50
SAID = re.compile(
    r"^40 %: gap [+−]?\d\.\d{3}; speed \d+ and \d+; throttle \d+ % and \d+ %; brake .+; gear \d and \d$"
)


@pytest.fixture
def session(chromium: Browser, url: str, equipped: Equipped, watch: Watch) -> Iterator[Page]:
    """A session's page, drawn."""
    context = chromium.new_context(base_url=url, viewport=WIDE, storage_state=equipped.cookies)
    opened = context.new_page()
    watch.over(opened)
    opened.goto(equipped.paths["session"])
    settled(opened)
    yield opened
    context.close()


def over(page: Page, name: str, across: float) -> None:
    """Moves the mouse over a chart."""
    chart = page.locator(f"[data-root={name}]")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + box["height"] / 2, steps=STEPS)
    page.evaluate("new Promise(requestAnimationFrame)")


def lines(page: Page) -> list[float]:
    """Where the cursor stands in each chart, in pixels of the window."""
    return [box["x"] for line in page.locator(".cursor:visible").all() if (box := line.bounding_box())]


def moved_to(page: Page, key: str) -> float:
    """Where the cursor stands in the first chart once a key has moved it."""
    page.get_by_label("Position on the lap").press(key)
    page.evaluate("new Promise(requestAnimationFrame)")
    return lines(page)[0]


def test_the_cursor_is_moved_over_any_chart_and_stands_in_all_and_on_the_map(session: Page) -> None:
    over(session, "gear", 0.5)
    speed, here = session.locator("[data-trace=speed] [data-value=b]"), session.locator("[data-here]")
    expect(speed).to_have_text(re.compile(r"^\d+$"))
    before, told = lines(session), here.text_content() or ""
    assert len(before) == CHARTS
    assert max(before) - min(before) < 1
    over(session, "throttle", 0.8)
    expect(here).not_to_have_text(told)
    assert min(lines(session)) - before[0] > 100
    told = here.text_content() or ""
    over(session, "map", 0.5)
    expect(here).not_to_have_text(told)
    expect(here).to_have_text(re.compile(r"^at \d+\.\d %, [+−]?\d\.\d{3} s in this stretch$"))


def test_cursor_and_zoom_are_moved_by_keys_alone(session: Page) -> None:
    slider = session.get_by_label("Position on the lap")
    places = [moved_to(session, key) for key in ("PageUp", "PageDown", "PageDown")]  # from the middle
    expect(slider).to_have_attribute("aria-valuetext", SAID)
    session.get_by_role("button", name="Closer").press("Enter")
    closer = [moved_to(session, key) for key in ("PageUp", "PageDown")]
    assert (closer[0] - closer[1]) / (places[1] - places[2]) == pytest.approx(2, rel=0.05)
    for _ in range(3):
        moved_to(session, "PageDown")  # out of what is shown, which follows
    assert len(lines(session)) == CHARTS


def test_other_laps_are_chosen_in_the_table_by_arrow_keys(session: Page) -> None:
    chosen = session.get_by_label(re.compile("^Lap .* as B$")).and_(session.locator(":checked"))
    chosen.focus()
    shown = session.locator("[data-shown=lap-b]")
    before = int(shown.text_content() or "")
    with session.expect_response(re.compile(rf"/charts/traces/\w+/\d+/{before - 1}\?")) as answer:
        session.keyboard.press("ArrowUp")
    assert answer.value.ok
    expect(shown).to_have_text(str(before - 1))
    assert session.url.endswith(f"&b={before - 1}")
    settled(session)
    session.reload()
    expect(shown).to_have_text(str(before - 1))


def test_two_of_a_hundred_laps_are_few_points_that_move_smoothly(session: Page, tmp_path: Path) -> None:
    id = uploaded(session, session_file(tmp_path, laps=LAPS))
    with session.expect_response(re.compile(f"/charts/traces/{id}")) as answer:
        session.goto(f"/sessions/{id}")
    assert len(answer.value.body()) < MOST_BYTES
    settled(session)
    assert session.locator("[data-lap]").count() == LAPS
    session.get_by_role("button", name="Closer").click()
    assert any(frame_time(session, lambda: dragged(session, "speed")) < FRAME_MS for _ in range(TRIES))


def uploaded(page: Page, file: Path) -> str:
    """The session of a file that the page's driver uploads."""
    (token,) = (one["value"] for one in page.context.cookies() if one["name"] == "csrf_access_token")
    sent = {"name": file.name, "mimeType": "application/gzip", "buffer": file.read_bytes()}
    answer = page.request.post(
        "/racing-session/upload",
        headers={"X-CSRF-TOKEN": token},
        multipart={"trackName": "a long day", "autoTrain": "false", "file": sent},
    )
    return str(answer.json()["session"]["id"])


def dragged(page: Page, name: str) -> None:
    """Pulls a chart to the left and back."""
    over(page, name, 0.7)
    page.mouse.down()
    over(page, name, 0.3)
    over(page, name, 0.7)
    page.mouse.up()
