"""What a driver does by hand with versions: train one, compare two, bring one in from a file."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Equipped
from tests.browser.driving import OUTPUT, WIDE, Watch, register, settled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SIGNED_SECONDS = re.compile(r"^[+−]\d+\.\d{3} s$")
DROP = """([selector, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  const at = document.querySelector(selector);
  at.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def mine(chromium: Browser, url: str, equipped: Equipped, watch: Watch) -> Page:
    """A tab of the driver who has models of all types."""
    context = chromium.new_context(base_url=url, viewport=WIDE, storage_state=equipped.cookies)
    opened = context.new_page()
    watch.over(opened)
    return opened


def test_models_are_trained_by_hand_and_compared(mine: Page, equipped: Equipped, watch: Watch) -> None:
    watch.expected = {422}  # the first answer to the training
    mine.goto(equipped.paths["train"])
    mine.get_by_label("Algorithm").select_option("linear")
    mine.get_by_label("learning rate").fill("9")
    mine.get_by_role("button", name="None").press("Enter")
    train = mine.get_by_role("button", name="Train", exact=True)
    train.press("Enter")
    expect(mine.locator("#sessionIds-wrong")).to_have_text("Choose at least one session.")
    mine.get_by_label("Simulated session 1").press("Space")
    train.press("Enter")
    expect(mine.locator("#learning_rate-wrong")).to_have_text("must be between 1e-05 and 0.05")
    expect(mine.get_by_label("learning rate")).to_be_focused()
    mine.get_by_label("learning rate").fill("0.01")
    train.press("Enter")
    expect(mine.locator("[data-result]")).to_contain_text("Version2.0.0", timeout=30_000)
    mine.get_by_label("Algorithm").select_option("nearest_moments")
    train.press("Enter")
    expect(mine.locator("[data-result]")).to_contain_text("Version3.0.0", timeout=30_000)
    mine.get_by_role("link", name="See version 3.0.0").press("Enter")
    expect(mine.locator(".facts")).to_contain_text("algorithm nearest_moments, was linear")
    settled(mine)
    mine.screenshot(path=OUTPUT / "trained-light-1600.png", full_page=True)
    mine.get_by_role("link", name="Compare two").press("Enter")
    expect(mine.get_by_role("row", name="Algorithm")).to_contain_text("differs")
    expect(mine.get_by_role("row", name="Mean error")).to_contain_text("better")
    expect(mine.get_by_text("learned by 2.0.0 and 3.0.0")).to_have_count(1)
    mine.get_by_role("button", name="Compare on these laps").press("Enter")
    result = mine.get_by_role("region", name="Result")
    expect(result.get_by_role("heading")).to_have_text(re.compile("certain"), timeout=30_000)
    expect(result).to_be_focused()
    against = result.locator(".figure", has_text="B against A").locator("b")
    expect(against).to_have_text(SIGNED_SECONDS)
    mine.screenshot(path=OUTPUT / "compared-light-1600.png", full_page=True)
    mine.reload()
    expect(against).to_have_text(SIGNED_SECONDS)


def test_a_model_file_is_refused_brought_in_and_known_again(
    mine: Page, page: Page, equipped: Equipped, watch: Watch, tmp_path: Path
) -> None:
    watch.expected = {409, 422}
    bundle = tmp_path / "mine.lapwise"
    exported = mine.request.get(f"/ai-model/{equipped.paths['model'].split('/')[-1]}/export")
    bundle.write_bytes(exported.body())
    register(page, "Ira")
    page.get_by_role("link", name="Import a model").click()
    expect(page.get_by_label("Choose a model file")).to_be_enabled()
    page.evaluate(DROP, ["[data-import]", "notes.txt", "no model"])
    wrong = page.locator("#bundle-wrong")
    expect(wrong).to_contain_text("notes.txt was not taken")
    page.get_by_label("Choose a model file").set_input_files(bundle)
    expect(page.locator("[data-result]")).to_contain_text("is in as version 1.0.0, and active")
    expect(wrong).to_be_hidden()
    page.get_by_label("Choose a model file").set_input_files(bundle)
    expect(wrong).to_contain_text("this model is version 1.0.0 already")
    wrong.get_by_role("link", name="See version 1.0.0").click()
    expect(page.get_by_text("imported; it was version").first).to_be_visible()
    settled(page)
