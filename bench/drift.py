"""`python -m bench.drift`: how often drift is found in stable laps, and how soon after a change of pace."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from learning.drift import DriftWatch, LapMark
from learning.history import AT_PACE, Features

_BEFORE, _AFTER = (80, 250), 40  # laps before a change, and laps in which it must be found
_STABLE = 600
NOISE = (0.2, 0.6)  # s, of a lap
_LAPS_PER_SESSION = 40


@dataclass(frozen=True, kw_only=True)
class Season:
    """How one driver's laps come about; times are in seconds.

    `shift` is added to every lap from `shift_at` on; days differ by `days`, a standard deviation; `told` says
    whether fuel and tyre life are known.
    """

    noise: float
    shift: float = 0.0
    shift_at: int = 0
    days: float = 0.0
    told: bool = True


def drive(season: Season, laps: int, rng: np.random.Generator) -> Iterator[tuple[Features, float, int]]:
    """Laps as a driver drives them: what is known of each, its time, and the session it belongs to.

    Outings of 6 to 21 laps; fuel burns and tyres wear, so the pace is a sawtooth; the driver improves by 0.3
    to 2 s; one lap in 25 has a mistake of 0.5 to 3 s, one in 25 is slow on purpose, as are the first and the
    last of an outing.
    """
    base, gain, practice = rng.uniform(70, 110), rng.uniform(0.3, 2.0), rng.uniform(40, 150)
    burn, wear = rng.uniform(0.02, 0.08), rng.uniform(0.01, 0.10)
    day, outing, number = 0.0, 0, 0
    while number < laps:
        size, outing = int(rng.integers(6, 22)), outing + 1
        fuel, age = rng.uniform(0, 10) + size, int(rng.integers(1, 6))
        for lap in range(size):
            if number % _LAPS_PER_SESSION == 0:
                day = rng.normal(0, season.days)
            time = base + gain * np.exp(-number / practice) + burn * (fuel - lap) + wear * (age + lap) + day
            time += rng.normal(0, season.noise) + (rng.random() < 0.04) * rng.uniform(0.5, 3)
            time *= 1.2 if lap in (0, size - 1) or rng.random() < 0.04 else 1.0
            time += season.shift * (season.shift != 0 and number >= season.shift_at)
            known: Features = {"tyre_life": float(age + lap), "fuel": fuel - lap} if season.told else {}
            yield known | {"outing": outing}, time, number // _LAPS_PER_SESSION
            number += 1


def drifts(season: Season, laps: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Where drift was found: numbers of laps driven, and of laps at pace since the shift, in that order."""
    watch, best, since, found = DriftWatch(), np.inf, 0, []
    for number, (x, time, session) in enumerate(drive(season, laps, rng)):
        best = min(best, time)
        if time > AT_PACE * best or number >= laps:
            continue
        since += number >= season.shift_at
        mark = LapMark(session=session, lap=number)
        if watch.update(x, time, lap_time=time, mark=mark):
            found.append((number, since))
    return found


def false_alarms(
    seeds: int, *, noise: tuple[float, float] = NOISE, days: float = 0.0, told: bool = True
) -> float:
    """Drifts found in 500 stable laps, on average."""
    found = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 0])
        season = Season(noise=rng.uniform(*noise), days=days, told=told)
        found += len(drifts(season, _STABLE, rng))
    return 500 * found / (seeds * _STABLE)


def delays(
    seeds: int, *, noise: tuple[float, float] = NOISE, days: float = 0.0, told: bool = True
) -> list[float]:
    """Laps at pace until a change of 1 s was found, in each season; infinite where it was not."""
    waited = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 1])
        at, sign = int(rng.integers(*_BEFORE)), rng.choice([-1.0, 1.0])
        season = Season(noise=rng.uniform(*noise), shift=sign, shift_at=at, days=days, told=told)
        after = [since for number, since in drifts(season, at + _AFTER, rng) if number >= at]
        waited.append(float(after[0]) if after else float("inf"))
    return waited


CASES: dict[str, Any] = {
    "noise 0.2 to 0.4 s": {"noise": (0.2, 0.4)},
    "noise 0.2 to 0.6 s": {},
    "fuel and tyres untold": {"told": False},
    "days 0.2 s apart": {"days": 0.2},
}


def main() -> None:
    """Prints the figures that docs/learning.md quotes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    seeds = parser.parse_args().seeds
    table = Table(title=f"{seeds} seasons each, a change of pace of 1 s either way")
    columns = ("laps", "false in 500", "found in 5", "in 10", "in 15", "median")
    for column in columns:
        table.add_column(column, justify="left" if column == "laps" else "right")
    for name, case in CASES.items():
        waited = np.array(delays(seeds, **case))
        shares = [f"{np.mean(waited <= laps):.1%}" for laps in (5, 10, 15)]
        table.add_row(name, f"{false_alarms(seeds, **case):.2f}", *shares, f"{np.median(waited):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
