"""`python -m bench.compare`: how often comparison and live experiment are wrong when the models are equal.

Errors are AR(1) within a session and have heavy tails (Student's t with 3 degrees of freedom); `slow
laps` makes one lap in ten twenty times as wrong, `differences` makes the paired differences themselves
AR(1), the hardest case.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from rich.console import Console
from rich.table import Table

from learning.compare import Verdict, compare, paired_difference
from learning.laps import Floats
from learning.sequential import evidence

LEVEL = 0.95
CORRELATIONS = (0.0, 0.5, 0.8)
SIZES = ((20, 1), (20, 2), (40, 1), (60, 3), (200, 1), (200, 5))  # laps in all, sessions
EXPERIMENTS = ((15, 40), (30, 30), (60, 15))  # laps a session, sessions
_BEFORE = 100  # laps driven before the first counts, so that the series is in its stride
Kind = Callable[[Generator, int, float], Floats]


def independent_errors(random: Generator, laps: int, correlation: float) -> Floats:
    """Paired differences of two equal models whose errors have nothing in common."""
    return _error(random, laps, correlation) - _error(random, laps, correlation)


def common_errors(random: Generator, laps: int, correlation: float) -> Floats:
    """Paired differences of two equal models that mostly err alike, as two of one lineage do."""
    common = _series(random, laps, correlation)
    one, other = (np.abs(common + 0.5 * _series(random, laps, correlation)) for _ in range(2))
    return np.asarray(one - other)


def slow_laps(random: Generator, laps: int, correlation: float) -> Floats:
    """As `independent_errors`, with some laps far more wrong than the others."""
    scale = np.where(random.random(laps) < 0.1, 20.0, 1.0)
    return np.asarray(independent_errors(random, laps, correlation) * scale)


def correlated_differences(random: Generator, laps: int, correlation: float) -> Floats:
    return _series(random, laps, correlation)


KINDS: dict[str, Kind] = {
    "independent errors": independent_errors,
    "common errors": common_errors,
    "slow laps": slow_laps,
    "differences": correlated_differences,
}


def false_verdicts(
    kind: Kind, correlation: float, *, laps: int, sessions: int, rounds: int, seed: int
) -> float:
    """The share of comparisons of two equal models whose verdict is not `no_difference`."""
    random = np.random.default_rng(seed)
    wrong = 0
    for _ in range(rounds):
        drawn = [kind(random, laps // sessions, correlation) for _ in range(sessions)]
        wrong += paired_difference(drawn, level=LEVEL, seed=seed).p <= 1 - LEVEL
    return wrong / rounds


def false_verdicts_of_several(models: int, correlation: float, *, laps: int, rounds: int, seed: int) -> float:
    """The share of comparisons of several equal models with any verdict but `no_difference`."""
    random = np.random.default_rng(seed)
    wrong = 0
    for _ in range(rounds):
        errors = np.stack([_error(random, laps, correlation) for _ in range(models)], axis=1)
        pairs = compare([errors], level=LEVEL, seed=seed)
        wrong += any(pair.verdict is not Verdict.NO_DIFFERENCE for pair in pairs)
    return wrong / rounds


def decided_after(differences: Sequence[Floats], level: float = LEVEL) -> int | None:
    """After how many sessions an experiment, looked at after each, is decided; None when it never is."""
    for looks in range(1, len(differences) + 1):
        found = evidence(differences[:looks], level=level, bounds=False)
        if found and found.is_decisive:
            return looks
    return None


def false_decisions(
    kind: Kind, correlation: float, *, laps: int, sessions: int, rounds: int, seed: int
) -> float:
    """The share of experiments with two equal models that are decided at any of their looks."""
    random = np.random.default_rng(seed)
    drawn = ([kind(random, laps, correlation) for _ in range(sessions)] for _ in range(rounds))
    return sum(decided_after(one) is not None for one in drawn) / rounds


def times_to_decide(gain: float, *, laps: int, sessions: int, rounds: int, seed: int) -> list[float]:
    """Sessions until a challenger is seen to be better by so many standard deviations of a difference."""
    random = np.random.default_rng(seed)
    better = gain * float(np.std(independent_errors(random, 10_000, 0.5)))
    drawn = ([independent_errors(random, laps, 0.5) + better for _ in range(sessions)] for _ in range(rounds))
    return sorted(decided_after(one) or float("inf") for one in drawn)


def _error(random: Generator, laps: int, correlation: float) -> Floats:
    return np.abs(_series(random, laps, correlation))


def _series(random: Generator, laps: int, correlation: float) -> Floats:
    """AR(1) with innovations of Student's t, 3 degrees of freedom."""
    values = random.standard_t(3, laps + _BEFORE)
    for index in range(1, len(values)):
        values[index] += correlation * values[index - 1]
    return np.asarray(values[_BEFORE:])


def main() -> None:
    """Prints the rates; they should be at most 0.05, and the columns say of what."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=1_000, help="comparisons; experiments are a quarter of it"
    )
    rounds = parser.parse_args().rounds
    console = Console(width=110)
    rates = _table("False verdicts at 0.95", [f"{laps} laps, {sessions} s." for laps, sessions in SIZES])
    several = _table("False verdicts at 0.95, 5 models", [f"{laps} laps" for laps, _ in SIZES[::2]])
    looked = _table(
        "False decisions at 0.95, a look a session", [f"{n} x {laps} laps" for laps, n in EXPERIMENTS]
    )
    for correlation in CORRELATIONS:
        for name, kind in KINDS.items():
            found = [
                false_verdicts(kind, correlation, laps=laps, sessions=sessions, rounds=rounds, seed=laps)
                for laps, sessions in SIZES
            ]
            rates.add_row(name, f"{correlation}", *(f"{rate:.3f}" for rate in found))
            found = [
                false_decisions(
                    kind, correlation, laps=laps, sessions=sessions, rounds=rounds // 4, seed=laps
                )
                for laps, sessions in EXPERIMENTS
            ]
            looked.add_row(name, f"{correlation}", *(f"{rate:.3f}" for rate in found))
        found = [
            false_verdicts_of_several(5, correlation, laps=laps, rounds=rounds // 4, seed=laps)
            for laps, _ in SIZES[::2]
        ]
        several.add_row("independent errors", f"{correlation}", *(f"{rate:.3f}" for rate in found))
    console.print(rates, several, looked, _times(rounds // 10))


def _times(rounds: int) -> Table:
    table = Table(title="Sessions until a better challenger is seen to be, correlation 0.5: median, 9 of 10")
    for column in ("better by", *(f"{laps} laps" for laps, _ in EXPERIMENTS)):
        table.add_column(column)
    for gain in (0.2, 0.5, 1.0):
        found = [
            times_to_decide(gain, laps=laps, sessions=n, rounds=rounds, seed=n) for laps, n in EXPERIMENTS
        ]
        cells = (f"{times[len(times) // 2]:g}, {times[len(times) * 9 // 10]:g}" for times in found)
        table.add_row(f"{gain} sd", *cells)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title)
    for column in ("", "correlation", *columns):
        table.add_column(column, justify="right" if column else "left")
    return table


if __name__ == "__main__":
    main()
