"""Which setup to drive next: the one believed best, or one that would teach more about where the best is."""

import math
from dataclasses import dataclass, field

import numpy as np

from learning.laps import Floats
from learning.setup_surface import SetupSurface
from learning.setup_terms import Terms

_SAMPLES = 48  # surfaces drawn from the posterior
_DRIVEN = 16  # setups driven that are considered again
_DRAWN = 64  # candidates drawn at each distance
_NEAR = (0.2, 0.4, 0.8)  # distances from the best setup, of half a parameter's bounds; the last of a few only
_MOVED = 0.35  # share of the parameters moved at the last distance
_SWEEPS = 2  # over all parameters, in search of a surface's lowest point; one more for the mean
_LEVELS = (17, 9)  # values tried of a parameter in the first sweep and in later ones
_STEP = 0.25  # of half the bounds, how far later sweeps look
_LAPS = 8  # that the next setup will be driven
_CAUTION = 0.05  # share of the time a setup is expected to lose that it must teach
_RISK = 0.02  # share of the lap time that an exploring setup, with a deviation more, may lose to the best
_SURE = 0.0002  # share of the lap time; who learns less from another setup than this drives the best
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


class _Region:
    """Where scaled setups may lie; draws and steps are shares of half the way between the bounds."""

    def __init__(self, surface: SetupSurface) -> None:
        self.low, self.high = surface.allowed()
        self.half = (self.high - self.low) / 2
        self.free = np.flatnonzero(self.half > 0).tolist()

    def clipped(self, z: Floats) -> Floats:
        inside: Floats = np.clip(z, self.low, self.high)
        return inside

    def anywhere(self, count: int, random: np.random.Generator) -> Floats:
        return random.uniform(self.low, self.high, (count, len(self.half)))

    def around(self, best: Floats, random: np.random.Generator) -> Floats:
        """Candidates everywhere, around the best setup, and with only some parameters moved."""
        shape = (_DRAWN, len(best))
        steps = [distance * self.half * random.normal(size=shape) for distance in _NEAR]
        steps[-1] *= random.random(shape) < _MOVED
        return np.vstack([self.anywhere(_DRAWN, random), *(self.clipped(best + step) for step in steps)])

    def levels(self, index: int, z: Floats, sweep: int) -> Floats:
        """Values of one parameter to try from each setup: all over at first, then nearer and nearer."""
        low, high, half = self.low[index], self.high[index], self.half[index]
        if sweep == 0:
            return np.tile(np.linspace(low, high, _LEVELS[0]), (len(z), 1))
        steps = np.linspace(-1, 1, _LEVELS[1]) * half * _STEP / 2 ** (sweep - 1)
        levels: Floats = np.clip(z[:, [index]] + steps, low, high)
        return levels


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

    def doubts(self, z: Floats, other: Floats) -> Floats:
        """Standard deviations of how much slower setups are than another."""
        contrasts = self.terms(z) - self.terms(other[None])
        variances = ((contrasts @ self.covariance[1:, 1:]) * contrasts).sum(axis=1)
        doubts: Floats = np.sqrt(np.maximum(variances, 0.0))
        return doubts

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
    belief, region = _Belief(surface), _Region(surface)
    driven = _driven(surface, belief, region)
    best = _lowest(belief, driven, region, random)
    starts = np.tile(best, (_SAMPLES, 1))
    sampled = _descended(belief.terms, belief.drawn(_SAMPLES, random), starts, region, _SWEEPS)
    decisions = np.vstack([best, sampled, driven])
    times = belief.times(decisions)
    best = decisions[times.argmin()]
    candidates = np.vstack([decisions, region.around(best, random)])
    taught = belief.taught(decisions, candidates)
    lost = belief.times(candidates) - times.min()
    safe = lost + belief.doubts(candidates, best) <= _RISK * belief.level
    chosen = int(np.argmax(np.where(safe, taught - _CAUTION * lost, -np.inf)))
    order = np.argsort(times, kind="stable")
    others = _apart(np.vstack([best, decisions[order]]), region)
    return Plan(
        laps=surface.laps_learned,
        best=_rounded(surface, best),
        exploring=_rounded(surface, candidates[chosen]),
        promise=max(float(taught.max()), 0.0),
        explore=bool(taught.max() >= _SURE * belief.level),
        alternatives=[_rounded(surface, z) for z in others],
    )


def _driven(surface: SetupSurface, belief: _Belief, region: _Region) -> Floats:
    """The fastest setups driven, by the mean surface, as far as they are allowed."""
    seen = np.array([list(setup.values()) for setup, _ in surface.seen()])
    z = region.clipped(surface.scaled(seen))
    return z[np.argsort(belief.times(z), kind="stable")[:_DRIVEN]]


def _lowest(belief: _Belief, driven: Floats, region: _Region, random: np.random.Generator) -> Floats:
    """Where the mean surface is lowest, found from the best setup driven and from elsewhere."""
    start = driven[belief.times(driven).argmin()]
    starts = np.vstack([start, region.anywhere(3, random)])
    found = _descended(belief.terms, np.tile(belief.weights, (len(starts), 1)), starts, region, _SWEEPS + 2)
    lowest: Floats = found[belief.times(found).argmin()]
    return lowest


def _descended(terms: Terms, weights: Floats, starts: Floats, region: _Region, sweeps: int) -> Floats:
    """For each row of weights a low point between the bounds: one parameter after another at its best."""
    z = starts.copy()
    for sweep in range(sweeps):
        for index in region.free:
            levels = region.levels(index, z, sweep)
            tried = np.repeat(z[:, None], levels.shape[1], axis=1)
            tried[:, :, index] = levels
            described = terms(tried.reshape(-1, z.shape[1])).reshape(*levels.shape, -1)
            times = (described @ weights[:, :, None])[:, :, 0]
            z[:, index] = levels[np.arange(len(z)), times.argmin(axis=1)]
    return z


def _apart(ranked: Floats, region: _Region) -> Floats:
    """Of setups of which the first is the best, good ones that differ clearly from those before them."""
    chosen, shares = [0], ranked[:, region.free] / (2 * region.half[region.free])
    for index in range(1, len(ranked)):
        if (np.abs(shares[chosen] - shares[index]).max(axis=1, initial=0.0) >= _APART).all():
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
