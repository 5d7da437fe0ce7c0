"""Explains a lap against another: where it won or lost time, and what the driver did otherwise there."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learning.corners import (
    UNITS,
    Cause,
    Corner,
    Kind,
    Pair,
    Shares,
    corners_of,
    difference_of,
    pair,
    shares_of,
)
from learning.errors import InvalidInput
from learning.laps import GRID, SPLITS, Floats, Lap

MINI_SECTORS = SPLITS
ADDS_UP = 0.01  # seconds by which sector times may miss their lap's
_GRID: Floats = np.linspace(0.0, 1.0, GRID + 1)
_SHOWN = 0.003  # seconds; causes of less join the unexplained
_ROUNDING = 0.0005


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A cause and the seconds lost to it in one part of the lap; negative is time won.

    Parameters
    ----------
    difference, unit
        The lap's value less the reference's: metres along the lap for points, so that negative is earlier, or
        km/h. None where the telemetry cannot tell.
    corner
        Counts the reference's corners from 1; 0 is before the first.
    """

    kind: Kind
    loss: float
    difference: float | None = None
    unit: str | None = None
    corner: int | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A sector or mini-sector; `start` and `end` are shares of the lap, None where that is unknown.

    The losses of the findings, the largest first, add up to the part's; without speeds there are none.
    """

    number: int
    start: float | None
    end: float | None
    time: float
    reference_time: float
    findings: tuple[Finding, ...] = ()

    @property
    def loss(self) -> float:
        return self.time - self.reference_time

    @property
    def explained_by(self) -> Kind | None:
        """The kind of cause that most of the loss or gain is due to."""
        along = [finding for finding in self.findings if finding.loss * self.loss > 0]
        return along[0].kind if along else None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A lap against its reference; the losses of the sectors, and of the mini-sectors, add up to `gap`.

    Parameters
    ----------
    length, resolution
        Metres of the lap, and between two frames of the coarser lap; None without speeds.
    untold
        What cannot be told, and why.
    """

    lap_time: float
    reference_time: float
    length: float | None
    resolution: float | None
    sectors: tuple[Part, ...]
    mini_sectors: tuple[Part, ...]
    untold: tuple[str, ...]

    @property
    def gap(self) -> float:
        """Seconds; positive when the lap was slower."""
        return self.lap_time - self.reference_time


def explain(lap: Lap, reference: Lap) -> Explanation:
    """Compares two timed laps of one track by track position; for the causes see `corners.shares_of`.

    Raises
    ------
    InvalidInput
        A lap was not timed.
    """
    lap_time, reference_time = _timed(lap, "lap"), _timed(reference, "reference")
    traces = bool(len(lap.position) and len(reference.position))
    laps = pair(lap, reference) if traces else None
    ledger = _Ledger(lap, reference, laps) if traces else None
    return Explanation(
        lap_time=lap_time,
        reference_time=reference_time,
        length=laps.length if laps else None,
        resolution=laps.resolution if laps else None,
        sectors=tuple(_sectors(lap, reference, ledger)),
        mini_sectors=tuple(_mini_sectors(ledger)) if ledger else (),
        untold=tuple(_untold(lap, reference, laps, traces=traces)),
    )


class _Ledger:
    """The time that both laps took to each point of the grid, and what the loss of each step is due to."""

    def __init__(self, lap: Lap, reference: Lap, laps: Pair | None) -> None:
        self.clocks = lap.elapsed(_GRID), reference.elapsed(_GRID)
        self._laps = laps
        self._corners: tuple[Corner, ...] = corners_of(laps) if laps else ()
        self._shares: list[Shares] = shares_of(laps, self._corners) if laps else []

    def part(self, number: int, start: int, end: int) -> Part:
        """What lies between two points."""
        time, reference_time = (float(clock[end] - clock[start]) for clock in self.clocks)
        return Part(
            number=number,
            start=start / GRID,
            end=end / GRID,
            time=time,
            reference_time=reference_time,
            findings=self._findings(start, end, time - reference_time),
        )

    def _findings(self, start: int, end: int, loss: float) -> tuple[Finding, ...]:
        if self._laps is None:
            return ()
        steps = np.diff(self.clocks[0] - self.clocks[1])
        lost: Shares = {}
        for step in range(start, end):
            for cause, share in self._shares[step].items():
                lost[cause] = lost.get(cause, 0.0) + share * float(steps[step])
        shown = {
            cause: seconds
            for cause, seconds in lost.items()
            if abs(seconds) >= _SHOWN and cause.kind is not Kind.UNEXPLAINED
        }
        found = [self._finding(self._laps, cause, seconds) for cause, seconds in shown.items()]
        rest = loss - sum(shown.values())
        found += [Finding(kind=Kind.UNEXPLAINED, loss=rest)] if abs(rest) >= _ROUNDING else []
        return tuple(sorted(found, key=lambda finding: -abs(finding.loss)))

    def _finding(self, laps: Pair, cause: Cause, seconds: float) -> Finding:
        return Finding(
            kind=cause.kind,
            loss=seconds,
            difference=difference_of(laps, self._corners, cause),
            unit=UNITS.get(cause.kind),
            corner=cause.corner,
        )


def _mini_sectors(ledger: _Ledger) -> Iterator[Part]:
    bounds = range(0, GRID + 1, GRID // MINI_SECTORS)
    return (ledger.part(number, *steps) for number, steps in enumerate(pairwise(bounds), start=1))


def _sectors(lap: Lap, reference: Lap, ledger: _Ledger | None) -> Iterator[Part]:
    """By track position where both laps have telemetry, for sector times are only as fine as its frames."""
    if ledger is None:
        return _timed_sectors(lap, reference) if _comparable(lap, reference) else iter(())
    ends = np.interp(np.cumsum(reference.sector_times)[:-1], ledger.clocks[1], _GRID)
    bounds = [0, *np.rint(ends * GRID).astype(int).tolist(), GRID] if reference.sector_times else []
    return (ledger.part(number, *steps) for number, steps in enumerate(pairwise(bounds), start=1))


def _timed_sectors(lap: Lap, reference: Lap) -> Iterator[Part]:
    times = zip(lap.sector_times, reference.sector_times, strict=True)
    for number, (time, reference_time) in enumerate(times, start=1):
        yield Part(number=number, start=None, end=None, time=time, reference_time=reference_time)


def _timed(lap: Lap, name: str) -> float:
    if lap.lap_time is None:
        raise InvalidInput(f"{name} {lap.number} was not timed", fields={name: ["was not timed"]})
    return lap.lap_time


def _comparable(lap: Lap, reference: Lap) -> bool:
    return len(lap.sector_times) == len(reference.sector_times) > 0 and _add_up(lap) and _add_up(reference)


def _add_up(lap: Lap) -> bool:
    return lap.lap_time is not None and abs(sum(lap.sector_times) - lap.lap_time) <= ADDS_UP / 2


def _untold(lap: Lap, reference: Lap, laps: Pair | None, *, traces: bool) -> Iterator[str]:
    if not (reference.sector_times if traces else _comparable(lap, reference)):
        yield "sectors: the laps have not the same sectors, with times that add up to their lap times"
    if not traces:
        yield "mini-sectors and causes: a lap has no telemetry"
    elif laps is None:
        yield "causes: a lap has no speed, or too few frames with one"
    else:
        if laps.brake is None:
            yield "braking points: a lap has no brake channel"
        if laps.throttle is None:
            yield "throttle pick-up and lifts: a lap has no throttle channel"
        yield f"points of the lap to less than {laps.resolution:.1f} m, the distance between two frames"
