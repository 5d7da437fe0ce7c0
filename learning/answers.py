"""How a model answers: each row from the laps of the context that fits it best."""

import abc
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from learning.columns import Columns
from learning.errors import NothingToLearn
from learning.fields import Field, check_rows
from learning.history import Features
from learning.intervals import Interval
from learning.laps import Lap, SessionLaps
from learning.moments import is_wet

if TYPE_CHECKING:  # the key stays where pickles of models look for it
    from learning.model import ContextKey

_GIVEN = ("outing", "session", "previous_lap")  # known of a lap of a session, not a field of a prediction
_TELLING = ("car_model", "wetness", "compound")  # the fields that tell which context a row belongs to


class Prediction(NamedTuple):
    """One answer. `importance` adds up to the predicted lap time minus the model's `mean`."""

    values: Mapping[str, Any]
    interval: Interval | None = None
    importance: Mapping[str, float] | None = None


class Context(abc.ABC):
    """What one model has learned of the laps of one context."""

    @property
    @abc.abstractmethod
    def laps_learned(self) -> int:
        """As the estimator itself counts them."""

    def described(self) -> dict[str, Any]:
        """What a reader may like to know besides, times in seconds."""
        return {}


ContextT = TypeVar("ContextT", bound=Context)


class Answers(abc.ABC, Generic[ContextT]):
    """Answers for rows of input, from what was learned of each context."""

    fields: ClassVar[Mapping[str, Field]]
    _contexts: "dict[ContextKey, ContextT]"  # the one learned last is last

    @property
    @abc.abstractmethod
    def mean(self) -> float:
        """The mean of all lap times learned, in seconds."""

    def predict(
        self, rows: Sequence[Mapping[str, Any]], *, level: float | None = None, importance: bool = False
    ) -> list[Prediction]:
        """Answers for rows of input fields; the model does not change.

        A row that names a car or a wetness is answered from laps of that kind, else from those learned last.

        Parameters
        ----------
        level
            The probability that the interval shall hold the truth, 0..1; without it there is no interval.

        Raises
        ------
        InvalidInput
            Naming the fields by row.
        NothingToLearn
            The model has learned no lap yet.
        """
        checked = check_rows(self.fields, rows)
        if not self._contexts:
            raise NothingToLearn("this model has learned no lap yet")
        if len(self._contexts) == 1:
            return self._answers(next(iter(self._contexts.values())), checked, level, importance)
        told = _told(checked)
        found = {key: self._context_for(dict(zip(_TELLING, key, strict=True))) for key in set(told)}
        answers: dict[int, Prediction] = {}
        for context in set(found.values()):
            own = np.array([found[key] is context for key in told])
            rows_of = checked.only(own) if isinstance(checked, Columns) else list(compress(checked, own))
            given = self._answers(context, rows_of, level, importance)
            answers |= zip(np.flatnonzero(own).tolist(), given, strict=True)
        return [answers[index] for index in range(len(checked))]

    def predict_lap(self, session: SessionLaps, lap: Lap, x: Features, *, level: float) -> Prediction | None:
        """The answer for a point of a lap of a session being learned; None while nothing was learned."""
        if not self._contexts:
            return None
        known = self._known_of(session, lap, x)
        return self._answers(self._context_for(known), [known], level, False)[0]

    def _answers(
        self, context: ContextT, rows: Sequence[Features], level: float | None, importance: bool
    ) -> list[Prediction]:
        answers = self._values_many(context, rows)
        intervals: Sequence[Interval | None] = [None] * len(rows)
        if level is not None:
            intervals = self._intervals(context, rows, [values["lap_time"] for values in answers], level)
        moved: Sequence[dict[str, float] | None] = [None] * len(rows)
        if importance:
            moved = [self._importance(context, x) for x in rows]
        return list(map(Prediction._make, zip(answers, intervals, moved, strict=True)))

    def _context_for(self, x: Features) -> ContextT:
        """The context whose car and wetness fit best; of equals, the one learned last."""
        x = {name: value for name, value in x.items() if value is not None}
        wanted = x.get("car_model"), is_wet(x) if {"wetness", "compound"} & x.keys() else None

        def likeness(key: "ContextKey") -> tuple[bool, bool]:
            return key.car_model == wanted[0], key.wet == wanted[1]

        newest_first = list(reversed(self._contexts))
        return self._contexts[max(newest_first, key=likeness)]

    def _importance(self, context: ContextT, x: Features) -> dict[str, float]:
        """What each field adds to the answer when the fields become known one after another.

        `history` is what the driver's own laps alone make of the model's mean.
        """
        names = [name for name in self.fields if name in x]
        steps: list[Features] = [{name: x[name] for name in _GIVEN if name in x}]
        for name in names:
            steps.append(steps[-1] | {name: x[name]})
        answers = self._lap_times(context, steps)
        moved = {
            name: after - before for name, before, after in zip(names, answers, answers[1:], strict=False)
        }
        return {"history": answers[0] - self.mean, **moved}

    def _value(self, context: ContextT, x: Features) -> float:
        """The predicted lap time alone."""
        return float(self._values(context, x)["lap_time"])

    def _lap_times(self, context: ContextT, rows: Sequence[Features]) -> list[float]:
        return [self._value(context, x) for x in rows]

    def _values_many(self, context: ContextT, rows: Sequence[Features]) -> list[dict[str, Any]]:
        return [self._values(context, x) for x in rows]

    def _intervals(
        self, context: ContextT, rows: Sequence[Features], predicted: Sequence[float], level: float
    ) -> list[Interval]:
        pairs = zip(rows, predicted, strict=True)
        return [self._interval(context, x, one, level) for x, one in pairs]

    @abc.abstractmethod
    def _known_of(self, session: SessionLaps, lap: Lap, x: Features) -> Features:
        """What a prediction at a point of a lap of a session may know."""

    @abc.abstractmethod
    def _values(self, context: ContextT, x: Features) -> dict[str, Any]: ...

    @abc.abstractmethod
    def _interval(self, context: ContextT, x: Features, predicted: float, level: float) -> Interval: ...


def _told(rows: Sequence[Features]) -> list[tuple[Any, ...]]:
    """What each row says of its context."""
    if isinstance(rows, Columns):
        return list(zip(*map(rows.listed, _TELLING), strict=True))
    return [tuple(map(x.get, _TELLING)) for x in rows]
