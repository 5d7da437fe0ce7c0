"""What stands in for the names of a pickle while it is read, so that no name can do more than a model needs.

Unpickling calls what it finds with arguments from the pickle, and sets attributes of whatever it is told to.
Our classes are to be made blank and given their state, never to be called or changed. NumPy's types would
believe any state they are given, and so read memory that is not theirs. And what makes copies could make so
many of a long list that no memory holds them.
"""

from collections import OrderedDict, defaultdict, deque
from functools import cache, partial
from types import FunctionType
from typing import Any

import numpy as np
from numpy._core import numeric

from app.errors import ArtifactRefused

COPYING = frozenset({("collections", "Counter"), ("river._river_rust.vectordict", "VectorDict")})
_OURS_AND_RIVERS = ("learning.", "river.")
_KINDS = frozenset("biuf")  # of numbers; objects and structures are none
_TRAITS = ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__", "__code__")


class Fixed(type):
    """A class that no pickle can change."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise ArtifactRefused(f"it changes {cls.__name__}, which no model needs")


class Uncallable(Fixed):
    """A class of which there are instances only by way of `__new__`."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise ArtifactRefused(f"it calls {cls.__name__}, which no model needs")


def blank(kind: type) -> type:
    """Makes blank instances of a class, as `NEWOBJ` asks for them, and cannot be called."""
    return Uncallable(kind.__name__, (), {"__new__": lambda _, *args: kind.__new__(kind, *args)})


class NumberType(metaclass=Fixed):
    """The description of an array's numbers, for `Array` alone; its state may be what plain numbers have."""

    def __init__(self, name: Any, _align: Any = False, _copy: Any = True) -> None:
        if type(name) is not str or len(name) > 8 or np.dtype(name).kind not in _KINDS:
            raise ArtifactRefused("it has an array of something else than numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or state[1] not in ("<", "|", "=") or state[2:] != _PLAIN_STATE:
            raise ArtifactRefused("it has an array of a type with a state of its own")


_PLAIN_STATE = (None, None, None, -1, -1, 0)


class Array(metaclass=Fixed):
    """Makes the array over a buffer of the pickle, of which it is a view."""

    def __new__(cls, buffer: Any, dtype: Any, *form: Any) -> Any:
        if type(dtype) is not NumberType or type(buffer) not in (bytes, bytearray):
            raise ArtifactRefused("it has an array of something else than numbers")
        return numeric._frombuffer(buffer, dtype.dtype, *form)  # type: ignore[attr-defined]  # has no types


class Deque(metaclass=Fixed):
    """Makes a deque that is filled afterwards."""

    def __new__(cls, items: Any = (), maxlen: Any = None) -> Any:
        if items != ():
            raise ArtifactRefused("it copies what it has made already")
        return deque(maxlen=maxlen)


class Ordered(metaclass=Fixed):
    """Makes a dict that is filled afterwards."""

    def __new__(cls) -> Any:
        return OrderedDict()


class Default(metaclass=Fixed):
    """Makes a dict that is filled afterwards."""

    def __new__(cls, factory: Any = None) -> Any:
        return defaultdict(factory)


_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Ordered,
    ("collections", "defaultdict"): Default,
    ("collections", "deque"): Deque,
    ("numpy", "dtype"): NumberType,
    ("numpy._core.numeric", "_frombuffer"): Array,
}


@cache
def stand_in(found: Any, module: str, name: str) -> Any:
    """What is used in the place of an allowed name's object."""
    if (module, name) in _STAND_INS:
        return _STAND_INS[module, name]
    is_model = isinstance(found, type) and module.startswith(_OURS_AND_RIVERS)
    return blank(found) if is_model and (module, name) not in COPYING else found


class Reading:
    """What is noted while one pickle is read.

    Parameters
    ----------
    at_most
        How many items may be copied: each item of an honest copy stands in the pickle itself.
    """

    def __init__(self, at_most: int) -> None:
        self._left = at_most
        self._functions: list[tuple[FunctionType, dict[str, Any]]] = []

    def limited(self, make: Any) -> Any:
        """Makes the same until too much is copied."""
        return partial(self._copied, make).__call__  # a method, for no attribute of it can be set

    def _copied(self, make: Any, items: Any, *rest: Any) -> Any:
        self._left -= len(items)
        if type(items) is not dict or self._left < 0:
            raise ArtifactRefused("it copies what it has made again and again")
        return make(items, *rest)

    def note(self, found: Any) -> None:
        """Remembers what a function is like; it must be the function itself, not something in its place."""
        if isinstance(found, FunctionType):
            self._functions.append((found, _traits(found)))

    def check_unchanged(self) -> None:
        """Puts back what the pickle has changed of functions.

        Raises
        ------
        ArtifactRefused
            It has changed some.
        """
        changed = [(function, traits) for function, traits in self._functions if _traits(function) != traits]
        for function, traits in changed:
            for name, value in traits.items():
                setattr(function, name, value)
        if changed:
            raise ArtifactRefused(f"it changes {changed[0][0].__name__}, which no model needs")


def _traits(function: FunctionType) -> dict[str, Any]:
    return {name: getattr(function, name) for name in _TRAITS} | {"__dict__": dict(function.__dict__)}
