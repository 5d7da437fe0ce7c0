"""How the rest of a lap follows from its finished sectors."""

from collections.abc import Sequence

import numpy as np

from learning.laps import Floats

_WINDOW = 80
_GOES_ON = 0.7  # how much of what a lap has lost or won goes on, until laps say otherwise
_BELIEF = 3.0  # in laps, that the above is worth
_ALIKE = (0.004, 0.15)  # how unlike a lap may have begun: as a share of the time, and of what it lost itself


class CarryOver:
    """What the last laps did after they had begun faster or slower than predicted.

    The remaining sectors are stretched by the weighted median of what they were in laps that began alike,
    and of a few made-up laps that went on as they began. So a lap that began 1 % slow goes on about so,
    while one that lost 30 s in the pits is driven on at pace where the driver's laps were.
    """

    def __init__(self) -> None:
        self._off: Floats = np.empty((0, 0))  # (laps, sectors), actual / predicted - 1

    def update(self, predicted: Sequence[float], actual: Sequence[float]) -> None:
        """Takes a lap with what was predicted before it began, in seconds."""
        off = np.asarray(actual) / np.asarray(predicted) - 1
        self._off = np.concatenate([self._off.reshape(-1, len(off)), off[None]])[-_WINDOW:]

    def lap(self, predicted: Sequence[float], driven: Sequence[float]) -> list[float]:
        """The times of all sectors in seconds: those driven, then the predicted ones as the lap goes on."""
        done = len(driven)
        if not 0 < done < len(predicted):
            return [*driven, *predicted[done:]]
        began = float((np.asarray(driven) / np.asarray(predicted[:done])).mean() - 1)
        past = self._off.reshape(-1, len(predicted))
        reach = _ALIKE[0] + _ALIKE[1] * abs(began)
        weights = np.exp(-np.abs(past[:, :done].mean(axis=1) - began) / reach)
        weights = np.append(weights, _BELIEF)
        rest = np.vstack([past[:, done:], np.full(len(predicted) - done, _GOES_ON * began)])
        return [
            *driven,
            *(time * (1 + _middle(off, weights)) for time, off in zip(predicted[done:], rest.T, strict=True)),
        ]


def _middle(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    heavier = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(heavier, heavier[-1] / 2)])
