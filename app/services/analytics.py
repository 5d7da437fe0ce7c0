"""What a driver has done with the platform, day by day: versions made, predictions, improvement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from app.domain import ModelType
from app.histogram import percentile
from app.services.usage import Usage
from app.stores.usage import Made, Tally, UsageStore
from models_store.performance import Measured, Performance

DAY = timedelta(days=1)
MIDNIGHT = time(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds a request took; the percentiles are within 5 %."""

    mean: float
    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Requests answered, rows predicted by them."""

    requests: int
    rows: int
    latency: Latency


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """What a lineage's error was and what it became, in seconds; `improvement` is what it lost."""

    track_name: str
    model_type: ModelType
    first_version: str
    last_version: str
    first_mae: float
    last_mae: float

    @property
    def improvement(self) -> float:
        return self.first_mae - self.last_mae


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What happened in some time."""

    models_created: int
    models_updated: int
    predictions: Mapping[str, Predictions]
    improvements: tuple[Improvement, ...]


@dataclass(frozen=True, kw_only=True)
class Day(Totals):
    """What happened on one day, by UTC."""

    date: date


@dataclass(frozen=True, kw_only=True)
class Report:
    """What happened on each day of a time, and in all of it."""

    first: date
    last: date
    days: tuple[Day, ...]
    totals: Totals


class Analytics:
    """Use cases of usage."""

    def __init__(self, usage: Usage, store: UsageStore, performance: Performance) -> None:
        self._usage = usage
        self._store = store
        self._performance = performance

    def report(self, user_id: str, first: date, last: date) -> Report:
        """A driver's usage from one day to another, both in it.

        What this process has counted is in it; what another one has, within about a second.
        """
        self._usage.flush()
        since, until = datetime.combine(first, MIDNIGHT), datetime.combine(last, MIDNIGHT) + DAY
        predictions = self._store.predictions(user_id, first, last)
        made = self._store.made(user_id, since, until)
        lineages = _lineages(self._performance.measured(user_id, since, until))
        steps = [step for lineage in lineages for step in _daily(lineage)]
        days = tuple(
            Day(
                date=day,
                **vars(
                    _totals(
                        [made.get(day, Made())],
                        [predictions.get(day, {})],
                        [improvement for then, improvement in steps if then == day],
                    )
                ),
            )
            for day in _days(first, last)
        )
        whole = [_between(lineage[0], lineage[-1]) for lineage in lineages if len(lineage) > 1]
        totals = _totals(made.values(), predictions.values(), whole)
        return Report(first=first, last=last, days=days, totals=totals)


def _totals(
    made: Iterable[Made],
    tallies: Iterable[Mapping[ModelType, Tally]],
    improvements: Sequence[Improvement],
) -> Totals:
    created, updated = 0, 0
    for one in made:
        created, updated = created + one.created, updated + one.updated
    merged: dict[ModelType, Tally] = {}
    for by_type in tallies:
        for model_type, tally in by_type.items():
            merged.setdefault(model_type, Tally()).merge(tally)
    return Totals(
        models_created=created,
        models_updated=updated,
        predictions={model_type.value: _predictions(tally) for model_type, tally in merged.items()},
        improvements=tuple(improvements),
    )


def _predictions(tally: Tally) -> Predictions:
    return Predictions(
        requests=tally.requests,
        rows=tally.rows,
        latency=Latency(
            mean=tally.seconds / tally.requests,
            p50=percentile(tally.buckets, 0.5),
            p95=percentile(tally.buckets, 0.95),
        ),
    )


def _lineages(measured: Iterable[Measured]) -> list[list[Measured]]:
    """The versions by lineage, each oldest first."""
    lineages: dict[tuple[str, ModelType], list[Measured]] = {}
    for version in measured:
        lineages.setdefault((version.track_name, version.model_type), []).append(version)
    return list(lineages.values())


def _daily(lineage: Sequence[Measured]) -> Iterator[tuple[date, Improvement]]:
    """Each day's last version against the one of the day before, or else against the day's first."""
    before: Measured | None = None
    for day, group in groupby(lineage, key=lambda version: version.created_at.date()):
        versions = list(group)
        first, last = before or versions[0], versions[-1]
        if first is not last:
            yield day, _between(first, last)
        before = last


def _between(first: Measured, last: Measured) -> Improvement:
    return Improvement(
        track_name=first.track_name,
        model_type=first.model_type,
        first_version=first.model_version,
        last_version=last.model_version,
        first_mae=first.mae,
        last_mae=last.mae,
    )


def _days(first: date, last: date) -> Iterator[date]:
    return (first + n * DAY for n in range((last - first).days + 1))
