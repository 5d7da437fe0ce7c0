"""The units that files give their channels in, and how they become the platform's own."""

from types import MappingProxyType

_FEET, _MILES, _GRAVITY = 0.3048, 1609.344, 9.80665

# canonical unit → units in lower case that files write, with the factor that makes them canonical
_FACTORS = {
    "km/h": dict.fromkeys(("kmh", "kph"), 1.0)
    | dict.fromkeys(("m/s", "mps"), 3.6)
    | dict.fromkeys(("kn", "kt", "kts"), 1.852)
    | {"mph": _MILES / 1000, "ft/s": _FEET * 3.6},
    "s": {"sec": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0},
    "m": {"km": 1000.0, "cm": 0.01, "mm": 1e-3, "ft": _FEET, "mi": _MILES, "mile": _MILES, "miles": _MILES},
    "share": {"ratio": 1.0} | dict.fromkeys(("%", "pct", "percent"), 0.01),
    "degC": dict.fromkeys(("c", "°c", "deg c"), 1.0),
    "kPa": {"psi": 6.894757, "bar": 100.0, "mbar": 0.1, "hpa": 0.1, "pa": 1e-3, "mpa": 1000.0},
    "g": dict.fromkeys(("m/s²", "m/s2", "m/s/s", "m/s^2"), 1 / _GRAVITY),
    "1/min": {"rpm": 1.0, "r/min": 1.0, "rev/s": 60.0, "hz": 60.0},
    "l": dict.fromkeys(("ltr", "litre", "litres", "liter"), 1.0)
    | {"gal": 3.785412, "usgal": 3.785412, "igal": 4.54609, "ml": 1e-3, "cc": 1e-3},
    "deg": {"°": 1.0, "rad": 57.29577951308232},
    "laps": {"lap": 1.0},
}
_TEMPERATURES = {"k": (1.0, -273.15)} | dict.fromkeys(("f", "°f", "deg f", "degf"), (5 / 9, -160 / 9))

# (canonical unit, unit in lower case) → factor, offset
UNITS = MappingProxyType(
    {
        (canonical, unit): (factor, 0.0)
        for canonical, factors in _FACTORS.items()
        for unit, factor in ({canonical.lower(): 1.0} | factors).items()
    }
    | {("degC", unit): conversion for unit, conversion in _TEMPERATURES.items()}
)


def units_of(canonical: str) -> list[str]:
    """How a file may write a canonical unit, or one that becomes it."""
    return [unit for known, unit in UNITS if known == canonical]
