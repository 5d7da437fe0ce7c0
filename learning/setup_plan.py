"""Which setup to drive next: the one believed best, or one that would teach more about where the best is."""

import math
from dataclasses import dataclass, field

import numpy as np

from learning.laps import Floats
from learning.setup_surface import SetupSurface
from learning.setup_terms import Terms

_SAMPLES = 48  # surfaces drawn from the posterior
_DRAWN = 64  # candidates drawn at each distance
_NEAR = (0.2, 0.4, 0.8)  # distances from the best setup, of half a parameter's bounds; the last of a few only
_MOVED = 0.35  # share of the parameters moved at the last distance
_SWEEPS = 2  # over all parameters, in search of a surface's lowest point; one more for the mean
_LEVELS = (17, 9)  # values tried of a parameter in the first sweep and in later ones
_STEP = 0.25  # of half the bounds, how far later sweeps look
_LAPS = 8  # that the next setup will be driven
_CAUTION = 0.06  # share of the time a setup is expected to lose that it must teach
_SURE = 0.0003  # share of the lap time; who learns less from another setup than this drives the best
_DIGITS = 200  # steps between a parameter's bounds, at least, that a recommendation is rounded to
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
ALTERNATIVES = 3
_APART = 0.25  # of the bounds of at least one parameter, between a setup and an alternative
Setup = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to drive after so many laps.

    Parameters
    ----------
    best
        The setup believed to be fastest.
    exploring
        The setup that teaches most for what it costs.
    promise
        Seconds by which the best setup is expected to be faster once `exploring` was driven.
    explore
        Whether that is worth it.
    alternatives
        Other good setups, each clearly apart from the best and from each other.
    """

    laps: int
    best: Setup
    exploring: Setup
    promise: float
    explore: bool
    alternatives: list[Setup] = field(default_factory=list)


class _Belief:
    """The surface as a distribution of functions of scaled setups; its constant is that of a coming run."""

    def __init__(self, surface: SetupSurface) -> None:
        self.terms, weights, self.covariance = surface.of_setups()
        self.weights = weights[1:]
        self.level = float(weights[0])
        self.noise = surface.run_variance(_LAPS)

    def times(self, z: Floats) -> Floats:
        """Lap times but for a constant."""
        times: Floats = self.terms(z) @ self.weights
        return times

    def drawn(self, count: int, random: np.random.Generator) -> Floats:
        """Weights of surfaces that may be the true one, a row each."""
        values, vectors = np.linalg.eigh(self.covariance[1:, 1:])
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn: Floats = self.weights + random.normal(size=(count, len(values))) @ root.T
        return drawn

    def taught(self, decisions: Floats, candidates: Floats) -> Floats:
        """Seconds the best of the decisions is expected to win by one run on each candidate.

        The knowledge gradient, its expectation by Gauss-Hermite quadrature: P. Frazier, W. Powell,
        S. Dayanik, The knowledge-gradient policy for correlated normal beliefs, INFORMS J. Comput. 21, 2009.
        """
        there, here = (np.hstack([np.ones((len(z), 1)), self.terms(z)]) for z in (decisions, candidates))
        told = self.covariance @ here.T
        spread = np.sqrt((here * told.T).sum(axis=1) + self.noise)
        shifts, times = there @ told / spread, self.times(decisions)
        shares = _NODE_WEIGHTS / math.sqrt(2 * math.pi)
        lowest = [(times[:, None] + node * shifts).min(axis=0) for node in _NODES]
        taught: Floats = times.min() - shares @ np.array(lowest)
        return taught


def plan(surface: SetupSurface) -> Plan:
    """The plan after what the surface has learned; the same for the same laps."""
    random = np.random.default_rng([surface.seed, surface.laps_learned])
    belief, free = _Belief(surface), _free(surface)
    driven = np.clip(surface.scaled(_rows(surface)), -1, 1)
    best = _lowest(belief, driven, free, random)
    sampled = _descended(
        belief.terms, belief.drawn(_SAMPLES, random), np.tile(best, (_SAMPLES, 1)), free, _SWEEPS
    )
    decisions = np.vstack([best, sampled, driven])
    times = belief.times(decisions)
    best = decisions[times.argmin()]
    candidates = np.vstack([decisions, _drawn(best, free, random)])
    taught = belief.taught(decisions, candidates)
    lost = belief.times(candidates) - times.min()
    chosen = int(np.argmax(taught - _CAUTION * lost))
    order = np.argsort(times, kind="stable")
    others = _apart(np.vstack([best, decisions[order]]))
    return Plan(
        laps=surface.laps_learned,
        best=_rounded(surface, best),
        exploring=_rounded(surface, candidates[chosen]),
        promise=max(float(taught.max()), 0.0),
        explore=bool(taught.max() >= _SURE * belief.level),
        alternatives=[_rounded(surface, z) for z in others],
    )


def _rows(surface: SetupSurface) -> Floats:
    seen = [list(setup.values()) for setup, _ in surface.seen()]
    return np.array(seen, dtype=np.float64).reshape(len(seen), len(surface.names))


def _free(surface: SetupSurface) -> list[int]:
    """The parameters that have any room."""
    return [index for index, limit in enumerate(surface.limits().values()) if limit.high > limit.low]


def _lowest(belief: _Belief, driven: Floats, free: list[int], random: np.random.Generator) -> Floats:
    """Where the mean surface is lowest, found from the best setup driven, the middle and elsewhere."""
    size = driven.shape[1]
    start = driven[belief.times(driven).argmin()]
    starts = np.vstack([start, _moved(start, free, random.uniform(-1, 1, (3, size)))])
    found = _descended(belief.terms, np.tile(belief.weights, (len(starts), 1)), starts, free, _SWEEPS + 2)
    lowest: Floats = found[belief.times(found).argmin()]
    return lowest


def _descended(terms: Terms, weights: Floats, starts: Floats, free: list[int], sweeps: int) -> Floats:
    """For each row of weights a low point between the bounds: one parameter after another at its best."""
    z = starts.copy()
    for sweep in range(sweeps):
        for index in free:
            if sweep == 0:
                levels = np.tile(np.linspace(-1, 1, _LEVELS[0]), (len(z), 1))
            else:
                steps = np.linspace(-1, 1, _LEVELS[1]) * _STEP / 2 ** (sweep - 1)
                levels = np.clip(z[:, [index]] + steps, -1, 1)
            tried = np.repeat(z[:, None], levels.shape[1], axis=1)
            tried[:, :, index] = levels
            described = terms(tried.reshape(-1, z.shape[1])).reshape(*levels.shape, -1)
            times = (described @ weights[:, :, None])[:, :, 0]
            z[:, index] = levels[np.arange(len(z)), times.argmin(axis=1)]
    return z


def _drawn(best: Floats, free: list[int], random: np.random.Generator) -> Floats:
    """Candidates everywhere, around the best setup, and with only some parameters moved."""
    shape = (_DRAWN, len(best))
    steps = [distance * random.normal(size=shape) for distance in _NEAR]
    steps[-1] *= random.random(shape) < _MOVED
    drawn = [random.uniform(-1, 1, shape), *(best + step for step in steps)]
    return _moved(best, free, np.clip(np.vstack(drawn), -1, 1))


def _moved(start: Floats, free: list[int], z: Floats) -> Floats:
    moved = np.tile(start, (len(z), 1))
    moved[:, free] = z[:, free]
    return moved


def _apart(ranked: Floats) -> Floats:
    """Of setups of which the first is the best, good ones that differ clearly from those before them."""
    chosen = [0]
    for index in range(1, len(ranked)):
        if ((np.abs(ranked[chosen] - ranked[index]) / 2).max(axis=1, initial=0.0) >= _APART).all():
            chosen.append(index)
        if len(chosen) > ALTERNATIVES:
            break
    return ranked[chosen[1:]]


def _rounded(surface: SetupSurface, z: Floats) -> Setup:
    """A setup as one would set it: rounded, but never out of its bounds."""
    values, setup = surface.unscaled(z), {}
    for (name, limit), value in zip(surface.limits().items(), values.tolist(), strict=True):
        room = limit.high - limit.low
        digits = math.ceil(-math.log10(room / _DIGITS)) if room > 0 else 15
        setup[name] = min(max(round(value, digits), limit.low), limit.high)
    return setup
