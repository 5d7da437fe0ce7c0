"""A model's weight is what it takes in memory, so that the cache keeps to its limit."""

import numpy as np
import pytest

from models_store.weight import weight


def test_numbers_that_lie_in_another_object_count_once() -> None:
    owned = np.zeros(10_000)
    assert weight([owned[:]]) == pytest.approx(8 * 10_000, rel=0.02)
    assert weight([owned[:], owned[5:], owned]) == pytest.approx(8 * 10_000, rel=0.02)
    assert weight(np.frombuffer(bytes(50_000), dtype=np.uint8)) == pytest.approx(50_000, rel=0.02)


def test_what_is_referred_to_twice_counts_once() -> None:
    text = "x" * 50_000
    assert weight([text, text, (text, {"again": text})]) == pytest.approx(50_000, rel=0.02)


def test_classes_and_modules_weigh_nothing() -> None:
    assert weight([np, np.ndarray, weight]) < 1_000
