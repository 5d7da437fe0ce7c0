"""Rows of input that all give the same fields, by column: what is done to a column costs little a row."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from learning.history import Features
from learning.laps import Floats


class Ragged(NamedTuple):
    """Lists of numbers, one after another in `values`, with the length of each and whether it is given."""

    values: Floats
    lengths: NDArray[np.intp]
    given: NDArray[np.bool_] | None = None  # all, without it

    def padded(self, width: int) -> Floats:
        """Shape (m, width), each list's first values, then zeros."""
        table = np.zeros((len(self.lengths), max(width, int(self.lengths.max(initial=0)))))
        table[np.arange(table.shape[1]) < self.lengths[:, None]] = self.values
        return table[:, :width]

    def last(self) -> Floats:
        """The last of each list, NaN of an empty one."""
        last = np.full(len(self.lengths), np.nan)
        given = self.lengths > 0
        last[given] = self.values[np.cumsum(self.lengths)[given] - 1]
        return last

    def tolist(self) -> list[tuple[float, ...] | None]:
        values = iter(self.values.tolist())
        lists = [tuple(itertools.islice(values, length)) for length in self.lengths.tolist()]
        if self.given is None:
            return list(lists)
        return [one if given else None for one, given in zip(lists, self.given, strict=True)]


Column = Floats | Ragged | list[Any]  # numbers, NaN for none; lists of numbers; anything else, None for none


class Columns(Sequence[Features]):
    """Some rows as features; each is made into one of its own only when it is asked for.

    Parameters
    ----------
    columns
        By the names of the fields that any row has.
    """

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        self._columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    def has(self, name: str) -> bool:
        """Whether any row gives a field."""
        return name in self._columns

    def whole(self, name: str) -> bool:
        """Whether every row gives a field."""
        column = self._columns.get(name)
        if isinstance(column, np.ndarray):
            return not np.isnan(column).any()
        if isinstance(column, Ragged):
            return column.given is None or bool(column.given.all())
        return column is not None and None not in column

    @overload
    def __getitem__(self, index: int) -> Features: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Features]: ...
    def __getitem__(self, index: int | slice) -> Features | Sequence[Features]:
        return list(self)[index]

    def __iter__(self) -> Iterator[Features]:
        names = list(self._columns)
        for values in zip(*map(self.listed, names), strict=True):
            yield {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def only(self, chosen: NDArray[np.bool_]) -> "Columns":
        """Some of the rows, in their order."""
        columns = {name: _only(column, chosen) for name, column in self._columns.items()}
        return Columns(columns, int(chosen.sum()))

    def listed(self, name: str) -> list[Any]:
        """The values of a field; None in each row where it is not given."""
        column = self._columns.get(name)
        if column is None:
            return [None] * len(self)
        if isinstance(column, list):
            return column
        values: list[Any] = column.tolist()
        if isinstance(column, Ragged) or self.whole(name):
            return values
        return [None if math.isnan(value) else value for value in values]

    def numbers(self, name: str, default: float) -> Floats:
        """The values of a field of numbers, the default where one is not given."""
        column = self._columns.get(name)
        if not isinstance(column, np.ndarray):
            return np.full(len(self), default)
        return np.where(np.isnan(column), default, column)

    def lists(self, name: str) -> Ragged:
        """The values of a field of lists of numbers; empty ones where it is not given."""
        column = self._columns.get(name)
        if isinstance(column, Ragged):
            return column
        return Ragged(np.empty(0), np.zeros(len(self), dtype=np.intp))


def _only(column: Column, chosen: NDArray[np.bool_]) -> Column:
    if isinstance(column, Ragged):
        given = None if column.given is None else column.given[chosen]
        return Ragged(column.values[np.repeat(chosen, column.lengths)], column.lengths[chosen], given)
    return column[chosen] if isinstance(column, np.ndarray) else list(itertools.compress(column, chosen))
