"""Where the car was, seen from above, by what sessions say of it."""

from typing import Any

import numpy as np
import pytest

from app.web.traces import POINTS, coordinates
from learning.laps import Floats

TURN = np.linspace(0, 2 * np.pi, POINTS)
EAST, NORTH = 400 * np.cos(TURN), 250 * np.sin(TURN)  # metres
HILLS = 5 * np.sin(3 * TURN)
METRES_A_DEGREE = 111_194.9  # along a meridian


def trace(**channels: Floats) -> dict[str, Any]:
    return {"channels": {name: values.tolist() for name, values in channels.items()}}


@pytest.mark.parametrize(
    "channels",
    [
        {"x": EAST, "y": NORTH},
        {"x": EAST, "y": NORTH, "z": HILLS},
        {"x": EAST, "y": HILLS, "z": -NORTH},
        {
            "latitude": 60 + NORTH / METRES_A_DEGREE,
            "longitude": 25 + EAST / (METRES_A_DEGREE * np.cos(np.radians(60))),
        },
    ],
    ids=["plan", "logger", "game", "degrees"],
)
def test_a_lap_is_seen_from_above_in_metres_whatever_the_axes_are_called(channels: dict[str, Floats]) -> None:
    seen = coordinates(trace(**channels))
    assert seen is not None
    across, up = seen
    np.testing.assert_allclose(across - across.mean(), EAST - EAST.mean(), atol=0.1)
    np.testing.assert_allclose(up - up.mean(), NORTH - NORTH.mean(), atol=0.1)


@pytest.mark.parametrize(
    "channels",
    [
        {},
        {"x": EAST},
        {"x": EAST, "y": np.zeros(POINTS)},
        {"latitude": np.zeros(POINTS), "longitude": np.zeros(POINTS)},
        {"x": np.full(POINTS, np.nan), "y": NORTH},
        {"x": np.where(TURN < 3, np.nan, EAST), "y": np.where(TURN < 3, NORTH, np.nan)},
    ],
)
def test_without_two_axes_along_which_the_car_moved_there_is_no_map(channels: dict[str, Floats]) -> None:
    assert coordinates(trace(**channels)) is None


def test_places_of_which_nothing_is_known_are_left_out() -> None:
    seen = coordinates(trace(x=np.where(TURN < 1, np.nan, EAST), y=NORTH))
    assert seen is not None
    assert np.isnan(seen[0]).sum() == (TURN < 1).sum()
