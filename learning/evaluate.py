"""Evaluates an algorithm on session files as one driver's history: `python -m learning.evaluate`."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from learning.errors import LearningError
from learning.history import AT_PACE, position_of
from learning.intervals import Interval
from learning.lap_time import LapTimeModel
from learning.laps import Lap, SessionLaps
from learning.model import RacingModel
from learning.moments import moment_of, whole_of
from learning.references import References
from learning.sectors import SectorModel
from learning.telemetry.reading import read_session
from learning.zoo import create_model

_PARTS = {LapTimeModel.model_type: "position", SectorModel.model_type: "sector"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One prediction and its truth; times in seconds, None where there is none.

    `part` is a position in percent or a sector's number; `references` are not written out.
    """

    session: str
    lap: int
    part: float
    predicted: float | None
    interval: Interval | None
    actual: float | None
    learned: bool
    references: Mapping[str, float] = field(default_factory=dict)

    def cells(self) -> tuple[Any, ...]:
        bounds = (self.interval.lower, self.interval.upper) if self.interval else (None, None)
        times = (_rounded(value) for value in (self.predicted, *bounds, self.actual))
        return (self.session, self.lap, f"{self.part:g}", *times, int(self.learned))


class History:
    """The laps at pace so far, for the reference predictors."""

    def __init__(self) -> None:
        self.references = References()
        self.sector_times: list[tuple[float, ...]] = []

    def add(self, lap: Lap) -> None:
        if lap.lap_time is None or not self.references.is_at_pace(lap.lap_time):
            return
        self.references.add(lap.lap_time, whole_of(lap)["trace"])
        self.sector_times = [*self.sector_times, lap.sector_times][-5:]


def follow(
    model: RacingModel[Any],
    sessions: Iterable[tuple[str, SessionLaps]],
    *,
    positions: Sequence[float] = (10, 25, 50, 75, 90),
    level: float = 0.9,
) -> Iterator[Row]:
    """Predicts every lap of named sessions, then learns those that fit, in the order driven.

    Parameters
    ----------
    positions
        Percent of the lap; sectors are predicted before their lap starts instead.
    level
        Of the intervals.
    """
    history = History()
    for name, session in sessions:
        model.begin_session()
        for lap in session.laps:
            if isinstance(model, SectorModel):
                yield from _sector_rows(model, name, session, lap, history, level)
            else:
                yield from _position_rows(model, name, session, lap, history, positions, level)
            if model.fits(session, lap):
                model.learn_lap(session, lap)
                history.add(lap)
        model.end_session(session)


def _position_rows(
    model: RacingModel[Any],
    name: str,
    session: SessionLaps,
    lap: Lap,
    history: History,
    positions: Sequence[float],
    level: float,
) -> Iterator[Row]:
    for percent in positions:
        x = moment_of(lap, percent / 100)
        answer = model.predict_lap(session, lap, x, level=level)
        yield Row(
            session=name,
            lap=lap.number,
            part=percent,
            predicted=answer.values["lap_time"] if answer else None,
            interval=answer.interval if answer else None,
            actual=lap.lap_time,
            learned=model.fits(session, lap),
            references=history.references.predict(position_of(x), x.get("current_lap_time", 0.0)),
        )


def _sector_rows(
    model: SectorModel, name: str, session: SessionLaps, lap: Lap, history: History, level: float
) -> Iterator[Row]:
    answers: Sequence[tuple[float | None, Interval | None]]
    answers = model.predict_sectors(session, lap, level=level) or [(None, None)] * len(lap.sector_times)
    for index, (predicted, interval) in enumerate(answers):
        past = [times[index] for times in history.sector_times if index < len(times)]
        yield Row(
            session=name,
            lap=lap.number,
            part=index + 1,
            predicted=predicted,
            interval=interval,
            actual=lap.sector_times[index] if index < len(lap.sector_times) else None,
            learned=model.fits(session, lap),
            references={"last_lap": past[-1], "median_of_five": median(past)} if past else {},
        )


def summary(rows: Sequence[Row], part: str) -> str:
    """MAE by part, of the model and the references, over what was within 107 % of the driver's best."""
    errors: dict[float, list[Mapping[str, float]]] = {}
    best: dict[float, float] = {}
    known = [(row, row.actual) for row in rows if row.learned and row.actual is not None]
    for row, actual in known:
        best[row.part] = min(actual, best.get(row.part, actual))
    for row, actual in known:
        if row.predicted is not None and row.references and actual <= AT_PACE * best[row.part]:
            answers = {"model": row.predicted, **row.references}
            row_errors = {name: abs(answer - actual) for name, answer in answers.items()}
            errors.setdefault(row.part, []).append(row_errors)
    if not errors:
        return "no lap could be scored"
    names = list(next(iter(errors.values()))[0])
    lines = [[part, "laps", *names]]
    for value, found in errors.items():
        means = [fmean(error[name] for error in found) for name in names]
        lines.append([f"{value:g}", str(len(found)), *(f"{mean:.3f}" for mean in means)])
    return "\n".join("".join(f"{cell:>16}" for cell in line) for line in lines)


def write(rows: Iterable[Row], part: str, out: Path) -> None:
    """Writes predictions as CSV."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("session", "lap", part, "predicted", "lower", "upper", "actual", "learned"))
        writer.writerows(row.cells() for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)
    part = _PARTS[options.model_type]
    try:
        model = create_model(options.model_type, options.algorithm)
        sessions = [(path.name, read_session(path).session) for path in options.files]
    except (LearningError, OSError) as error:
        print(f"cannot evaluate: {error}", file=sys.stderr)
        return 1
    rows = list(follow(model, sessions, positions=options.positions, level=options.level))
    write(rows, part, options.out)
    print(f"{model.algorithm}, {model.laps_learned} laps learned; mean absolute errors in seconds")
    print(summary(rows, part))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m learning.evaluate", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="sessions in the order driven")
    parser.add_argument("--model-type", required=True, choices=list(_PARTS))
    parser.add_argument("--algorithm", help="an entry of the zoo; the type's default if not given")
    parser.add_argument("--positions", type=_percents, default=(10.0, 25.0, 50.0, 75.0, 90.0))
    parser.add_argument("--level", type=_level, default=0.9, help="of the intervals, between 0 and 1")
    parser.add_argument("--out", required=True, type=Path, metavar="CSV")
    return parser


def _percents(text: str) -> tuple[float, ...]:
    values = tuple(float(value) for value in text.split(","))
    if not all(0 <= value < 100 for value in values):
        raise argparse.ArgumentTypeError("positions are percent of the lap, from 0 to below 100")
    return values


def _level(text: str) -> float:
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError("a level lies between 0 and 1")
    return float(text)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    sys.exit(main())
