"""What a pickle does, looked at before it is done: an unpickler allocates first and checks afterwards.

A pickle is a program for a small machine. Ours use few of its instructions, so the others are refused, among
them all that choose places in the memo, and what the rest will take in memory is added up.
Source of the instructions: `pickletools` of the standard library.
"""

import re

from app.errors import ArtifactRefused

# Instructions without an argument, and those with one of 1, 2, 4 or 8 bytes; a run of them is one step.
_PLAIN = rb"(0)NRabestu\]}\x81\x85-\x89\x8f-\x91\x93\x94"
_RUN = re.compile(rb"(?:[" + _PLAIN + rb"]|[Kh\x80].|M..|[Jj].{4}|[G\x95].{8})*+", re.DOTALL)
_COUNTED = {  # instructions that are followed by the length of their data, and by how many bytes it is told
    b"\x8c": 1,  # a text
    b"X": 4,
    b"\x8d": 8,
    b"C": 1,  # bytes
    b"B": 4,
    b"\x8e": 8,
    b"\x96": 8,  # a bytearray
    b"\x8a": 1,  # an integer
}
_TEXTS = (b"\x8c", b"X", b"\x8d")
_STOP = b"."
_OBJECT = 64  # bytes of a small object with its place on the stack and in the memo
_EACH = 16  # bytes that any instruction may take: places in lists, dicts, stack and memo
_LARGE = {b"]": 72, b"}": 80, b"R": 128, b"\x81": 160, b"\x8f": 232, b"\x91": 232, b"G": 24, b"t": 64}


def check_program(pickled: bytes, *, max_memory: int) -> None:
    """Makes sure that a pickle has our instructions only, each whole, and will not take too much memory.

    Parameters
    ----------
    max_memory
        In bytes, of what the pickle makes; estimated, rather too high than too low.

    Raises
    ------
    ArtifactRefused
    """
    place, memory, runs = 0, 0, []
    while True:
        run = _RUN.match(pickled, place)
        place = run.end() if run else place
        runs.append(run[0] if run else b"")
        code = pickled[place : place + 1]
        if code == _STOP:
            break
        if code not in _COUNTED:
            raise ArtifactRefused(f"it has an instruction that no model needs at byte {place}: {code!r}")
        start = place + 1 + _COUNTED[code]
        end = start + int.from_bytes(pickled[place + 1 : start], "little")
        if end >= len(pickled):
            raise ArtifactRefused(f"it says at byte {place} that it is longer than it is")
        wide = code in _TEXTS and not pickled[start:end].isascii()
        memory += _OBJECT + (end - start) * (4 if wide else 1)
        place = end
    if place != len(pickled) - 1:
        raise ArtifactRefused("it goes on behind its end")
    memory += _memory(b"".join(runs))
    if memory > max_memory:
        raise ArtifactRefused(f"it would take about {memory} bytes in memory, more than {max_memory}")


def _memory(instructions: bytes) -> int:
    """An upper estimate, for bytes of arguments are counted like instructions."""
    return _EACH * len(instructions) + sum(instructions.count(code) * size for code, size in _LARGE.items())
