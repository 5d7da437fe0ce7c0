"""`python -m bench.setup`: how many setups the optimiser must see driven, against random search."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from learning.laps import Floats, Lap, SessionLaps
from learning.simulator import CARS, PARAMETERS, TRACKS, default_setup, optimum
from learning.simulator.cars import limits
from learning.simulator.physics import lap_speeds, lap_times
from learning.simulator.tracks import find_track
from learning.zoo import algorithms, create_model

CLOSE = 0.15  # seconds off the optimum that count as found
SETUPS = 12
LAPS = 8
NOISE = 0.3  # seconds a lap
START = 1.5  # seconds the first setup is off the optimum
RANDOM_SETUPS = 1000  # after which a random search is given up
MODEL_TYPE = "setup_optimization"
Setup = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A car whose true lap times are known: `times` of setups as rows, `best` the lowest of them all."""

    bounds: Mapping[str, tuple[float, float]]
    start: Setup
    times: Callable[[Floats], Floats]
    best: float

    def loss(self, setup: Setup) -> float:
        """Seconds a setup is slower than the best."""
        return float(self.times(np.array([[setup[name] for name in self.bounds]]))[0]) - self.best


@dataclass(frozen=True, kw_only=True)
class Driving:
    """What lap times hold besides the setup, in seconds.

    `improvement` is what a driver wins in the end, 63 % of it in 40 laps; a litre of fuel costs `fuel`, of
    which two are burnt a lap, and a lap on the tyres `wear`.
    """

    improvement: float = 0.0
    fuel: float = 0.0
    wear: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What came of one search: seconds off the optimum, after each setup driven."""

    believed: list[float]  # of the setup named as best
    recommended: list[float]  # of the setup to drive next
    covered: list[bool]  # whether the interval of the expected gain held the true gain

    @property
    def needed(self) -> int:
        """Setups driven until the best was found for good; one more than all of them where it was not."""
        missed = [number for number, loss in enumerate(self.believed, start=1) if loss >= CLOSE]
        return max(missed, default=0) + 1


def simulated(seed: int) -> Problem:
    """The simulator's cars and tracks in turn."""
    track, car = TRACKS[seed % len(TRACKS)], list(CARS)[seed // len(TRACKS) % len(CARS)]
    circuit = find_track(track)

    def times(setups: Floats) -> Floats:
        able = limits(CARS[car], dict(zip(PARAMETERS, setups.T, strict=True)))
        return lap_times(lap_speeds(circuit, able), circuit.step)

    bounds = {name: (parameter.low, parameter.high) for name, parameter in PARAMETERS.items()}
    return Problem(bounds=bounds, start=default_setup(), times=times, best=optimum(track, car)[1])


def surface(seed: int) -> Problem:
    """A smooth surface over 2 to 8 parameters without telling names.

    In turn a plain bowl, a rounded cone with three interactions, a bowl with its lowest point near or beyond
    a bound, one with a flat bottom, and one with a parameter that does not matter.
    """
    random = np.random.default_rng([97, seed])
    size, kind = int(random.integers(2, 9)), seed % 5
    middle, curvature = random.uniform(-0.6, 0.6, size), random.uniform(0.2, 1.2, size)
    if kind == 2:
        middle[0] = random.choice([-1, 1]) * random.uniform(0.85, 1.3)
    if kind == 4:
        curvature[random.integers(size)] = 0.0
    bowl = np.diag(curvature)
    for _ in range(min(3, size // 2) if kind == 1 else 1):
        i, j = random.choice(size, 2, replace=False)
        strength = random.choice([-1, 1]) * random.uniform(0.3, 0.7) * np.sqrt(curvature[i] * curvature[j])
        bowl[i, j] = bowl[j, i] = strength
    bowl += max(0.02 - np.linalg.eigvalsh(bowl).min(), 0) * np.eye(size) * (kind != 4)

    def shape(z: Floats) -> Floats:
        away = z - middle
        if kind == 3:
            away = np.sign(away) * np.maximum(np.abs(away) - 0.2, 0)
        square: Floats = np.einsum("ni,ij,nj->n", away, bowl, away)
        return 2 * np.sqrt(1 + square) if kind == 1 else square

    return _problem(shape, size, random)


def _problem(shape: Callable[[Floats], Floats], size: int, random: np.random.Generator) -> Problem:
    """A shape over -1..1 as lap times over 0..10, scaled so that the start is off as it should be."""
    drawn = random.uniform(-1, 1, (4000, size))
    values = shape(drawn)
    start = drawn[np.abs(values - np.quantile(values, 0.4)).argmin()]
    lowest = drawn[values.argmin()]
    for reach in np.geomspace(0.5, 1e-4, 40):
        near = np.clip(lowest + reach * random.normal(size=(400, size)), -1, 1)
        lowest = np.vstack([lowest, near])[shape(np.vstack([lowest, near])).argmin()]
    floor, level = float(shape(lowest[None])[0]), float(random.uniform(60, 120))
    scale = START / (float(shape(start[None])[0]) - floor)
    names = [f"parameter_{number}" for number in range(size)]
    return Problem(
        bounds=dict.fromkeys(names, (0.0, 10.0)),
        start=dict(zip(names, (5 + 5 * start).tolist(), strict=True)),
        times=lambda setups: level + scale * (shape(setups / 5 - 1) - floor),
        best=level,
    )


def search(
    problem: Problem,
    seed: int,
    *,
    driving: Driving,
    setups: int = SETUPS,
    algorithm: str | None = None,
    bounded: bool = True,
) -> Campaign:
    """Drives the setups that the model recommends, from the start on, and learns each as a session.

    Parameters
    ----------
    bounded
        Whether the model is told the bounds.
    """
    random, given = np.random.default_rng([11, seed]), {name: list(b) for name, b in problem.bounds.items()}
    model = create_model(MODEL_TYPE, algorithm, {"bounds": given} if bounded else {}, seed=seed)
    setup, campaign = problem.start, Campaign(believed=[], recommended=[], covered=[])
    loss = problem.loss(setup)
    for number in range(setups):
        model.learn_session(_session(problem.best + loss, setup, number * LAPS, driving, random))
        answer = model.predict([{"setup": setup}])[0].values
        interval, setup, driven = answer["expected_gain_interval"], answer["recommended"], loss
        loss = problem.loss(setup)
        exploiting = answer["best"]["setup"] == setup
        campaign.believed.append(loss if exploiting else problem.loss(answer["best"]["setup"]))
        campaign.recommended.append(loss)
        campaign.covered.append(interval["lower"] <= driven - loss <= interval["upper"])
    return campaign


def random_search(problem: Problem, seed: int) -> int:
    """Setups drawn and driven until the one with the best mean is as close as asked; at most so many."""
    random, (low, high) = np.random.default_rng([13, seed]), np.array(list(problem.bounds.values())).T
    drawn = random.uniform(low, high, (RANDOM_SETUPS, len(low)))
    drawn[0] = list(problem.start.values())
    true = problem.times(drawn)
    driven = true + random.normal(0, NOISE / LAPS**0.5, RANDOM_SETUPS)
    leading = np.array([true[driven[: count + 1].argmin()] for count in range(RANDOM_SETUPS)])
    found = np.flatnonzero(leading - problem.best < CLOSE)
    return int(found[0]) + 1 if len(found) else RANDOM_SETUPS


def _session(
    pace: float, setup: Setup, driven: int, driving: Driving, random: np.random.Generator
) -> SessionLaps:
    laps = []
    for number in range(LAPS):
        fuel = 2.0 * (LAPS - number) + 4
        extra = driving.improvement * np.exp(-(driven + number) / 40) + driving.wear * number
        lap_time = pace + extra + driving.fuel * fuel + random.normal(0, NOISE)
        laps.append(_lap(number + 1, float(lap_time), {"fuel": fuel, "tyre_life": number + 1.0}))
    return SessionLaps(laps=tuple(laps), setup=setup)


def _lap(number: int, lap_time: float, context: Mapping[str, str | float]) -> Lap:
    return Lap(
        number=number,
        lap_time=lap_time,
        valid=True,
        reason=None,
        sector_times=(),
        outing=0,
        position=np.array([0.0, 0.5]),
        time=np.array([0.0, lap_time / 2]),
        channels={},
        context=context,
    )


def main() -> None:
    """Prints a row for each kind of car and each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = range(parser.parse_args().seeds)
    table = Table(title=f"{SETUPS} setups of {LAPS} laps, {NOISE} s noise a lap, {len(seeds)} seeds")
    for column in ("car", "algorithm", "found", "next too", "loss s", "80 %", "needed", "random", "covered"):
        table.add_column(column, justify="left" if column in ("car", "algorithm") else "right")
    learning = Driving(improvement=1.0, fuel=0.03, wear=0.04)
    default = algorithms(MODEL_TYPE)[0].name
    for car, make, driving in (
        ("simulator", simulated, Driving()),
        ("simulator, driver improves, fuel, tyres", simulated, learning),
        ("random surfaces", surface, Driving()),
        ("random surfaces, driver improves, fuel, tyres", surface, learning),
    ):
        for entry in algorithms(MODEL_TYPE):
            if entry.name == default or driving == Driving():
                table.add_row(car, entry.name, *_cells(make, driving, seeds, entry.name))
    for car, make in (("simulator, no bounds", simulated), ("random surfaces, no bounds", surface)):
        table.add_row(car, default, *_cells(make, Driving(), seeds, default, bounded=False))
    Console(width=140).print(table)


def _cells(
    make: Callable[[int], Problem],
    driving: Driving,
    seeds: range,
    algorithm: str,
    *,
    bounded: bool = True,
) -> list[str]:
    problems = [make(seed) for seed in seeds]
    campaigns = [
        search(problem, seed, driving=driving, algorithm=algorithm, bounded=bounded)
        for seed, problem in zip(seeds, problems, strict=True)
    ]
    believed, following = (
        np.array([getattr(campaign, name)[-1] for campaign in campaigns])
        for name in ("believed", "recommended")
    )
    random = np.array([random_search(problem, seed) for seed, problem in zip(seeds, problems, strict=True)])
    covered: Any = np.mean([campaign.covered for campaign in campaigns])
    most = int(np.median(random))
    return [
        f"{np.mean(believed < CLOSE):.0%}",
        f"{np.mean(following < CLOSE):.0%}",
        f"{np.median(believed):.3f}",
        f"{np.quantile(believed, 0.8):.3f}",
        f"{np.median([campaign.needed for campaign in campaigns]):.0f}",
        f"{most}{'+' * (most == RANDOM_SETUPS)}",
        f"{covered:.0%}",
    ]


if __name__ == "__main__":
    main()
