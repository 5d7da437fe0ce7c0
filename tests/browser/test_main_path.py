"""What a driver comes for, from the first visit on, in a real browser on the whole platform."""

import re
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from app.local.child import ChildPlatform
from tests.browser.driving import PASSWORD, Watch, register
from tests.factories import TRACK, session_file

REAL = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TIME = re.compile(r"^\d:\d\d\.\d{3}$")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two sessions: a driver's own where the real ones lie beside the project, else simulated."""
    real = sorted((REAL / "f1_testing").glob("ALB_p*.csv.gz"))[:2]
    return real or [session_file(tmp_path, index=index, laps=10) for index in (1, 2)]


def test_a_driver_registers_uploads_watches_and_reads_the_version(
    page: Page, watch: Watch, files: list[Path]
) -> None:
    watch.expected = {422}  # the first answer to a file that does not name its track
    register(page, "Ann")
    page.get_by_label("Choose files").set_input_files(files)
    rows = page.locator(".file")
    expect(rows.get_by_label("Which track?")).to_have_count(len(files), timeout=20_000)
    rows.first.get_by_label("Which track?").fill(TRACK)
    rows.first.get_by_role("button", name="Try again").click()
    learn = page.get_by_role("button", name=f"Learn all {len(files)}")
    expect(learn).to_be_enabled(timeout=20_000)
    for row in rows.all():
        expect(row.locator(".figure", has_text="Best lap").locator("b")).to_have_text(TIME)
        expect(row.get_by_text("Laps that do not count")).to_be_visible()
        expect(row.locator("[data-job-status]")).to_have_count(0)  # nothing is learned yet
    learn.click()
    learned = rows.last.locator("[data-learned]")
    expect(learned).to_contain_text("Mean error", timeout=60_000)
    expect(rows.last.locator("progress").last).to_have_js_property("value", 1)
    learned.get_by_role("link", name="See version").click()
    expect(page).to_have_url(re.compile("/models/[0-9a-f]{24}$"))
    page.get_by_role("link", name="Home", exact=True).first.click()
    expect(page.locator(".track")).to_contain_text("version 1.0.")


def test_a_wrong_file_says_what_is_wrong_and_is_no_session(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expected = {415, 422}
    register(page, "Bea")
    page.goto("/upload")
    noise, empty = tmp_path / "holiday.jpg", tmp_path / "empty.csv"
    noise.write_bytes(b"\xff\xd8\xff\xe0 no telemetry")
    empty.write_text("lap,speed\n")
    page.get_by_label("Choose files").set_input_files([noise, empty])
    for name in (noise.name, empty.name):
        row = page.locator(".file", has=page.get_by_role("heading", name=name))
        expect(row.locator("[data-status]")).to_have_text("not taken")
        expect(row.locator("[data-told]")).not_to_be_empty()
    page.goto("/")
    expect(page.get_by_role("button", name="Load simulated sessions")).to_be_visible()


def test_simulated_sessions_come_with_one_click_and_their_jobs_are_watched(page: Page) -> None:
    register(page, "Cleo")
    page.get_by_role("button", name="Load simulated sessions").click()
    expect(page.locator("#jobs .job").first).to_be_visible(timeout=20_000)
    expect(page.locator("#jobs")).to_be_hidden(timeout=60_000)
    expect(page.locator(".track")).to_contain_text("4 sessions")
    expect(page.locator(".track .ways")).not_to_contain_text("no model yet")


def test_a_job_that_waits_is_cancelled_and_an_upload_is_stopped(
    page: Page, platform: ChildPlatform, tmp_path: Path
) -> None:
    register(page, "Gus")
    worker = psutil.Process(platform.endpoints()["pids"]["worker"])
    stopped = [worker, *worker.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        page.get_by_role("button", name="Load simulated sessions").click()
        page.locator("#jobs [data-cancel]").last.click(timeout=20_000)
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.locator("#jobs .job").last.locator("[data-job-status]")).to_have_text("cancelled")
    finally:
        for process in stopped:
            process.resume()
    page.goto("/upload")
    page.route("**/racing-session/upload", lambda route: None)  # never answered
    page.get_by_label("Choose files").set_input_files(session_file(tmp_path, laps=4))
    page.get_by_role("button", name="Stop the upload").click()
    expect(page.locator(".file")).to_have_count(0)


def test_signing_in_says_what_is_wrong_and_goes_back_to_where_one_was(page: Page, watch: Watch) -> None:
    watch.expected = {401, 409, 422}
    email, password = register(page, "Dora")
    page.get_by_role("button", name="Log out").click()
    page.goto("/upload")
    expect(page).to_have_url(re.compile(r"/login\?next=/upload$"))
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").filter(has_text="do not belong together")).to_be_visible()
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("/upload$"))
    page.get_by_role("button", name="Log out").click()
    page.goto("/register")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Open an account").click()
    expect(page.locator("#email-wrong")).to_contain_text("There is an account with this email address")


def test_an_expired_sign_in_is_renewed_without_being_seen(page: Page, watch: Watch) -> None:
    watch.expected = {401}
    register(page, "Eva")
    page.goto("/upload?from=here")
    for name in ("access_token_cookie", "csrf_access_token"):
        page.context.clear_cookies(name=name)
    page.reload()
    expect(page).to_have_url(re.compile(r"/upload\?from=here$"))
    page.goto("/")
    page.context.clear_cookies(name="access_token_cookie")
    page.get_by_role("button", name="Load simulated sessions").click()
    expect(page.locator(".track")).to_be_visible(timeout=20_000)
    tokens = page.evaluate("document.cookie")
    assert "token_cookie" not in tokens
    assert "csrf_access_token" in tokens


def test_the_whole_way_can_be_gone_by_keyboard(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expected = {422}  # the first answer to a file that does not name its track
    page.on("filechooser", lambda _: None)  # so that Chromium hands choosers over before a key opens one
    register(page, "Fay")
    page.wait_for_load_state("load")  # modules have run
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "Choose files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(session_file(tmp_path, laps=10))
    tab_to(page, "Track")
    page.keyboard.type(TRACK)
    expect(page.get_by_text("needs a track")).to_be_visible()
    tab_to(page, "Which track?")
    page.keyboard.type(TRACK)
    page.keyboard.press("Enter")
    expect(page.locator("[data-learn]")).to_be_visible(timeout=20_000)
    tab_to(page, "Learn it")
    page.keyboard.press("Enter")
    expect(page.locator("[data-learned]")).to_be_visible(timeout=60_000)
    tab_to(page, "See version 1.0.0")


def tab_to(page: Page, name: str) -> None:
    """Tabs on until what has the focus bears the name, which must show that it has it."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).strip() == name:
            assert page.evaluate("document.activeElement.matches(':focus-visible')")
            return
    raise AssertionError(f"no way by keyboard to {name!r}")


FOCUSED = """() => {
  const at = document.activeElement;
  return at.labels?.[0]?.textContent ?? at.textContent;
}"""
