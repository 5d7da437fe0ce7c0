"""Spoils files as transports, editors and attackers do: bytes, rows, columns, encodings, wrappings."""

import gzip
import struct
from collections.abc import Callable
from typing import Any

import zstandard
from hypothesis import strategies as st

Mutation = Callable[[bytes], bytes]
TOKENS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e-400",
    b"9" * 400,
    b"2147483647",
    b"-1",
    b"0",
    b'"',
    b"\\",
    b"\\u0000",
    b"null",
    b"true",
    b"{",
    b"[",
    b"]}",
    b",",
    b";",
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"[" * 3_000,
    b'{"a":' * 3_000,
    b"x" * 3_000,
    b"lap,",
    b'"lapTime":',
    b"1:99:99",
)
INTEGERS = (0, 1, -1, 2, 7, 255, 4096, 2**15, 2**24, 2**31 - 1, -(2**31))
ENCODINGS = ("utf-16-le", "utf-16-be", "utf-16", "utf-32", "cp037", "utf-7")


def _at(data: bytes, share: float) -> int:
    return int(share * len(data))


def flipped(share: float, mask: int) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = _at(data, share)
        return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :] if at < len(data) else data

    return mutate


def truncated(share: float) -> Mutation:
    return lambda data: data[: _at(data, share)]


def inserted(share: float, token: bytes) -> Mutation:
    return lambda data: data[: _at(data, share)] + token + data[_at(data, share) :]


def overwritten(share: float, token: bytes) -> Mutation:
    return lambda data: data[: _at(data, share)] + token + data[_at(data, share) + len(token) :]


def integer_set(word: int, value: int) -> Mutation:
    """One of the first words of a file has another value: those of binary headers and lists of channels."""
    return lambda data: data[: 4 * word] + struct.pack("<i", value) + data[4 * word + 4 :]


def spliced(start: float, end: float, to: float) -> Mutation:
    """A piece comes once more, somewhere else."""
    return lambda data: inserted(to, data[_at(data, min(start, end)) : _at(data, max(start, end))][:5_000])(
        data
    )


def without(start: float, size: int) -> Mutation:
    return lambda data: data[: _at(data, start)] + data[_at(data, start) + size :]


def recoded(encoding: str) -> Mutation:
    return lambda data: data.decode("latin-1").encode(encoding, "replace")


def rows_moved(first: float, second: float, times: int) -> Mutation:
    """One line stands, any number of times, where another stood."""

    def mutate(data: bytes) -> bytes:
        lines = data.split(b"\n")
        source, target = int(first * (len(lines) - 1)), int(second * (len(lines) - 1))
        lines[target : target + 1] = [lines[source]] * times
        return b"\n".join(lines)

    return mutate


def column_moved(first: int, second: int, *, keep: bool) -> Mutation:
    """In every line one field comes in another's place, or twice."""

    def line_of(line: bytes) -> bytes:
        fields = line.split(b",")
        if len(fields) > max(first, second):
            fields[second : second + (not keep)] = [fields[first]]
        return b",".join(fields)

    return lambda data: b"\n".join(line_of(line) for line in data.split(b"\n"))


def wrapped(kind: str) -> Mutation:
    return gzip.compress if kind == "gzip" else zstandard.compress


SHARES = st.floats(0, 1, exclude_max=True)
MUTATIONS: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(flipped, SHARES, st.integers(1, 255)),
    st.builds(truncated, SHARES),
    st.builds(inserted, SHARES, st.sampled_from(TOKENS) | st.binary(max_size=12)),
    st.builds(overwritten, SHARES, st.sampled_from(TOKENS) | st.binary(max_size=12)),
    st.builds(integer_set, st.integers(1, 40) | st.integers(1, 800), st.sampled_from(INTEGERS)),
    st.builds(spliced, SHARES, SHARES, SHARES),
    st.builds(without, SHARES, st.integers(1, 2_000)),
    st.builds(rows_moved, SHARES, SHARES, st.integers(0, 5)),
    st.builds(column_moved, st.integers(0, 8), st.integers(0, 8), keep=st.booleans()),
)
WHOLE = st.builds(recoded, st.sampled_from(ENCODINGS)) | st.builds(wrapped, st.sampled_from(["gzip", "zstd"]))
SPOILING = st.lists(MUTATIONS | MUTATIONS | MUTATIONS | WHOLE, min_size=1, max_size=4)


def spoilt(data: bytes, mutations: list[Mutation]) -> Any:
    for mutate in mutations:
        data = mutate(data)
    return data
