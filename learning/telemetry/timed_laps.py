"""Laps that are known by their official times alone: numbered, judged, and put into outings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.laps import Lap
from learning.telemetry.channels import NO_TIME
from learning.telemetry.cutting import LONGEST, SHORTEST, Reason, with_outings
from learning.telemetry.source import Limits

SECTORS = 20  # that a lap may have
ROUNDING = 0.05  # seconds by which sector times may miss the lap's time, being rounded
_MILLI = 0.001


@dataclass(frozen=True, kw_only=True)
class TimedLap:
    """One lap as a table or a list of results has it; times in seconds, without those that stand for none."""

    number: int
    lap_time: float | None
    sector_times: tuple[float | None, ...] = ()
    reason: Reason | None = None  # why it may not be learned from, its time apart
    context: Mapping[str, str | float] = field(default_factory=dict)
    session: str = ""
    stint: str = ""


def laps_of(timed: Sequence[TimedLap], limits: Limits) -> tuple[Lap, ...]:
    """Laps without telemetry, numbered on from session to session, with their outings.

    Raises
    ------
    InvalidTelemetry
        A lap comes twice, or none has a time.
    TelemetryTooLarge
        There are more laps than the limit.
    """
    if len(timed) > limits.laps:
        raise TelemetryTooLarge(
            f"The session has more than {limits.laps:,} laps; split it.", limit=limits.laps
        )
    ordered = list(_numbered(timed))
    if not any(lap.lap_time for lap in ordered):
        raise InvalidTelemetry("No lap has a time; upload a session with at least one timed lap.")
    runs = [(lap.session, lap.stint) for lap in ordered]
    begins = {
        lap.number for lap, run, before in zip(ordered[1:], runs[1:], runs, strict=False) if run != before
    }
    return with_outings([_lap(lap) for lap in ordered], begins)


def _numbered(timed: Sequence[TimedLap]) -> Iterator[TimedLap]:
    """The laps in order of their numbers; those of a later session follow on the one before."""
    sessions: dict[str, list[TimedLap]] = {}
    for lap in timed:
        sessions.setdefault(lap.session, []).append(lap)
    last: int | None = None
    for laps in sessions.values():
        driven = sorted(laps, key=lambda lap: lap.number)
        for lap, again in pairwise(driven):
            if lap.number == again.number:
                raise _twice(lap)
        shift = 0 if last is None else max(last + 1 - driven[0].number, 0)
        yield from (replace(lap, number=lap.number + shift) for lap in driven)
        last = driven[-1].number + shift


def _twice(lap: TimedLap) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"Lap {lap.number} comes in several rows. A table of laps has one row a lap, with a column driver or "
        "session where it holds several of them; telemetry needs a track_position.",
        lap=lap.number,
        column="lap",
    )


def _lap(timed: TimedLap) -> Lap:
    reason = timed.reason
    if timed.lap_time is None:
        reason = reason or Reason.NOT_TIMED
    elif not SHORTEST <= timed.lap_time <= LONGEST:
        reason = reason or Reason.IMPLAUSIBLE_TIME
    return Lap(
        number=timed.number,
        lap_time=timed.lap_time,
        valid=reason is None,
        reason=reason and str(reason),
        sector_times=_whole_sectors(timed),
        outing=0,
        position=np.empty(0),
        time=np.empty(0),
        channels={},
        context=timed.context,
    )


def _whole_sectors(timed: TimedLap) -> tuple[float, ...]:
    """The sector times, if all are there and add up to the lap's time."""
    times = tuple(time for time in timed.sector_times if time is not None)
    if timed.lap_time is None or len(times) < max(len(timed.sector_times), 2):
        return ()
    return times if abs(sum(times) - timed.lap_time) <= ROUNDING else ()


def positive(seconds: float | None) -> float | None:
    """A time, unless it is one of those that stand for none.

    >>> positive(93.4), positive(0.0), positive(2_147_483.647)
    (93.4, None, None)
    """
    return seconds if seconds is not None and 0 < seconds < NO_TIME * _MILLI else None
