"""What a surface over setups is made of: smooth functions of the parameters, and how large each may be."""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learning.laps import Floats

_INTERACTING = 12  # with more parameters than this, only the front and rear of one thing form pairs
_FOURIER = 60  # random features
_STRETCH = 0.7  # of their frequencies: a surface turns about once over a parameter's bounds
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_AXLES = {"front": "axle", "rear": "axle", "f": "axle", "r": "axle"}

# Prior means and standard deviations of effects over half a parameter's bounds, shares of the lap time.
_CURVATURE = (0.008, 0.005)  # of the parameters on average: too little costs time, and so does too much
_SLOPE = 0.008
_OWN_CURVATURE = 0.004  # how far one parameter's differs from the average
_SKEW = 0.0015
_FLATNESS = 0.0008
_PAIR = 0.003
_AXLE_PAIR = (-0.006, 0.006)  # the front and the rear of one thing want to move together: the car's balance
_WAVES = 0.006  # of all the random features together


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """What is believed of each term before the first lap; groups are believed to be alike in size.

    `group` counts from 0: a parameter's own terms, then each pair, then the rest; the shared curvature, whose
    group is -1, belongs to none.
    """

    mean: Floats
    deviation: Floats
    group: NDArray[np.intp]


class Terms:
    """The functions of scaled setups, -1 and 1 being the bounds, that the surface adds up.

    `quadratic` has for each parameter the Legendre polynomials to degree four, the higher ones believed to be
    small, and the products of two parameters; the curvature has a shared part, so that each parameter tells
    of the others. `additive` leaves the products out. `fourier` has for them random features of a Gaussian
    process.[^1]

    References
    ----------
    [^1]: A. Rahimi, B. Recht: Random features for large-scale kernel machines, NIPS 2007.
    """

    def __init__(self, basis: str, names: Sequence[str], seed: int) -> None:
        self.basis = basis
        self.names = tuple(names)
        self.seed = seed
        first, second = np.triu_indices(len(names), 1)
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        axle = np.array([_same_but_axle(names[i], names[j]) for i, j in pairs], dtype=bool)
        if basis == "additive":
            first, second, axle = first[:0], second[:0], axle[:0]
        elif len(names) > _INTERACTING:
            first, second, axle = first[axle], second[axle], axle[axle]
        self._first, self._second, self._axle = first, second, axle
        if basis == "fourier":
            self._slopes, self._shifts = self._waves()

    def __call__(self, z: Floats) -> Floats:
        """A row of terms for each row of scaled setups."""
        square = z * z
        own = [
            square.sum(axis=1, keepdims=True),
            z,
            square - 1 / 3,
            (2.5 * square - 1.5) * z,
            (4.375 * square - 3.75) * square + 0.375,
        ]
        if self.basis == "fourier":
            return np.hstack([*own, math.sqrt(2 / _FOURIER) * np.cos(z @ self._slopes + self._shifts)])
        return np.hstack([*own, z[:, self._first] * z[:, self._second]])

    def prior(self) -> Prior:
        """As shares of the lap time."""
        size = len(self.names)
        own = np.arange(size)
        sizes = np.repeat([_SLOPE, _OWN_CURVATURE, _SKEW, _FLATNESS], size)
        if self.basis == "fourier":
            means, others, groups = np.zeros(_FOURIER), np.full(_FOURIER, _WAVES), np.full(_FOURIER, size)
        else:
            means, others = (np.where(self._axle, a, b) for a, b in zip(_AXLE_PAIR, (0, _PAIR), strict=True))
            groups = size + np.arange(len(means))
        return Prior(
            mean=np.concatenate([[_CURVATURE[0]], np.zeros(4 * size), means]),
            deviation=np.concatenate([[_CURVATURE[1]], sizes, others]),
            group=np.concatenate([[-1], np.tile(own, 4), groups]),
        )

    def _waves(self) -> tuple[Floats, Floats]:
        """A parameter's slopes are the same whatever others there are."""
        randoms = [np.random.default_rng([self.seed, zlib.crc32(name.encode())]) for name in self.names]
        slopes = [_STRETCH * random.normal(size=_FOURIER) for random in randoms]
        shifts = np.random.default_rng(self.seed).uniform(0, 2 * math.pi, _FOURIER)
        return np.array(slopes).reshape(len(self.names), _FOURIER), shifts


@lru_cache(maxsize=256)
def terms_of(basis: str, names: tuple[str, ...], seed: int) -> Terms:
    """The terms for these parameters, made once."""
    return Terms(basis, names, seed)


def _same_but_axle(one: str, other: str) -> bool:
    """Whether two names differ in nothing but front and rear, as `front_wing` and `rear_wing`."""
    words = [[word.lower() for word in _WORD.findall(name)] for name in (one, other)]
    return words[0] != words[1] and _axle_blind(words[0]) == _axle_blind(words[1])


def _axle_blind(words: Sequence[str]) -> list[str]:
    return [_AXLES.get(word, word) for word in words]
