"""Which of the drivers in a file is meant: a table of results may hold several."""

from collections.abc import Sequence
from dataclasses import dataclass

from learning.errors import InvalidTelemetry

SHOWN = 100


@dataclass(frozen=True)
class Driver:
    """A driver in a file: how a list shows them, and the names they answer to, in any case."""

    shown: str
    names: frozenset[str]

    @staticmethod
    def of(shown: str, *names: str) -> "Driver":
        """A driver who answers to what the list shows and to other names; empty ones do not count."""
        return Driver(shown, frozenset(_plain(name) for name in (shown, *names)) - {""})


def choose(drivers: Sequence[Driver], wanted: str | None) -> int:
    """The place in the list of the wanted driver; the only one need not be named.

    >>> choose([Driver.of("ALB"), Driver.of("Carlos Sainz", "SAI", "55")], "sai")
    1

    Raises
    ------
    InvalidTelemetry
        Several are there, or answer to the name, or nobody does; the details list the choices.
    """
    if wanted is None:
        fitting = list(range(len(drivers)))
        problem = f"The file holds the laps of {len(drivers)} drivers; say in driver whose to take."
    else:
        fitting = [place for place, driver in enumerate(drivers) if _plain(wanted) in driver.names]
        problem = (
            f"{len(fitting) or 'No'} drivers in the file answer to {wanted[:40]!r}; name one of the choices."
        )
    if len(fitting) == 1:
        return fitting[0]
    choices = [drivers[place].shown for place in fitting] or [driver.shown for driver in drivers]
    listed = ", ".join(choices[:SHOWN])
    raise InvalidTelemetry(problem, driver=[f"One of: {listed}."], choices=choices[:SHOWN])


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
