"""What tests in a browser share: the whole platform, Chromium, and drivers on both."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

from app.client import Client
from app.local.child import ChildPlatform
from tests.browser.driving import OUTPUT, WIDE, Watch, register

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-quic"),
]


@dataclass(frozen=True)
class Equipped:
    """A driver with simulated sessions and models of all types, who is an operator too."""

    cookies: StorageState
    paths: dict[str, str]  # of pages, by their names


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    with ChildPlatform(tmp_path_factory.mktemp("platform") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def url(platform: ChildPlatform) -> str:
    return str(platform.endpoints()["api"])


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Sees to it that no page broke its policy, logged an error or was answered with one."""
    watching = Watch()
    yield watching
    assert watching.problems == []


@pytest.fixture
def context(chromium: Browser, url: str) -> Iterator[BrowserContext]:
    made = chromium.new_context(base_url=url, viewport=WIDE, reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    """A tab of a browser in which nobody has signed in."""
    opened = context.new_page()
    watch.over(opened)
    return opened


@pytest.fixture(scope="session")
def equipped(chromium: Browser, url: str, platform: ChildPlatform) -> Equipped:
    context = chromium.new_context(base_url=url)
    email, password = register(context.new_page(), "Olga")
    make_admin(platform, email)
    with Client(url) as client:
        client.login(email, password)
        simulated = client.call("POST", "/racing-session/simulated")
        for job in simulated["jobs"]:
            client.wait(job["id"])
        session = simulated["sessions"][-1]
        version = client.call("GET", f"/ai-model/active/{session['trackName']}/lap_time_prediction")
    cookies = context.storage_state()
    context.close()
    return Equipped(cookies, paths_of(session, version))


def paths_of(session: dict[str, Any], version: dict[str, Any]) -> dict[str, str]:
    track = session["trackName"]
    return {
        "home": "/",
        "upload": "/upload",
        "session": f"/sessions/{session['id']}",
        "track": f"/tracks/{track}",
        "model": f"/models/{version['id']}",
        "train": f"/train/{track}",
        "compare": f"/compare?b={version['id']}",
        "bring_in": "/import",
        "predict": f"/predict/{version['id']}",
        "sectors": f"/sectors/{track}",
        "setup": f"/setup/{track}",
        "operations": "/operations",
    }


def make_admin(platform: ChildPlatform, email: str) -> None:
    command = [sys.executable, "-m", "app.cli", "user", "admin", email]
    environment = os.environ | {"LAPWISE_DATA_DIR": str(platform.data_dir)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
