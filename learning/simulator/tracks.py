"""The circuits of the simulator, each a closed profile of curvature made from corners and straights."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.errors import InvalidInput
from learning.laps import Floats

STEP = 5.0  # metres between two points of a lap, near enough: a whole number of steps makes a lap
_RAMP = 0.3  # share of a corner in which the curvature rises, and again in which it falls
_FINER = 5  # the map is integrated with steps this many times shorter


class Corner(NamedTuple):
    """A corner and the straight that leads to it."""

    straight: float  # metres
    angle: float  # degrees, left is positive
    radius: float  # metres, at the apex


class _Layout(NamedTuple):
    corners: tuple[Corner, ...]
    last_straight: float  # metres, from the last corner to the line
    sectors: tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """A circuit on a grid of n points, the first of them on the finishing line.

    Parameters
    ----------
    name
        What `trackName` says.
    length
        Metres.
    curvature
        Shape (n,), 1/m, positive to the left.
    x, y
        Shape (n,), metres; the line is the origin and the car leaves it along x.
    corner
        Shape (n,), the number of the corner each point belongs to, from 0.
    sectors
        The shares of the lap at which the second and the third sector begin.
    """

    name: str
    length: float
    curvature: Floats
    x: Floats
    y: Floats
    corner: NDArray[np.intp]
    sectors: tuple[float, float]

    @property
    def step(self) -> float:
        """Metres between two points."""
        return self.length / len(self.curvature)

    @property
    def corners(self) -> int:
        """How many corners there are."""
        return int(self.corner[-1]) + 1

    @property
    def slowest(self) -> int:
        """The tightest point: whatever the car and its setup, it is nowhere slower."""
        return int(np.argmax(np.abs(self.curvature)))


# Straights are fitted so that each circuit ends where it began, to a metre.
_LAYOUTS = {
    "northfield": _Layout(
        (
            Corner(256.4, -95, 38),
            Corner(272.9, 60, 75),
            Corner(101.6, -75, 60),
            Corner(634.2, -165, 26),
            Corner(219.9, 70, 95),
            Corner(180.4, 80, 70),
            Corner(398.1, -110, 48),
            Corner(229.6, -60, 140),
            Corner(308.7, 55, 55),
            Corner(61.3, -75, 50),
            Corner(210.3, -45, 180),
        ),
        216.4,
        (0.36, 0.68),
    ),
    "ravenhill": _Layout(
        (
            Corner(244.7, 100, 35),
            Corner(191.6, -70, 49),
            Corner(88.9, 85, 54),
            Corner(341.1, 120, 65),
            Corner(167.1, -95, 76),
            Corner(138.4, -60, 43),
            Corner(250.7, 160, 26),
            Corner(302.2, 60, 119),
            Corner(155.7, -40, 97),
            Corner(233.7, 100, 92),
        ),
        252.4,
        (0.33, 0.66),
    ),
    "costa_lunga": _Layout(
        (
            Corner(448.4, -80, 60),
            Corner(62.8, 70, 55),
            Corner(399.5, -70, 160),
            Corner(573.1, -60, 120),
            Corner(486.4, -115, 40),
            Corner(197.7, 50, 200),
            Corner(577.1, 55, 70),
            Corner(51.6, -70, 60),
            Corner(361.5, -60, 230),
            Corner(285.7, -100, 90),
            Corner(120.5, 20, 150),
        ),
        189.4,
        (0.3, 0.64),
    ),
}
TRACKS = tuple(_LAYOUTS)


@cache
def find_track(name: str) -> Track:
    """A built-in circuit.

    Raises
    ------
    InvalidInput
        When there is none of that name.
    """
    layout = _LAYOUTS.get(name)
    if layout is None:
        raise InvalidInput(track=f"{name!r} is not one of {', '.join(TRACKS)}")
    return _lay_out(name, layout)


def _lay_out(name: str, layout: _Layout) -> Track:
    straight, angle, radius = np.array(layout.corners).T
    bend = np.abs(np.deg2rad(angle)) * radius / (1 - _RAMP)  # metres; the ramps turn half as much as the arc
    entry = np.cumsum(straight + np.r_[0.0, bend[:-1]])
    length = float(entry[-1] + bend[-1] + layout.last_straight)
    size = round(length / STEP)
    knots = entry[:, None] + bend[:, None] * np.array([0.0, _RAMP, 1 - _RAMP, 1.0])
    heights = (np.sign(angle) / radius)[:, None] * np.array([0.0, 1.0, 1.0, 0.0])
    fine = length / (size * _FINER)
    middles = (np.arange(size * _FINER) + 0.5) * fine
    turned = np.cumsum(np.interp(middles, knots.ravel(), heights.ravel())) * fine
    heading = np.r_[0.0, turned[:-1]] / 2 + turned / 2
    grid = np.arange(size) * length / size
    return Track(
        name=name,
        length=length,
        curvature=np.interp(grid, knots.ravel(), heights.ravel()),
        x=np.r_[0.0, np.cumsum(np.cos(heading)) * fine][:-1:_FINER],
        y=np.r_[0.0, np.cumsum(np.sin(heading)) * fine][:-1:_FINER],
        corner=np.searchsorted(entry[1:] - straight[1:] / 2, grid),
        sectors=layout.sectors,
    )
