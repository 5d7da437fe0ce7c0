"""What a car can do: how its setup, fuel and tyres turn into grip, downforce, drag, traction and braking."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from learning.errors import InvalidInput
from learning.laps import Floats

GRAVITY = 9.81
_HALF_AIR = 0.6  # kg/m³, half the density of air
_FUEL_DENSITY = 0.75  # kg/l
_GRIP_PER_DEGREE = 0.0006  # lost for each degree the road is away from _BEST_ROAD_TEMP
_BEST_ROAD_TEMP = 30.0


class Parameter(NamedTuple):
    """One thing that can be set on a car."""

    unit: str
    low: float
    high: float
    default: float


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "front_wing": Parameter("deg", 0, 12, 4),
        "rear_wing": Parameter("deg", 0, 16, 9),
        "front_ride_height": Parameter("mm", 50, 76, 66),
        "rear_ride_height": Parameter("mm", 60, 94, 86),
        "brake_bias": Parameter("% front", 50, 64, 59.5),
        "tyre_pressure": Parameter("psi, hot", 23, 31, 28.8),
    }
)


class Compound(NamedTuple):
    """A kind of tyre."""

    grip: float
    wear: float  # share of the grip lost with each lap


COMPOUNDS: Mapping[str, Compound] = MappingProxyType(
    {"SOFT": Compound(1.012, 0.0014), "MEDIUM": Compound(1.0, 0.0009), "HARD": Compound(0.99, 0.0005)}
)


@dataclass(frozen=True, kw_only=True)
class Car:
    """A car and the settings it likes best; the wings it likes also depend on the track.

    Parameters
    ----------
    mass
        Kilograms, with driver, without fuel.
    power
        Watts at the wheels.
    drag, lift
        Coefficient times area in m², at middling wings.
    grip
        Coefficient of friction on a set-up car with new medium tyres.
    balance
        Share of the downforce that should be at the front.
    rake
        Millimetres the rear should be higher than the front.
    brake_bias, tyre_pressure
        As in `PARAMETERS`.
    """

    mass: float
    power: float
    drag: float
    lift: float
    grip: float
    balance: float
    rake: float
    brake_bias: float
    tyre_pressure: float


CARS: Mapping[str, Car] = MappingProxyType(
    {
        "corvo_gt3": Car(
            mass=1360, power=385e3, drag=1.15, lift=2.9, grip=1.50,
            balance=0.43, rake=18, brake_bias=55.5, tyre_pressure=26.8,
        ),
        "halden_gt3": Car(
            mass=1375, power=400e3, drag=1.13, lift=2.7, grip=1.48,
            balance=0.44, rake=20, brake_bias=56.0, tyre_pressure=26.6,
        ),
        "tejo_cup": Car(
            mass=1320, power=360e3, drag=1.10, lift=2.3, grip=1.47,
            balance=0.425, rake=17, brake_bias=55.0, tyre_pressure=26.7,
        ),
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What changes from lap to lap. Fuel is in litres, tyre life in laps, temperature in °C."""

    fuel: float = 30.0
    compound: str = "MEDIUM"
    tyre_life: int = 1
    road_temp: float = _BEST_ROAD_TEMP

    @property
    def grip(self) -> float:
        """Grip as a share of that of new medium tyres on a road at its best."""
        compound = COMPOUNDS[self.compound]
        worn = 1 - compound.wear * (self.tyre_life - 1)
        return compound.grip * worn * (1 - _GRIP_PER_DEGREE * abs(self.road_temp - _BEST_ROAD_TEMP))


class Limits(NamedTuple):
    """What a car can do at each point of each lap, per kilogram; every field broadcasts to (points, laps).

    Parameters
    ----------
    grip
        Coefficient of friction.
    lift
        1/m; times the square of the speed it adds to gravity.
    traction, braking
        Shares of the tyres' grip that can accelerate and slow the car.
    power
        W/kg.
    drag
        1/m; times the square of the speed it slows the car.
    top_speed
        m/s.
    """

    grip: Floats
    lift: Floats
    traction: Floats
    braking: Floats
    power: Floats
    drag: Floats
    top_speed: Floats


def limits(
    car: Car, setup: Mapping[str, Floats | float], *, fuel: Floats | float = 30.0, grip: Floats | float = 1.0
) -> Limits:
    """What a car with a whole setup can do, one value a lap, on so much fuel and share of the tyres' grip."""
    # wings: lift grows with the angle, drag with its square, and an unbalanced car wastes grip
    # ride heights: a low nose gains downforce until it bottoms, the diffuser wants a rake, a high tail spins
    front, rear = setup["front_ride_height"], setup["rear_ride_height"]
    lift_front = car.lift * (0.30 + 0.026 * setup["front_wing"])
    lift_rear = car.lift * (0.38 + 0.026 * setup["rear_wing"])
    balance = lift_front / (lift_front + lift_rear)
    diffuser = 1 - 0.7 * ((rear - front - car.rake) / 40) ** 2
    lift = (lift_front + lift_rear) * diffuser * (1 + 0.008 * (62 - front))
    wings = 0.8 + 0.0030 * setup["front_wing"] ** 2 + 0.0030 * setup["rear_wing"] ** 2
    balanced = 1 - 3.0 * (balance - car.balance) ** 2
    inflated = 1 - 0.003 * (setup["tyre_pressure"] - car.tyre_pressure) ** 2
    bottoming = 0.0025 * np.exp((60 - front) / 5)
    mass = car.mass + _FUEL_DENSITY * np.atleast_1d(fuel)
    fields: dict[str, Floats | float] = {
        "grip": car.grip * grip * balanced * inflated * (1 - bottoming),
        "lift": _HALF_AIR * lift / mass,
        "traction": 0.62 * (1 - 0.005 * (rear - 72)),
        "braking": 0.92 * (1 - 0.006 * (setup["brake_bias"] - car.brake_bias) ** 2),
        "power": car.power / mass,
        "drag": _HALF_AIR * car.drag * wings / mass,
        "top_speed": 100.0,
    }
    return Limits(*np.broadcast_arrays(*(fields[name] for name in Limits._fields)))


def default_setup() -> dict[str, float]:
    """The setup a car comes with."""
    return {name: parameter.default for name, parameter in PARAMETERS.items()}


def whole_setup(setup: Mapping[str, float] | None) -> dict[str, float]:
    """A setup with the default for whatever it leaves out.

    Raises
    ------
    InvalidInput
        When a parameter is unknown or out of its bounds.
    """
    given = setup or {}
    wrong = {name: _fault(name, value) for name, value in given.items() if _fault(name, value)}
    if wrong:
        raise InvalidInput(**wrong)
    return default_setup() | dict(given)


def _fault(name: str, value: float) -> str | None:
    parameter = PARAMETERS.get(name)
    if parameter is None:
        return "is not a setup parameter"
    inside = parameter.low <= value <= parameter.high
    return None if inside else f"must be between {parameter.low} and {parameter.high} {parameter.unit}"


def find_car(name: str) -> Car:
    """A built-in car.

    Raises
    ------
    InvalidInput
        When there is none of that name.
    """
    if name not in CARS:
        raise InvalidInput(car_model=f"{name!r} is not one of {', '.join(CARS)}")
    return CARS[name]
