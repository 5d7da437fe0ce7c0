"""Does together what several threads ask for at once, where one step for all costs little more than one."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from app.errors import Overloaded

I = TypeVar("I")  # noqa: E741  # what is asked for
R = TypeVar("R")


class Batches(Generic[I, R]):
    """Whoever comes when nothing is under way works off all that waits; the others wait for their part of it.

    So the work grows with the number of batches, not of callers: the more come, the larger the batches.

    Parameters
    ----------
    work
        The result or the error of each item, in order; an error it raises is that of all items.
    most
        How many callers may be waiting; more are refused, at once.
    """

    def __init__(self, work: Callable[[Sequence[I]], Sequence[R | Exception]], most: int) -> None:
        self._work = work
        self._most = most
        self._inside = 0
        self._waiting: list[tuple[I, Future[R]]] = []
        self._changing = Lock()
        self._working = Lock()

    def do(self, item: I) -> R:
        """The item's result.

        Raises
        ------
        Overloaded
            Too many are waiting already.
        """
        mine = self._enter(item)
        try:
            with self._working:
                if not mine.done():
                    self._work_off()
            return mine.result()
        finally:
            with self._changing:
                self._inside -= 1

    def _enter(self, item: I) -> "Future[R]":
        mine: Future[R] = Future()
        with self._changing:
            if self._inside >= self._most:
                raise Overloaded
            self._inside += 1
            self._waiting.append((item, mine))
        return mine

    def _work_off(self) -> None:
        with self._changing:
            batch, self._waiting = self._waiting, []
        try:
            results = self._work([item for item, _ in batch])
        except Exception as exc:  # handed to every caller, each of whom raises it
            results = [exc] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
