"""The page about security names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    defined = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 40
    assert named - defined == set()


def test_every_file_of_tests_that_the_page_names_exists() -> None:
    files = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)`", PAGE)
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []


def test_every_exception_from_a_security_rule_has_a_reason() -> None:
    root = TESTS.parent
    folders = ("app", "workers", "models_store", "learning", "bench")
    sources = [path for name in folders for path in (root / name).rglob("*.py")]
    bare = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if re.search(r"# noqa: S\d+\s*$", line) and line.index("#") == line.rindex("#")
    ]
    assert bare == []
