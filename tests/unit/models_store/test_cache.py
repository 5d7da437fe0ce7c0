"""The cache loads a model once however many ask, and holds no more than it may."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from models_store import cache as cache_module
from models_store.cache import ModelCache


class Loader:
    """Counts loads; each gives another object."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loads = 0
        self.error = error

    def __call__(self) -> Any:
        self.loads += 1
        if self.error:
            raise self.error
        return object()


class SlowLoad:
    """A load that has begun, goes on when all who should wait do, and then gives a model or fails."""

    def __init__(self, waiters: int, error: Exception | None = None) -> None:
        self.begun = threading.Event()
        self.waiters = waiters
        self.load = Loader(error)

    def __call__(self) -> Any:
        self.begun.set()
        for _ in range(self.waiters):
            assert WAITING.acquire(timeout=5)
        return self.load()


WAITING = threading.Semaphore(0)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that wait for another's load say so."""

    class Watched(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            WAITING.release()
            return super().result(timeout)

    monkeypatch.setattr(cache_module, "Future", Watched)


def test_a_model_is_loaded_once_and_shared() -> None:
    cache, load = ModelCache(100), Loader()
    assert cache.get("a", load, size=lambda _: 10) is cache.get("a", load, size=lambda _: 10)
    assert load.loads == 1


@pytest.mark.usefixtures("watched")
def test_threads_that_ask_at_the_same_time_share_one_load() -> None:
    cache, slow, load = ModelCache(100), SlowLoad(waiters=3), Loader()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get, "a", slow, size=lambda _: 10)
        assert slow.begun.wait(5)
        others = [pool.submit(cache.get, "a", load, size=lambda _: 10) for _ in range(3)]
        assert {other.result(5) for other in others} == {first.result(5)}
    assert (slow.load.loads, load.loads) == (1, 0)


def test_a_slow_load_holds_up_no_other_model() -> None:
    cache, started, go = ModelCache(100), threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert go.wait(5)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, "a", slow, size=lambda _: 10)
        assert started.wait(5)
        assert cache.get("b", lambda: "quick", size=lambda _: 10) == "quick"
        go.set()
        assert first.result(5) == "slow"


def test_the_models_used_longest_ago_give_way() -> None:
    cache, load = ModelCache(100), Loader()
    a = cache.get("a", load, size=lambda _: 40)
    b = cache.get("b", load, size=lambda _: 40)
    assert cache.get("a", load, size=lambda _: 40) is a
    cache.get("c", load, size=lambda _: 60)
    assert cache.get("a", load, size=lambda _: 40) is a
    assert cache.get("b", load, size=lambda _: 40) is not b
    assert load.loads == 4


def test_a_model_larger_than_the_cache_is_served_and_drives_nothing_out() -> None:
    cache, load = ModelCache(100), Loader()
    small = cache.get("small", load, size=lambda _: 10)
    assert cache.get("large", load, size=lambda _: 101) is not cache.get("large", load, size=lambda _: 101)
    assert cache.get("small", load, size=lambda _: 10) is small


def test_a_failed_load_is_told_and_tried_again() -> None:
    cache = ModelCache(100)
    with pytest.raises(ValueError, match="damaged"):
        cache.get("a", Loader(ValueError("damaged")), size=lambda _: 10)
    assert cache.get("a", lambda: "whole", size=lambda _: 10) == "whole"


@pytest.mark.usefixtures("watched")
def test_a_failed_load_is_told_to_all_who_wait() -> None:
    cache, slow, load = ModelCache(100), SlowLoad(waiters=1, error=ValueError("damaged")), Loader()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "a", slow, size=lambda _: 10)
        assert slow.begun.wait(5)
        second = pool.submit(cache.get, "a", load, size=lambda _: 10)
        for waiting in (first, second):
            with pytest.raises(ValueError, match="damaged"):
                waiting.result(5)
    assert load.loads == 0


def test_a_dropped_model_is_loaded_again_and_its_room_is_free() -> None:
    cache, load = ModelCache(100), Loader()
    a = cache.get("a", load, size=lambda _: 60)
    b = cache.get("b", load, size=lambda _: 40)
    cache.drop("a")
    cache.get("c", load, size=lambda _: 60)
    assert cache.get("b", load, size=lambda _: 40) is b
    assert cache.get("a", load, size=lambda _: 0) is not a


def test_a_model_dropped_while_it_loads_is_not_kept() -> None:
    cache = ModelCache(100)

    def load() -> str:
        cache.drop("a")
        return "removed meanwhile"

    assert cache.get("a", load, size=lambda _: 10) == "removed meanwhile"
    assert cache.get("a", lambda: "fresh", size=lambda _: 10) == "fresh"
