"""Progressive metrics: every number is of predictions made before their lap was learned."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from river import stats

from learning.drift import Drift, LapMark
from learning.intervals import Interval

LEVEL = 0.9  # of the intervals whose coverage is counted
_DRIFTS = 20  # the newest that are kept
_ACCURATE = 0.005  # a prediction within 0.5 % of the lap time counts as accurate


class LapError(LapMark):
    """The absolute error made on one lap, in seconds."""

    error: float


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """How well one point of the lap, or one sector, was predicted on laps at pace. Errors are in seconds."""

    laps: int
    mae: float
    coverage: float  # the share of laps inside the 90 % interval
    references: Mapping[str, float]  # MAE of the reference predictors on the same laps


@dataclass(frozen=True, kw_only=True)
class Report:
    """How well some laps were predicted; errors are in seconds, None where no lap could be scored.

    `parts` are points of the lap in percent (`positions`), or sectors, as `part` says. `drifts` are the
    changes of pace found in these laps, oldest first.
    """

    laps: int
    scored: int
    mae: float | None
    mse: float | None
    rmse: float | None
    accuracy: float | None
    part: str
    parts: Mapping[str, PartReport] = field(default_factory=dict)
    drifts: Sequence[Drift] = ()

    @property
    def positions(self) -> Mapping[str, PartReport]:
        return self.parts if self.part == "positions" else {}

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        parts = values.pop("parts")
        return values | {values.pop("part"): parts}

    @staticmethod
    def merged(reports: "Sequence[Report]") -> "Report":
        """One report of all laps of some reports, of at least one."""
        mse = _mean(reports, lambda report: report.mse)
        keys = dict.fromkeys(key for report in reports for key in report.parts)
        return Report(
            laps=sum(report.laps for report in reports),
            scored=sum(report.scored for report in reports),
            mae=_mean(reports, lambda report: report.mae),
            mse=mse,
            rmse=None if mse is None else math.sqrt(mse),
            accuracy=_mean(reports, lambda report: report.accuracy),
            part=reports[0].part,
            parts={key: _merged_part([r.parts[key] for r in reports if key in r.parts]) for key in keys},
            drifts=[drift for report in reports for drift in report.drifts],
        )


@dataclass(frozen=True, kw_only=True)
class PartTest:
    """A prediction of one part of a lap, and what became of it."""

    truth: float
    predicted: float
    interval: Interval
    references: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LapTest:
    """A lap predicted before it was learned: its time in mid-lap, and its parts."""

    truth: float
    predicted: float
    at_pace: bool
    parts: Mapping[str, PartTest]


class PartScore:
    """The counters behind a `PartReport`."""

    def __init__(self) -> None:
        self._error = stats.Mean()
        self._inside = stats.Mean()
        self._references: dict[str, stats.Mean] = {}

    def add(self, test: PartTest) -> None:
        self._error.update(abs(test.truth - test.predicted))
        self._inside.update(float(test.truth in test.interval))
        for name, answer in test.references.items():
            self._references.setdefault(name, stats.Mean()).update(abs(test.truth - answer))

    def report(self) -> PartReport:
        return PartReport(
            laps=int(self._error.n),
            mae=self._error.get(),
            coverage=self._inside.get(),
            references={name: error.get() for name, error in self._references.items()},
        )


class Score:
    """The counters behind a `Report`."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._laps = 0
        self._error = stats.Mean()
        self._square = stats.Mean()
        self._accurate = stats.Mean()
        self._parts: dict[str, PartScore] = {}
        self._drifts: tuple[Drift, ...] = ()

    def note(self, drift: Drift) -> None:
        """Keeps a change of pace for the report."""
        self._drifts = (*self._drifts, drift)[-_DRIFTS:]

    def add(self, test: LapTest | None) -> None:
        """Counts a lap; None is one that could not be predicted, as the first of its kind."""
        self._laps += 1
        if test is None:
            return
        error = abs(test.truth - test.predicted)
        self._error.update(error)
        self._square.update(error**2)
        self._accurate.update(float(error <= _ACCURATE * test.truth))
        if test.at_pace:
            for key, part in test.parts.items():
                self._parts.setdefault(key, PartScore()).add(part)

    def report(self) -> Report:
        scored = int(self._error.n)
        return Report(
            laps=self._laps,
            scored=scored,
            mae=self._error.get() if scored else None,
            mse=self._square.get() if scored else None,
            rmse=math.sqrt(self._square.get()) if scored else None,
            accuracy=self._accurate.get() if scored else None,
            part=self._part,
            parts={key: part.report() for key, part in self._parts.items()},
            drifts=list(self._drifts),
        )


def _mean(reports: Sequence[Report], value: Callable[[Report], float | None]) -> float | None:
    pairs = [(found, report.scored) for report in reports if (found := value(report)) is not None]
    weight = sum(scored for _, scored in pairs)
    return sum(found * scored for found, scored in pairs) / weight if weight else None


def _merged_part(parts: Sequence[PartReport]) -> PartReport:
    laps = sum(part.laps for part in parts)

    def mean(value: Callable[[PartReport], float]) -> float:
        return sum(value(part) * part.laps for part in parts) / laps

    names = parts[0].references
    return PartReport(
        laps=laps,
        mae=mean(lambda part: part.mae),
        coverage=mean(lambda part: part.coverage),
        references={name: sum(p.references[name] * p.laps for p in parts) / laps for name in names},
    )
