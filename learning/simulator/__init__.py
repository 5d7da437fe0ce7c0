"""A lap simulator, to try everything without telemetry and to judge setups against a known best."""

from learning.simulator.cars import CARS, COMPOUNDS, PARAMETERS, Conditions, default_setup
from learning.simulator.physics import optimum, true_lap_time
from learning.simulator.session import SimulatedSession, simulate_season, simulate_session, write_session
from learning.simulator.tracks import TRACKS

__all__ = [
    "CARS",
    "COMPOUNDS",
    "PARAMETERS",
    "TRACKS",
    "Conditions",
    "SimulatedSession",
    "default_setup",
    "optimum",
    "simulate_season",
    "simulate_session",
    "true_lap_time",
    "write_session",
]
