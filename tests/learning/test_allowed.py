"""The allow-list is exactly what trained models of the zoo need."""

import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.domain import ModelType, new_id
from learning.laps import Lap, SessionLaps
from learning.zoo import algorithms, create_model
from models_store.allowed import ALLOWED
from models_store.codec import Owner, decode, encode


def variants() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every entry of the zoo, once for each of its choices; trees get to split soon."""
    for model_type in ModelType:
        for algorithm in algorithms(model_type):
            early = {"grace_period": 10} if "grace_period" in algorithm.hyperparameters else {}
            yield model_type, algorithm.name, early
            for name, hyperparameter in algorithm.hyperparameters.items():
                for choice in hyperparameter.choices:
                    yield model_type, algorithm.name, early | {name: choice}


def lap(number: int) -> Lap:
    """A lap that takes 4 s longer with a full tank."""
    full = bool(np.random.default_rng(number).integers(2))
    position = np.linspace(0.01, 0.99, 50)
    lap_time = 92.0 if full else 88.0
    return Lap(
        number=number,
        lap_time=lap_time,
        valid=True,
        reason=None,
        sector_times=(lap_time / 4, lap_time / 4, lap_time / 2),
        outing=0,
        position=position,
        time=position * lap_time,
        channels={"speed": np.full(50, 200, np.float32)},
        context={"compound": "SOFT", "fuel": 50.0 if full else 10.0},
    )


def session(wing: float, laps: range) -> SessionLaps:
    return SessionLaps(laps=tuple(map(lap, laps)), car_model="gt3", setup={"wing": wing})


class Recorder(pickle.Unpickler):
    """Keeps the names a pickle refers to."""

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self.names: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        self.names.add((module, name))
        return super().find_class(module, name)


@pytest.fixture(scope="module")
def models() -> list[Any]:
    trained = []
    for model_type, algorithm, hyperparameters in variants():
        model = create_model(model_type, algorithm, hyperparameters)
        model.learn_session(session(1.0, range(1, 8)))
        model.learn_session(session(2.0, range(8, 25)))
        trained.append(model)
    return trained


def test_every_trained_model_of_the_zoo_loads_as_it_was(models: list[Any]) -> None:
    owner = Owner(user_id=new_id(), model_id=new_id())
    for model in models:
        artifact = encode(model, owner=owner, key=b"key", max_size=1 << 20)
        loaded = decode(artifact, owner=owner, keys=[b"key"], max_size=1 << 20)
        assert type(loaded) is type(model)
        assert loaded.laps_learned == 24
        assert loaded.metrics() == model.metrics()


def test_every_name_of_the_allow_list_is_needed_by_some_trained_model(models: list[Any]) -> None:
    needed = set()
    for model in models:
        recorder = Recorder(pickle.dumps(model, protocol=5))
        recorder.load()
        needed |= recorder.names
    assert needed == ALLOWED
