"""How tests drive the dashboard, and what they watch meanwhile."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, Response, expect

OUTPUT = Path(__file__).parents[2] / "output" / "browser"  # screenshots, kept after the run and not in git
PASSWORD = "eleven fast laps"
WIDE, NARROW = {"width": 1600, "height": 1000}, {"width": 360, "height": 740}
REFUSED = re.compile(r"the server responded with a status of (4\d\d)")  # Chromium tells of these as errors


@dataclass
class Watch:
    """What went wrong in a page without anybody seeing it.

    `expected` are statuses of answers that a test provokes.
    """

    expected: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            self.problems.append(f"{message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status}: {response.request.method} {response.url}")


def register(page: Page, name: str) -> tuple[str, str]:
    """Opens an account as a driver would; its address and password."""
    email = f"{name.lower()}-{secrets.token_hex(4)}@example.com"
    page.goto("/register")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Open an account").click()
    page.get_by_role("heading", name=f"Welcome, {name}").wait_for()
    page.wait_for_load_state()  # what needs a script is disabled until then
    return email, PASSWORD


def settled(page: Page) -> None:
    """Waits until nothing on the page is on its way."""
    page.wait_for_load_state("networkidle")
    expect(page.locator(".waits")).to_have_count(0, timeout=10_000)
