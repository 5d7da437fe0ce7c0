"""Answering a car's frames while it drives: one version, loaded once, and what was gathered of the car."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain import ModelType, PredictRequest, Version
from app.errors import Invalid, TokenRevoked
from app.services.accounts import Accounts
from app.services.frames import FrameReader
from app.services.gathering import Gatherer
from app.services.models import rendered
from app.services.sharing import Sharing
from app.services.usage import Usage
from learning.errors import LearningError
from learning.fields import check_rows
from learning.model import Prediction, RacingModel
from models_store.store import ModelStore

NAMES_SHOWN = 20  # of the names in a frame that mean nothing here


@dataclass(frozen=True, kw_only=True)
class Due:
    """The newest frame of a car, ready to be predicted for; `tag` is what its answer is known by."""

    row: Mapping[str, Any]
    tag: Mapping[str, Any]


@dataclass(kw_only=True, eq=False)
class Car:
    """One connection: who asks which version, and what was gathered of the car.

    `due` is the newest frame not answered yet; an older one gives way to it.
    """

    user_id: str
    version: Version
    model: RacingModel[Any]
    request: PredictRequest  # without rows: what each answer shall hold
    frames: int = 0
    due: Due | None = None
    answered: int = 0  # since the answers were last counted
    seconds: float = 0.0  # spent on these
    gatherer: Gatherer = field(default_factory=Gatherer)

    def __post_init__(self) -> None:
        self._reader = FrameReader(self.model.fields)
        self._told: tuple[str, ...] = ()

    def begin_frame(self) -> int:
        """Counts a message that came, whatever is in it; the number of its frame."""
        self.frames += 1
        return self.frames

    def take(self, frame: Mapping[str, Any], tag: Mapping[str, Any]) -> bool:
        """Gathers a frame and makes it the one that is due; whether another gave way to it.

        Raises
        ------
        learning.errors.InvalidInput
            Naming the fields; nothing was gathered.
        """
        read = self._reader.read(frame)
        check_rows(self.model.fields, [self._reader.fields_of(read)])
        row = self._reader.fields_of(self.gatherer.update(read))
        older = self.due
        untold = {"ignored": older.tag["ignored"]} if older and "ignored" in older.tag else {}
        self.due = Due(row=row, tag={**untold, **tag, **self._news()})
        return older is not None

    def _news(self) -> dict[str, Any]:
        """Which lap the car is on, and once for each kind of frame which of its names mean nothing here."""
        gatherer = self.gatherer
        lap = {"number": gatherer.laps, "whole": gatherer.is_whole, "lastLapTime": gatherer.last_lap}
        unknown, told = self._reader.unknown, self._told
        self._told = unknown
        return {"lap": lap} | ({"ignored": unknown[:NAMES_SHOWN]} if unknown and unknown != told else {})


class Live:
    """Use cases of live predictions."""

    def __init__(self, *, accounts: Accounts, sharing: Sharing, store: ModelStore, usage: Usage) -> None:
        self._accounts = accounts
        self._sharing = sharing
        self._store = store
        self._usage = usage

    def open(self, user_id: str, model_id: str, **options: Any) -> Car:
        """A car for a version of the driver's own, or one shared with them; options are those of predictions.

        Raises
        ------
        ModelNotFound, Invalid
        """
        version = self._sharing.readable(user_id, model_id)
        if version.model_type is not ModelType.LAP_TIME_PREDICTION:
            raise Invalid(
                "only lap-time models answer frame by frame; ask the others by POST /ai-model/predict",
                id=[f"is a model of type {version.model_type}"],
            )
        request = PredictRequest(rows=(), is_list=False, model_id=model_id, **options)
        return Car(user_id=user_id, version=version, model=self._store.load(version), request=request)

    def check(self, user_id: str, family_id: str, model_id: str) -> None:
        """Whether a driver may still be answered.

        Raises
        ------
        TokenRevoked
            They signed out, or their account is gone.
        ModelNotFound
            The version was removed, or is no longer shared with them.
        Unavailable
            It cannot be told just now.
        """
        if self._accounts.is_revoked(family_id):
            raise TokenRevoked
        self._sharing.readable(user_id, model_id)

    def answers(
        self, cars: Sequence[Car]
    ) -> list[tuple[Car, Mapping[str, Any], dict[str, Any] | LearningError]]:
        """What to tell cars that ask the same, each of its due frame, with that frame's tag.

        Many cost little more than one. A frame that its model refuses after all gets the error.
        """
        due = [(car, car.due) for car in cars if car.due is not None]
        answers = self._predicted(due) if due else []
        for car, _ in due:
            car.due = None
        return [(car, one.tag, answer) for (car, one), answer in zip(due, answers, strict=True)]

    def count(self, car: Car) -> None:
        """Counts what a car was answered since the last call, as one request of the frames' mean time."""
        if car.answered:
            mean = car.seconds / car.answered
            self._usage.count(car.user_id, car.version.model_type, car.answered, mean)
            car.answered, car.seconds = 0, 0.0

    def _predicted(self, due: Sequence[tuple[Car, Due]]) -> list[dict[str, Any] | LearningError]:
        first, started = due[0][0], time.perf_counter()
        request = first.request
        try:
            predictions: list[Prediction] = first.model.predict(
                [one.row for _, one in due],
                level=request.confidence_level if request.include_confidence else None,
                importance=request.include_feature_importance,
            )
        except LearningError as exc:
            return [exc] if len(due) == 1 else [self._predicted([one])[0] for one in due]
        seconds = (time.perf_counter() - started) / len(due)
        for car, _ in due:
            car.answered += 1
            car.seconds += seconds
        return [rendered(first.version, [prediction], request) for prediction in predictions]
