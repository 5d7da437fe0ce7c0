"""Pickles made to do harm, though rightly signed, neither load nor take memory nor change the process."""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ArtifactRefused
from learning.lap_time import LapTimeModel
from learning.zoo import create_model
from models_store.codec import _unpickled
from models_store.formats import CURRENT
from models_store.program import check_program
from tests.unit.models_store.hostile import ATTACKS, LIMIT, pickled

MEMORY = 8 << 20  # bytes: twice the limit, for the pickle itself is there too
ROOT = Path(__file__).parents[3]
MODEL = pickle.dumps(create_model("lap_time_prediction"), 5)
LOADED = pickle.dumps(_unpickled(MODEL, LIMIT, CURRENT), 5)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[str, int]]:
    """What came of every attack in a process that cannot get 200 MB more than it has."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each takes addresses, used or not
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.models_store.hostile"],
        cwd=ROOT,
        env=os.environ | threads,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, tuple[str, int]] = json.loads(ended.stdout)
    return found


@pytest.mark.timeout(60)  # the process loads all of the learning core
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_pickle_is_refused_without_taking_memory(
    attack: str, outcomes: dict[str, tuple[str, int]]
) -> None:
    outcome, memory = outcomes[attack]
    assert outcome.startswith("refused: ")
    assert memory < MEMORY


@pytest.mark.parametrize("attack", [name for name in ATTACKS if "changed" in name or "defaults" in name])
def test_what_a_pickle_tried_to_change_is_as_it_was(attack: str) -> None:
    before = dict(vars(LapTimeModel)), dict(vars(Counter))
    with pytest.raises(ArtifactRefused):
        _unpickled(ATTACKS[attack], LIMIT, CURRENT)
    assert (dict(vars(LapTimeModel)), dict(vars(Counter))) == before
    assert pickle.dumps(_unpickled(MODEL, LIMIT, CURRENT), 5) == LOADED


def test_a_billion_laughs_stay_few_in_memory() -> None:
    laughs = (
        b"](N" + b"N" * 9 + b"e\x94" + b"".join(b"](" + b"h%c" % level * 10 + b"e\x94" for level in range(30))
    )
    loaded = _unpickled(pickled(laughs), LIMIT, CURRENT)
    assert len(loaded) == 10
    assert loaded[0] is loaded[9]


def test_arrays_come_back_as_they_were_written() -> None:
    arrays = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(24, dtype="<i4").reshape(2, 3, 4).transpose(2, 0, 1),
        np.array([True, False]),
        np.zeros((0, 3), np.uint8),
    ]
    for written, loaded in zip(arrays, _unpickled(pickle.dumps(arrays, 5), LIMIT, CURRENT), strict=True):
        np.testing.assert_array_equal(loaded, written)
        assert (loaded.dtype, loaded.flags.writeable) == (written.dtype, written.flags.writeable)


def test_the_estimate_of_memory_is_not_below_what_is_taken() -> None:
    values: list[Any] = [{number: (float(number), str(number))} for number in range(300)]
    data = pickle.dumps(values, 5)
    taken = sum(sys.getsizeof(one) + sum(map(sys.getsizeof, one.items())) for one in values)
    with pytest.raises(ArtifactRefused, match="bytes in memory, more than"):
        check_program(data, max_memory=taken)
    check_program(data, max_memory=10 * taken)


@given(st.data())
@settings(max_examples=150)
def test_a_pickle_altered_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    altered = bytearray(MODEL)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        _unpickled(bytes(altered), LIMIT, CURRENT)
    except ArtifactRefused:
        pass
    assert pickle.dumps(_unpickled(MODEL, LIMIT, CURRENT), 5) == LOADED


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_harmless(data: bytes) -> None:
    try:
        _unpickled(b"\x80\x05" + data + b".", LIMIT, CURRENT)
    except ArtifactRefused as exc:
        assert exc.message
