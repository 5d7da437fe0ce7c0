"""What the columns of a Parquet file unfold to, told by its page headers: a few bytes may hold gigabytes.

Footer and page headers are in Thrift's compact protocol; the numbers of fields are those of parquet.thrift
(https://github.com/apache/parquet-format).
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from learning.errors import InvalidTelemetry

FOOTER_BYTES = 8 << 20
PAGE_HEADER_BYTES = 1 << 16  # a header may hold the smallest and the largest value
PAGES = 200_000
DEPTH = 12
VALUE_BYTES = 16  # that a value takes in memory besides its text
_TAIL = 8  # length of the footer, magic
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _TEXT, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12

Struct = Mapping[int, Any]  # values by field number


def sizes(path: Path) -> dict[str, int]:
    """Bytes in memory of each column, by its name at the top of the schema.

    Raises
    ------
    InvalidTelemetry
        The footer or a page header is damaged, or there are more of them than any writer makes.
    """
    found: dict[str, int] = {}
    with path.open("rb") as file:
        try:
            for number, (name, size) in enumerate(_pages(file)):
                found[name] = found.get(name, 0) + size
                if number > PAGES:
                    raise _damaged("it has too many pages")
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as exc:
            raise _damaged("its footer or a page header cannot be read") from exc
    return found


def _damaged(what: str) -> InvalidTelemetry:
    return InvalidTelemetry(f"The Parquet file is damaged or cut short, {what}; write and upload it again.")


def _pages(file: BinaryIO) -> Iterator[tuple[str, int]]:
    end = file.seek(0, 2)
    file.seek(max(end - _TAIL, 0))
    length = int.from_bytes(file.read(4), "little")
    if length > min(FOOTER_BYTES, end - _TAIL):
        raise _damaged("its footer is longer than a footer can be")
    file.seek(end - _TAIL - length)
    footer = _Reader(file.read(length)).struct()
    for group in footer[4]:
        for chunk in group[1]:
            column = chunk[3]
            name = column[3][0].decode("utf-8", "replace")
            for size in _chunk(file, column, end):
                yield name, size


def _chunk(file: BinaryIO, column: Struct, end: int) -> Iterator[int]:
    at = min(column[9], column.get(11) or column[9])
    last = at + column[7]
    while 0 <= at < min(last, end):
        file.seek(at)
        reader = _Reader(file.read(PAGE_HEADER_BYTES))
        page = reader.struct()
        values = next((page[kind][1] for kind in (5, 7, 8) if kind in page), 0)
        if page[2] < 0 or page[3] < 0 or values < 0:
            raise ValueError("a size below 0")
        yield page[2] + VALUE_BYTES * values
        at += reader.at + page[3]


@dataclass
class _Reader:
    """Reads Thrift's compact protocol from `at` on; text comes as bytes, maps are not read."""

    data: bytes
    at: int = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        values: dict[int, Any] = {}
        field = 0
        if depth > DEPTH:
            raise ValueError("too deep")
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            values[field] = self._value(head & 15, depth)
        return values

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _TEXT:
            return self._bytes(self._varint())
        if kind in (_BYTE, _DOUBLE):
            return self._bytes(1 if kind == _BYTE else 8)
        if kind in _LISTS:
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError("not a kind of value that Parquet has")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size, kind = head >> 4, head & 15
        size = self._varint() if size == 15 else size
        if size > len(self.data) - self.at:
            raise ValueError("longer than the data")
        if kind in (_TRUE, _FALSE):
            return [self._byte() == _TRUE for _ in range(size)]
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("longer than the data")
        return self.data[self.at - size : self.at]

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value, shift = 0, 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("more than 64 bits")
        return value | byte << shift
