"""How commands show what they have: tables for people, tab-separated lines for pipes, JSON for scripts."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

NUMERIC = {"laps", "best lap", "sessions", "accuracy", "MAE (s)", "#", "time", "lap time", "low", "high"}
NUMERIC |= {"best", "loss", "value", "expected gain"}
_FIGURE = re.compile(r"[+-]?[0-9][0-9.:]*( ?[a-z%]{1,2})?")
WHOLE = {"id", "session", "job", "model", "best lap", "lap time", "version"}  # what is copied, or read as one


def lap_time(seconds: float | None) -> str:
    """A time as drivers write it.

    >>> lap_time(92.4168), lap_time(58.2), lap_time(119.9996), lap_time(None)
    ('1:32.417', '58.200', '2:00.000', '')
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes}:{rest / 1000:06.3f}" if minutes else f"{rest / 1000:.3f}"


def figure(value: float | None, digits: int = 3) -> str:
    """A number, nothing for none."""
    return "" if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share in percent.

    >>> share(0.4237)
    '42.4 %'
    """
    return "" if value is None else f"{value:.1%}".replace("%", " %")


def moment(text: str | None) -> str:
    """A time of the API to the minute, in UTC.

    >>> moment("2026-02-11T09:30:00.000Z")
    '2026-02-11 09:30'
    """
    return (text or "")[:16].replace("T", " ")


def as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: drivers choose names, and somebody opens the file.

    >>> as_text("=cmd|' /C calc'!A0"), as_text("-0.482"), as_text("+1.2 %"), as_text("monza")
    ("'=cmd|' /C calc'!A0", '-0.482', '+1.2 %', 'monza')
    """
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") and not _FIGURE.fullmatch(cell) else cell


class Show:
    """Writes results to stdout, all else to stderr, and that only for somebody who watches."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._watched = Console(stderr=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], data: Any) -> None:
        """Rows under their columns; `data` is what they were made of."""
        if self.as_json:
            click.echo(json.dumps(data, ensure_ascii=False))
        elif not sys.stdout.isatty():
            click.echo("\t".join(columns))
            for row in rows:
                click.echo("\t".join(map(as_text, row)))
        else:
            Console().print(_table(title, columns, rows))

    def note(self, text: str) -> None:
        """A word for whoever watches."""
        if self._watched.is_terminal and not self.as_json:
            self._watched.print(text, highlight=False, markup=False)

    @contextmanager
    def bars(self) -> Iterator["Bars"]:
        """Bars of progress, gone in the end."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        hidden = self.as_json or not self._watched.is_terminal
        with Progress(
            *columns, TimeRemainingColumn(), console=self._watched, transient=True, disable=hidden
        ) as progress:
            yield Bars(progress)


class Bars:
    """One bar for each thing under way, by its name."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, done: float, total: float | None) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for column in columns:
        right, whole = column in NUMERIC, column in WHOLE
        table.add_column(column, justify="right" if right else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
