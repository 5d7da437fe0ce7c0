"""The forms in which models have been pickled over the releases, and what brings an older one to today's.

Raise `CURRENT` with every change by which a model pickled before would not load or would not go on as it was:
a class that moves, an attribute that comes or goes. Give `STEPS` what brings the former form to the new one,
and keep models of the new form: `python -m tests.fixtures.models` (see docs/operating.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import ArtifactRefused

CURRENT = 1
OLDEST = 1
Name = tuple[str, str]  # of a class or function: its module, and its name there


@dataclass(frozen=True, kw_only=True)
class Step:
    """What brings a model of one format to the next.

    Parameters
    ----------
    renamed
        What has moved: the names that older pickles have, and those of today.
    change
        Takes the model as it was unpickled, before anything is asked of it, and returns it mended. Classes
        below the model may do the same for themselves by `__setstate__`.
    """

    renamed: Mapping[Name, Name] = field(default_factory=dict)
    change: Callable[[Any], Any] = lambda model: model


STEPS: Mapping[int, Step] = {}  # by the format each starts from


def check(number: int) -> None:
    """Makes sure that there is a way from a format to the current one.

    Raises
    ------
    ArtifactRefused
    """
    if number > CURRENT:
        raise ArtifactRefused(
            f"it is of format {number}, and this release reads none after {CURRENT}: a newer release wrote it"
        )
    if number < OLDEST or any(step not in STEPS for step in range(number, CURRENT)):
        raise ArtifactRefused(f"it is of format {number}, which this release no longer reads")


def today(name: Name, number: int) -> Name:
    """What the name in a pickle of a format is called now."""
    for step in range(number, CURRENT):
        name = STEPS[step].renamed.get(name, name)
    return name


def upgraded(model: Any, number: int) -> Any:
    """A model just unpickled from a format, as one of the current format."""
    for step in range(number, CURRENT):
        model = STEPS[step].change(model)
    return model
