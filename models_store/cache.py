"""Keeps loaded models in memory, so that a prediction costs no read and no unpickling."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True, kw_only=True)
class _Entry:
    model: Any
    size: int


class ModelCache:
    """The models used last, by version id; safe to use from many threads.

    Versions are immutable, so an entry never becomes stale. All callers share one object: predict with it,
    never learn.

    Parameters
    ----------
    max_bytes
        Of the models in memory together; a model larger than this is loaded each time.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._loading: dict[str, Future[Any]] = {}
        self._lock = Lock()

    def get(self, model_id: str, load: Callable[[], Any], *, size: Callable[[Any], int]) -> Any:
        """The model, by `load` when it is not here; callers that ask at the same time share one load.

        Parameters
        ----------
        size
            Of the loaded model, in bytes.
        """
        with self._lock:
            if entry := self._entries.get(model_id):
                self._entries.move_to_end(model_id)
                return entry.model
            pending = self._loading.get(model_id)
            if pending is None:
                ours = self._loading[model_id] = Future()
        if pending is not None:
            return pending.result()
        return self._load(model_id, load, size, ours)

    def drop(self, model_id: str) -> None:
        """Forgets the model, also one that is being loaded."""
        with self._lock:
            self._loading.pop(model_id, None)
            if entry := self._entries.pop(model_id, None):
                self._bytes -= entry.size

    def _load(
        self, model_id: str, load: Callable[[], Any], size: Callable[[Any], int], ours: Future[Any]
    ) -> Any:
        try:
            model = load()
            entry = _Entry(model=model, size=size(model))
        except BaseException as exc:  # whoever waits must be told, whatever it was
            self._finish(model_id, ours, None)
            ours.set_exception(exc)
            raise
        self._finish(model_id, ours, entry)
        ours.set_result(model)
        return model

    def _finish(self, model_id: str, ours: Future[Any], entry: _Entry | None) -> None:
        """Ends a load, and keeps its model unless it is too large or was dropped meanwhile."""
        with self._lock:
            if self._loading.get(model_id) is not ours:
                return
            del self._loading[model_id]
            if entry is None or entry.size > self._max_bytes:
                return
            self._entries[model_id] = entry
            self._bytes += entry.size
            while self._bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.size
