"""Reads rows as JSON, an array of objects or one object a line, in blocks of whole rows."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import resolve
from learning.telemetry.frames import canonical, collect
from learning.telemetry.source import Limits

BLOCK = 4 << 20
HEAD = 1 << 16  # enough for the names of the first rows
ROW_BYTES = 1 << 20  # a longer row is none
BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN, _SPACE, _COMMA = b'"'[0], b"\n"[0], b"\r"[0], b" "[0], b","[0]
_KEY = re.compile(rb'"([^"\\]*)"\s*:')


def sniff_array(head: bytes) -> bool:
    """Whether a file begins like a JSON array."""
    return head.removeprefix(BOM).lstrip().startswith(b"[")


def sniff_lines(head: bytes) -> bool:
    """Whether a file begins like a JSON object."""
    return head.removeprefix(BOM).lstrip().startswith(b"{")


def read_array(path: Path, limits: Limits) -> pl.DataFrame:
    """The frames of a JSON array of row objects.

    Raises
    ------
    InvalidTelemetry
        It is not JSON, ends too early, nests too deeply, or has text where a number belongs.
    TelemetryTooLarge
        It has too many rows or names.
    """
    return collect(_frames(path, limits, base=1), limits)


def read_lines(path: Path, limits: Limits) -> pl.DataFrame:
    """The frames of JSON lines; errors as `read_array` has them."""
    return collect(_frames(path, limits, base=0), limits)


def names(path: Path, limits: Limits) -> tuple[str, ...]:
    """The names in the file's first rows."""
    with path.open("rb") as file:
        found = dict.fromkeys(_KEY.findall(file.read(HEAD)))
    _check_names(set(found), limits)
    return tuple(name.decode("utf-8", "replace") for name in found)


def array_rows(path: Path, limits: Limits) -> Iterator[Mapping[str, Any]]:
    """An array's rows one by one as they stand, for a table that has few of them; errors as `read_array`."""
    return _rows(path, limits, base=1)


def line_rows(path: Path, limits: Limits) -> Iterator[Mapping[str, Any]]:
    """The rows of JSON lines one by one, likewise."""
    return _rows(path, limits, base=0)


def _rows(path: Path, limits: Limits, *, base: int) -> Iterator[Mapping[str, Any]]:
    number = 0
    for block in _blocks(path, limits, base):
        for line in filter(bytes.strip, block.splitlines()):
            number += 1
            row = _loaded(line)
            if not isinstance(row, dict):
                raise _not_an_object(number)
            yield row


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _frames(path: Path, limits: Limits, *, base: int) -> Iterator[pl.DataFrame]:
    first_row, seen = 0, set[bytes]()
    for block in _blocks(path, limits, base):
        seen.update(_KEY.findall(block))
        _check_names(seen, limits)
        columns = resolve(sorted(name.decode("utf-8", "replace") for name in seen))
        try:
            raw = pl.read_ndjson(_quoted(block), schema=dict.fromkeys((c.source for c in columns), pl.String))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
            raise _not_json(block, first_row) from exc
        if raw.height:
            yield canonical(raw, columns, first_row=first_row)
        first_row += raw.height


def _not_json(block: bytes, first_row: int) -> InvalidTelemetry:
    lines = enumerate(block.splitlines())
    return _not_an_object(
        first_row + 1 + next((i for i, line in lines if not isinstance(_loaded(line), dict)), 0)
    )


def _not_an_object(row: int) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"Row {row} is not a JSON object; check the file with any JSON tool.", row=row, column=None
    )


def _check_names(names: set[bytes], limits: Limits) -> None:
    if len(names) > limits.columns:
        raise TelemetryTooLarge(
            f"The rows have more than {limits.columns:,} names; leave some out.",
            limit=limits.columns,
        )
    if any(len(name) > limits.name_length for name in names):
        raise InvalidTelemetry(f"A name is longer than {limits.name_length} characters; shorten it.")


@dataclass
class _Scan:
    """Where in the JSON text the scanner stands between two chunks."""

    base: int
    max_depth: int
    depth: int = 0
    in_string: bool = False
    closed: bool = False

    def lines(self, chunk: bytes) -> bytes:
        """The chunk with one row object a line: an array's brackets and commas make way for line ends."""
        text, inside = _strings(chunk, in_string=self.in_string)
        opens = ((text == b"{"[0]) | (text == b"["[0])) & ~inside
        closes = ((text == b"}"[0]) | (text == b"]"[0])) & ~inside
        depth = self.depth + np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32)
        self._check_depth(depth)
        out = np.frombuffer(chunk, dtype=np.uint8).copy()
        newlines = (text == _NEWLINE) | (text == _RETURN)
        out[newlines] = _SPACE
        if self.base:
            self._check_end(text, depth, closes)
            out[(opens & (depth == 1)) | (closes & (depth == 0))] = _SPACE
            out[(text == _COMMA) & ~inside & (depth == 1)] = _NEWLINE
        else:
            out[newlines & ~inside & (depth == 0)] = _NEWLINE
        self.depth, self.in_string = int(depth[-1]), bool(inside[-1])
        return out.tobytes()

    def _check_depth(self, depth: NDArray[np.int32]) -> None:
        if depth.max() > self.max_depth + self.base:
            raise InvalidTelemetry(
                f"The JSON nests more than {self.max_depth} levels deep; a row is a flat object of numbers.",
                limit=self.max_depth,
            )
        if depth.min() < 0:
            raise InvalidTelemetry("The JSON closes more brackets than it opens.")

    def _check_end(
        self, text: NDArray[np.uint8], depth: NDArray[np.int32], closes: NDArray[np.bool_]
    ) -> None:
        """After the array's end there is nothing but white space."""
        ends = np.flatnonzero(closes & (depth == 0))
        rest = text if self.closed else text[ends[0] + 1 :] if len(ends) else text[:0]
        if rest.tobytes().strip():
            raise InvalidTelemetry("There is more text after the end of the JSON array.")
        self.closed = self.closed or len(ends) > 0

    def check_complete(self) -> None:
        if self.in_string or self.depth or (self.base and not self.closed):
            raise InvalidTelemetry("The JSON is cut short; upload the whole file again.")


def _quoted(rows: bytes) -> bytes:
    """Puts quotes around the bare NaN and Infinity that Python writes and JSON does not know."""
    if b"NaN" not in rows and b"Infinity" not in rows:
        return rows
    text, inside = _strings(rows, in_string=False)
    begins = (text[:-1] == b"N"[0]) & (text[1:] == b"a"[0]) | (text[:-1] == b"I"[0])
    bare = np.flatnonzero(begins & ~inside[:-1])
    length = np.where(text[bare] == b"N"[0], len(b"NaN"), len(b"Infinity"))
    signed = text[bare - 1] == b"-"[0]
    quotes = np.sort(np.concatenate([bare - signed, bare + length])).clip(max=len(text))
    return np.insert(np.frombuffer(rows, dtype=np.uint8), quotes, _QUOTE).tobytes()


def _strings(rows: bytes, *, in_string: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The text with its escapes blanked, and which of it is inside strings."""
    plain = rows.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    text = np.frombuffer(plain, dtype=np.uint8)
    return text, np.logical_xor.accumulate(text == _QUOTE) ^ in_string


def _blocks(path: Path, limits: Limits, base: int) -> Iterator[bytes]:
    scan, rest = _Scan(base, limits.json_depth), b""
    with path.open("rb") as file:
        if file.read(len(BOM)) != BOM:
            file.seek(0)
        while chunk := file.read(BLOCK):
            if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:
                chunk += file.read(1)  # an escape is not torn from its backslash
            lines = rest + scan.lines(chunk)
            end = lines.rfind(b"\n") + 1
            rest = lines[end:]
            if len(rest) > ROW_BYTES:
                raise InvalidTelemetry("A row is longer than a megabyte; a row is one object of numbers.")
            if lines[:end].strip():
                yield lines[:end]
    scan.check_complete()
    if rest.strip():
        yield rest
