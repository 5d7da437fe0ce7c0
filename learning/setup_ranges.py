"""Where well-known setup parameters usually lie, for those that nobody gave bounds for."""

import re
from typing import NamedTuple

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SAME_WORD = {
    "tire": "tyre",
    "tyres": "tyre",
    "tires": "tyre",
    "pressures": "pressure",
    "psi": "pressure",
    "springs": "spring",
    "spoiler": "wing",
    "flap": "wing",
    "splitter": "wing",
    "balance": "bias",
    "diff": "differential",
    "antiroll": "arb",
    "swaybar": "arb",
    "castor": "caster",
    "rideheight": "height",
    "brakebias": "bias",
}


class Usual(NamedTuple):
    """The lowest and highest value that is usual on some scale, and how far one goes from where one is."""

    low: float
    high: float
    reach: float


# By words that a name must have, the first that fit. Of scales the first that holds the value driven first is
# meant: those of GT cars before wider ones. Magnitudes are as setup screens of simulators show them, not any
# car's own limits: wings in degrees or clicks, pressures in psi, bar or kPa, heights in mm, cm or m, springs
# in N/mm or N/m, preload in Nm.
_USUAL: tuple[tuple[frozenset[str], tuple[Usual, ...]], ...] = tuple(
    (frozenset(words.split()), scales)
    for words, scales in (
        ("brake duct", (Usual(0, 8, 3),)),
        ("bias", (Usual(48, 66, 8), Usual(0.48, 0.66, 0.08), Usual(40, 80, 8))),
        ("brake pressure", (Usual(50, 100, 15), Usual(0.5, 1.0, 0.15))),
        ("pressure", (Usual(22, 32, 5), Usual(14, 40, 5), Usual(1.1, 2.8, 0.35), Usual(110, 280, 35))),
        ("wing", (Usual(0, 16, 8), Usual(0, 60, 12))),
        ("height", (Usual(45, 95, 18), Usual(10, 200, 18), Usual(1.5, 10, 1.8), Usual(0.015, 0.1, 0.018))),
        ("camber", (Usual(-7, 2, 1.5),)),
        ("toe", (Usual(-1, 1, 0.3),)),
        ("caster", (Usual(1, 16, 3),)),
        ("arb", (Usual(0, 12, 5),)),
        ("roll bar", (Usual(0, 12, 5),)),
        ("preload", (Usual(0, 350, 60),)),
        ("differential", (Usual(0, 100, 25),)),
        ("bump", (Usual(0, 40, 10),)),
        ("rebound", (Usual(0, 40, 10),)),
        ("damper", (Usual(0, 40, 10),)),
        ("spring", (Usual(15, 400, 40), Usual(15_000, 400_000, 40_000))),
        ("traction control", (Usual(0, 12, 4),)),
        ("tc", (Usual(0, 12, 4),)),
        ("abs", (Usual(0, 12, 4),)),
    )
)


def usual_range(name: str, value: float) -> tuple[float, float] | None:
    """The lowest and highest value to try of a parameter that was first driven with a value.

    None where the name says nothing, or the value is on no scale that is known for it.

    Examples
    --------
    >>> usual_range("frontTirePressure", 27.0)
    (22.0, 32.0)
    >>> usual_range("brake_bias", 0.56)
    (0.48, 0.64)
    >>> usual_range("rear_wing", 4.0)
    (0.0, 12.0)
    """
    words = {word.lower() for word in _WORD.findall(name)}
    words = {_SAME_WORD.get(word, word) for word in words}
    for wanted, scales in _USUAL:
        if wanted <= words:
            return next((_around(usual, value) for usual in scales if usual.low <= value <= usual.high), None)
    return None


def _around(usual: Usual, value: float) -> tuple[float, float]:
    low, high = max(usual.low, value - usual.reach), min(usual.high, value + usual.reach)
    return round(float(low), 6), round(float(high), 6)
