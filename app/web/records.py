"""What versions said of laps before they learned them: the newest laps of a version and its ancestors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from flask import g

from app.api.context import services
from app.domain import Version
from app.errors import ModelNotFound
from app.services.models import Models
from learning.history import AT_PACE

LAPS_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A change of pace, `size` in seconds a lap; `began` is a lap of the session it was found in, or None."""

    direction: str
    size: float
    began: int | None

    def __str__(self) -> str:
        since = f"since lap {self.began}" if self.began is not None else "since an earlier session"
        return f"{self.size:.3f} s a lap {self.direction} {since}"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A lap, and what was predicted of it by the version that `number` grew from; times in seconds."""

    number: str
    session_id: str
    lap: int
    lap_time: float
    predicted: float
    lower: float
    upper: float
    drift: Drift | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """The newest laps, oldest first; `slow` laps, driven for no time, are left out."""

    laps: Sequence[Told]
    slow: int

    @property
    def mean_error(self) -> float:
        return fmean(abs(lap.predicted - lap.lap_time) for lap in self.laps)

    @property
    def inside(self) -> int:
        return sum(lap.lower <= lap.lap_time <= lap.upper for lap in self.laps)

    @property
    def drifts(self) -> list[Told]:
        return [lap for lap in self.laps if lap.drift]


def own_version(id: str) -> Version:
    """A version of the driver's own; of a shared one nothing is told of its lineage."""
    version = services().models.get(g.user.id, id)
    if version.user_id != g.user.id:
        raise ModelNotFound
    return version


def record_of(models: Models, version: Version) -> Record:
    """The newest laps that a version and its ancestors learned; none of versions made by older releases."""
    laps: list[Told] = []
    at: Version | None = version
    while at and len(laps) < LAPS_SHOWN and (older := list(_laps_of(at))):
        laps = older + laps
        at = _parent(models, at)
    laps = laps[-LAPS_SHOWN:]
    slowest = AT_PACE * min((lap.lap_time for lap in laps), default=0.0)
    shown = [lap for lap in laps if lap.lap_time <= slowest]
    return Record(laps=shown, slow=len(laps) - len(shown))


def _parent(models: Models, version: Version) -> Version | None:
    try:
        return models.get(version.user_id, version.parent_id) if version.parent_id else None
    except ModelNotFound:  # removed this moment
        return None


def _laps_of(version: Version) -> Iterator[Told]:
    """The laps of a version's own training, in the order driven."""
    sessions = (version.validation_results or {}).get("sessions", {})
    for session_id in version.training_session_ids:
        told = sessions.get(session_id, {})
        if "predictions" in told:
            yield from _laps_in(version.model_version, session_id, told)


def _laps_in(number: str, session_id: str, told: dict[str, Any]) -> Iterator[Told]:
    columns, drifts = told["predictions"], {one["detected"]["lap"]: one for one in told.get("drifts", ())}
    names = ("lap", "lapTime", "predicted", "lower", "upper")
    for lap, *times in zip(*(columns[name] for name in names), strict=True):
        known = dict(zip(("lap_time", "predicted", "lower", "upper"), times, strict=True))
        drift = _drift(drifts[lap]) if lap in drifts else None
        yield Told(number=number, session_id=session_id, lap=lap, drift=drift, **known)


def _drift(told: dict[str, Any]) -> Drift:
    same = told["began"]["session"] == told["detected"]["session"]
    return Drift(direction=told["direction"], size=told["size"], began=told["began"]["lap"] if same else None)


def drifts_in(version: Version) -> list[Drift]:
    """What was found in the laps that a version learned itself."""
    told = version.validation_results or version.model_metadata["performanceMetrics"].get("latest", {})
    return [_drift(one) for one in told.get("drifts", ())]
