"""The bench's figures as a table, as Markdown, and in `bench/results.json`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from bench.figures import Figure

RESULTS = Path(__file__).with_name("results.json")
QUICK_RESULTS = Path(__file__).with_name("results-quick.json")
_COLUMNS = ("", "measured against", "median [min .. max]", "bar", "reached")
_LIBRARIES = ("flask", "gunicorn", "celery", "pymongo", "redis", "river", "numpy", "polars")
_REACHED = {True: "yes", False: "NO", None: ""}


def machine() -> dict[str, Any]:
    """What figures depend on besides the code; nothing that names the machine."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def load_average() -> float:
    """Of the last minute: how many processes wanted a core, the bench's own among them."""
    return round(os.getloadavg()[0], 2)


def save(row: str, told: Mapping[str, Any], file: Path = RESULTS) -> None:
    """Puts a row's figures and how they were measured in the place of its former ones."""
    kept = load(file)
    kept["machine"] = machine()
    kept.setdefault("rows", {})[row] = dict(told)
    file.write_text(json.dumps(kept, indent=2) + "\n")


def load(file: Path = RESULTS) -> dict[str, Any]:
    """What was measured so far; empty before the first row."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def table(title: str, figures: Iterable[Figure]) -> Table:
    """For a terminal."""
    found = Table(title=title, title_justify="left")
    for column, justify in zip(_COLUMNS, ("left", "left", "right", "right", "left"), strict=True):
        found.add_column(column, justify=justify)  # type: ignore[arg-type]  # a literal of rich's
    for figure in figures:
        found.add_row(*_cells(figure), style="bold red" if figure.is_reached is False else "")
    return found


def markdown(kept: Mapping[str, Any], rows: Sequence[str]) -> str:
    """The table of `docs/performance.md`, of the rows that were measured."""
    lines = ["| row | " + " | ".join(_COLUMNS) + " |", "|---" * (1 + len(_COLUMNS)) + "|"]
    for row in rows:
        figures = [Figure.of(one) for one in kept.get("rows", {}).get(row, {}).get("figures", ())]
        lines += [f"| `{row}` | " + " | ".join(_cells(figure)) + " |" for figure in figures]
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    amounts = [shown(value) for value in (figure.median, min(figure.values), max(figure.values))]
    unit = "" if figure.unit == "×" else f" {figure.unit}"
    bar = ""
    if figure.bar is not None:
        bar = f"{'≤' if figure.at_most else '≥'} {figure.bar:g}{unit}"
    measured = f"{amounts[0]} [{amounts[1]} .. {amounts[2]}]{unit}"
    return figure.what, figure.against, measured, bar, _REACHED[figure.is_reached]


def shown(value: float) -> str:
    """Three digits that count.

    >>> shown(0.6543), shown(28.41), shown(1234.5)
    ('0.654', '28.4', '1234')
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
