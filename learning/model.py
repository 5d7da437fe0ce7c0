"""The whole of one lineage's model, whatever its type: it tests itself on each lap, then learns it."""

import abc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from river import stats

from learning.answers import Answers, ContextT, Prediction
from learning.drift import DriftWatch, LapMark
from learning.errors import InvalidInput, NothingToLearn
from learning.history import Features
from learning.intervals import Interval
from learning.laps import Lap, SessionLaps
from learning.moments import conditions_of, is_wet, situation_of
from learning.scores import LapError, LapTest, Report, Score

__all__ = ["Estimator", "Interval", "OnLap", "Prediction", "RacingModel", "Report"]

OnLap = Callable[[int, int], None]  # told laps done and laps in all after each lap; may raise to stop
_ERRORS = 400  # laps whose errors are remembered one by one, to compare models lap by lap
_CONTEXTS = 12  # cars, dry and wet, that a lineage keeps apart; the one learned longest ago gives way


@dataclass(frozen=True, kw_only=True, order=True)
class ContextKey:
    """What laps must share to be learned together."""

    car_model: str
    wet: bool
    layout: str = ""  # of the sectors, where a model needs it


class Estimator(Protocol):
    """A River regressor that learns a whole lap at once, predicts from any part of one, and counts laps.

    `y` is the lap's time, or for a regressor of many targets what it has for each of them.
    """

    @property
    def laps_learned(self) -> int: ...

    def learn_one(self, x: Features, y: Any) -> None: ...

    def predict_one(self, x: Features) -> Any: ...

    def predict_many(self, rows: Sequence[Features]) -> list[Any]: ...

    def clone(self) -> Self: ...


class RacingModel(Answers[ContextT]):
    """A picklable model of one driver on one track.

    Parameters
    ----------
    algorithm, hyperparameters
        Its entry of the zoo.
    estimator
        A fresh one, cloned for each context.
    """

    model_type: ClassVar[str]
    part: ClassVar[str] = "positions"

    def __init__(self, *, algorithm: str, hyperparameters: Mapping[str, Any], estimator: Estimator) -> None:
        self.algorithm = algorithm
        self.hyperparameters = dict(hyperparameters)
        self.sessions_learned = 0
        self._estimator = estimator
        self._contexts: dict[ContextKey, ContextT] = {}  # the one learned last is last
        self._drift_watches: dict[ContextKey, DriftWatch] = {}
        self._errors: deque[LapError] = deque(maxlen=_ERRORS)
        self._laps_dropped = 0
        self._outings = 0
        self._mean = stats.Mean()
        self._influence: dict[str, stats.Mean] = {}
        self._total = Score(self.part)
        self._latest = Score(self.part)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the input fields."""
        return tuple(self.fields)

    @property
    def laps_learned(self) -> int:
        """How many laps the estimators have learned, by their own counts."""
        return self._laps_dropped + sum(context.laps_learned for context in self._contexts.values())

    @property
    def errors(self) -> tuple[LapError, ...]:
        """The errors made on the last laps at pace, each before its lap was learned, oldest first."""
        return tuple(self._errors)

    @property
    def mean(self) -> float:
        """The mean of all lap times learned, in seconds."""
        return self._mean.get()

    def fitting_laps(self, session: SessionLaps) -> tuple[Lap, ...]:
        """The laps that this type of model can learn from.

        Raises
        ------
        NothingToLearn
            There is none; the details count the reasons.
        """
        laps = tuple(lap for lap in session.laps if self.fits(session, lap))
        if laps:
            return laps
        reasons: dict[str, int] = {}
        for lap in session.laps:
            reason = lap.reason or self.unfit_reason
            reasons[reason] = reasons.get(reason, 0) + 1
        raise NothingToLearn(reasons=reasons)

    unfit_reason: ClassVar[str] = "not_timed"  # of a valid lap that the type cannot learn from

    def learn_session(self, session: SessionLaps, *, on_lap: OnLap | None = None) -> Report:
        """Tests on each lap, then learns it. When `on_lap` raises, the model is left unfinished: discard it.

        Raises
        ------
        NothingToLearn
            No lap fits; the model is unchanged.
        """
        laps = self.fitting_laps(session)
        self.begin_session()
        for done, lap in enumerate(laps, start=1):
            self.learn_lap(session, lap)
            if on_lap:
                on_lap(done, len(laps))
        self.end_session(session)
        return self._latest.report()

    def begin_session(self) -> None:
        self._latest = Score(self.part)

    def end_session(self, session: SessionLaps) -> None:
        self._outings += 1 + max((lap.outing for lap in session.laps), default=0)
        self.sessions_learned += 1

    def learn_lap(self, session: SessionLaps, lap: Lap) -> None:
        """Predicts one fitting lap, scores the prediction, then learns the lap."""
        key = self._key(session, lap)
        context = self._contexts.pop(key, None) or self._new_context(session, lap)
        self._contexts[key] = context
        test = None
        if context.laps_learned:
            test = self._test(context, session, lap)
            self._calibrate(context, test)
            self._count_influence(context, session, lap)
        self._latest.add(test)
        self._total.add(test)
        self._watch(key, lap, test)
        self._learn(context, session, lap)
        self._mean.update(test.truth if test else self._truth(lap))
        if len(self._contexts) > _CONTEXTS:
            dropped = next(iter(self._contexts))
            self._laps_dropped += self._contexts.pop(dropped).laps_learned
            self._drift_watches.pop(dropped, None)

    def _watch(self, key: ContextKey, lap: Lap, test: LapTest | None) -> None:
        """Keeps the error of a lap at pace, and notes whether the pace has drifted by it."""
        if test is None or not test.at_pace:
            return
        mark = LapMark(session=self.sessions_learned, lap=lap.number)
        self._errors.append({**mark, "error": abs(test.truth - test.predicted)})
        watch = self._drift_watches.get(key)
        if watch is None:
            watch = self._drift_watches[key] = DriftWatch()
        x = conditions_of(lap) | {"outing": self._outing(lap)}
        drift = watch.update(x, self._watched(test), lap_time=test.truth, mark=mark)
        if drift:
            self._latest.note(drift)
            self._total.note(drift)

    def _watched(self, test: LapTest) -> float:
        """What drift is looked for in, in seconds: of a model that adapts within a few laps the lap time."""
        return test.truth

    def score_session(self, session: SessionLaps, *, on_lap: OnLap | None = None) -> Report:
        """Predicts each fitting lap without learning; neither model nor references move."""
        score = Score(self.part)
        for _, test in self.test_session(session, on_lap=on_lap):
            score.add(test)
        return score.report()

    def test_session(
        self, session: SessionLaps, *, on_lap: OnLap | None = None
    ) -> list[tuple[Lap, LapTest | None]]:
        """Predicts each fitting lap without learning; None for a lap of a kind the model has never learned.

        Raises
        ------
        NothingToLearn
            No lap fits.
        """
        laps, tests = self.fitting_laps(session), []
        for done, lap in enumerate(laps, start=1):
            context = self._contexts.get(self._key(session, lap))
            tests.append((lap, self._test(context, session, lap) if context else None))
            if on_lap:
                on_lap(done, len(laps))
        return tests

    def metrics(self) -> dict[str, Any]:
        """Progressive metrics over all that the lineage learned, and of its newest session (`latest`)."""
        return self._total.report().as_dict() | {"latest": self._latest.report().as_dict()}

    def feature_importance(self) -> dict[str, float]:
        """By how many seconds each input moved the predictions made in training, on average."""
        return {name: moved.get() for name, moved in self._influence.items()}

    def newest_context(self, car_model: str | None = None) -> tuple[ContextKey, ContextT]:
        """What was learned last, of a car where one is named.

        Raises
        ------
        InvalidInput
            Naming the cars that are known.
        NothingToLearn
        """
        if not self._contexts:
            raise NothingToLearn("the model has learned no lap yet")
        for key, context in reversed(self._contexts.items()):
            if car_model in (None, key.car_model):
                return key, context
        known = sorted({key.car_model for key in self._contexts} - {""})
        choices = f"must be one of {', '.join(known)}" if known else "no lap was driven in a car with a name"
        raise InvalidInput(f"the model has learned no lap of {car_model!r}", carModel=[choices])

    def described(self) -> dict[str, Any]:
        """What was learned, in figures that mean something to a driver; the context learned last is first."""
        newest_first = reversed(self._contexts.items())
        return {
            "sessions": self.sessions_learned,
            "laps": self.laps_learned,
            "meanLapTime": self.mean if self.laps_learned else None,
            "contexts": [self._described(key, context) for key, context in newest_first],
        }

    def _described(self, key: ContextKey, context: ContextT) -> dict[str, Any]:
        laps, where = context.laps_learned, "wet" if key.wet else "dry"
        return {
            "summary": f"{laps} laps of {key.car_model or 'a car without a name'} on a {where} track",
            "carModel": key.car_model or None,
            "wet": key.wet,
            "lapsLearned": laps,
            **context.described(),
            "nextLap": self._values(context, {}),
        }

    def _count_influence(self, context: ContextT, session: SessionLaps, lap: Lap) -> None:
        for name, moved in self._importance(context, self._typical_input(session, lap)).items():
            self._influence.setdefault(name, stats.Mean()).update(abs(moved))

    def _known_of(self, session: SessionLaps, lap: Lap, x: Features) -> Features:
        known: Features = {"car_model": session.car_model} if session.car_model else {}
        return known | self._situation(session, lap) | x

    def _situation(self, session: SessionLaps, lap: Lap) -> Features:
        """Which outing of the lineage a lap belongs to, and where in it the lap stands."""
        return {"outing": self._outing(lap)} | situation_of(session, lap)

    def _outing(self, lap: Lap) -> int:
        return self._outings + lap.outing

    def _key(self, session: SessionLaps, lap: Lap) -> ContextKey:
        return ContextKey(car_model=session.car_model or "", wet=is_wet(conditions_of(lap)))

    def fits(self, session: SessionLaps, lap: Lap) -> bool:
        return lap.valid and lap.lap_time is not None

    @staticmethod
    def _truth(lap: Lap) -> float:
        assert lap.lap_time is not None  # noqa: S101 - laps that fit are timed
        return lap.lap_time

    @abc.abstractmethod
    def _new_context(self, session: SessionLaps, lap: Lap) -> ContextT: ...

    @abc.abstractmethod
    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        """What a prediction of this lap would be asked with, for the importance over the training."""

    @abc.abstractmethod
    def _test(self, context: ContextT, session: SessionLaps, lap: Lap) -> LapTest: ...

    @abc.abstractmethod
    def _calibrate(self, context: ContextT, test: LapTest) -> None: ...

    @abc.abstractmethod
    def _learn(self, context: ContextT, session: SessionLaps, lap: Lap) -> None: ...
