"""What several threads ask for at once is done together, and each gets its own part."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from app.batches import Batches


def doubled(items: Sequence[int]) -> list[int | Exception]:
    return [ValueError(str(item)) if item < 0 else 2 * item for item in items]


def test_a_single_caller_gets_its_result_or_its_error_at_once() -> None:
    batches = Batches(doubled, apart=60.0)
    assert [batches.do(item) for item in (1, 2, 3)] == [2, 4, 6]
    with pytest.raises(ValueError, match="-5"):
        batches.do(-5)
    assert batches.do(4) == 8


def test_who_comes_while_a_batch_is_under_way_is_in_the_next_one() -> None:
    sizes, begun, go_on = [], Event(), Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        begun.set()
        assert go_on.wait(5)
        return doubled(items)

    batches = Batches(work)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batches.do, 0)
        assert begun.wait(5)
        rest = [pool.submit(batches.do, item) for item in (1, 2, -3, 4, 5, 6, 7, 8)]
        while len(batches._waiting) < 8:
            time.sleep(0.001)
        go_on.set()
        assert first.result() == 0
        with pytest.raises(ValueError, match="-3"):
            rest[2].result()
        assert [one.result() for one in rest[:2] + rest[3:]] == [2, 4, 8, 10, 12, 14, 16]
    assert sizes == [1, 8]


def test_a_batch_begins_when_those_of_the_one_before_are_back_or_a_moment_has_passed() -> None:
    sizes, both = [], Barrier(2)

    def work(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        while len(sizes) == 1 and not batches._waiting:
            time.sleep(0.001)
        return doubled(items)

    def ask(_: int) -> list[int]:
        both.wait(5)
        return [batches.do(item) for item in range(4)]

    batches = Batches(work, apart=0.4)
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [[0, 2, 4, 6]] * 2
    assert sizes == [1, 2, 2, 2, 1]
    assert 0.4 <= time.monotonic() - started < 1.2, "only the last, who waits for one that is gone, waits"


def test_an_error_of_the_work_reaches_every_caller_and_the_next_batch_goes_on() -> None:
    answers = [ConnectionError("gone"), None]

    def work(items: Sequence[int]) -> list[int | Exception]:
        if error := answers.pop(0):
            raise error
        return doubled(items)

    batches = Batches(work)
    with pytest.raises(ConnectionError, match="gone"):
        batches.do(1)
    assert batches.do(1) == 2


def test_many_callers_all_get_their_own_and_need_few_batches() -> None:
    sizes = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        time.sleep(0.002)
        return doubled(items)

    batches = Batches(work, apart=0.01)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(batches.do, range(400))) == [2 * item for item in range(400)]
    assert sum(sizes) == 400
    assert len(sizes) < 200
