"""Static files of the dashboard: kept for good under their digest, and nothing else is given out."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import app.web

STATIC = Path(app.web.__file__).parent / "static"
JS = STATIC / "js"
GZIP = {"Accept-Encoding": "gzip, deflate, br, zstd"}


def current(stranger: FlaskClient) -> str:
    """The version that pages name now."""
    found = re.search(r'href="/static/([0-9a-f]{16})/css/app.css"', stranger.get("/login").text)
    assert found is not None
    return found[1]


def test_a_file_under_its_digest_is_kept_for_good(stranger: FlaskClient) -> None:
    answer = stranger.get(f"/static/{current(stranger)}/js/api.js", headers=GZIP)
    assert answer.mimetype == "text/javascript"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert gzip.decompress(answer.data) == (JS / "api.js").read_bytes()
    assert stranger.get(f"/static/{current(stranger)}/js/api.js").data == (JS / "api.js").read_bytes()


def test_a_file_of_another_version_is_not_kept(stranger: FlaskClient) -> None:
    answer = stranger.get("/static/0123456789abcdef/css/app.css")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


def test_bokeh_comes_from_its_package(stranger: FlaskClient) -> None:
    answer = stranger.get(f"/static/{current(stranger)}/bokeh.min.js", headers=GZIP)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) < 400_000
    assert b"Bokeh" in gzip.decompress(answer.data)[:5_000]


@pytest.mark.parametrize(
    "name", ["no-such.js", "../blueprint.py", "js/../../words.py", "js", "%2e%2e/words.py"]
)
def test_nothing_else_is_given_out(stranger: FlaskClient, name: str) -> None:
    assert stranger.get(f"/static/{current(stranger)}/{name}").status_code == 404


def test_modules_load_nothing_from_elsewhere_and_need_no_eval() -> None:
    for module in JS.glob("*.js"):
        text = module.read_text()
        assert set(re.findall(r'from "([^"]+)"', text)) <= {f"./{path.name}" for path in JS.glob("*.js")}
        assert not re.search(r"https?://|\beval\(|new Function|import\(", text), module.name


def test_pages_hold_no_script_and_no_style_of_their_own() -> None:
    for template in (STATIC.parent / "templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(
            r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?://(?!www.w3)", text
        ), template
