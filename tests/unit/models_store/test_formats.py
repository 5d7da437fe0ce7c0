"""Models written by former releases load and go on; those that cannot be read are refused with the reason."""

import json
from typing import Any

import pytest

from app.errors import ArtifactRefused
from learning.model import RacingModel
from models_store import formats
from models_store.codec import Artifact, decode, signed_for
from models_store.formats import Step
from tests.fixtures.models import KEY, LAPS, MAX_BYTES, OWNER, driven, folder, predicted

Kept = dict[str, Any]
KEPT: list[tuple[int, Kept]] = [
    (number, kept)
    for number in range(formats.OLDEST, formats.CURRENT + 1)
    for kept in json.loads((folder(number) / "models.json").read_text())
]
IDS = [f"{number}-{kept['name']}" for number, kept in KEPT]
LINEAR = next(kept for _, kept in KEPT if kept["name"] == "lap_time_prediction-linear")


def artifact_of(kept: Kept, **changes: Any) -> Artifact:
    about = {key: value for key, value in kept.items() if key not in ("name", "laps", "predicted")}
    data = (folder(kept["format"]) / f"{kept['name']}.bin").read_bytes()
    return Artifact(data=data, **about | changes)


def load(artifact: Artifact) -> RacingModel[Any]:
    model: RacingModel[Any] = decode(artifact, owner=OWNER, keys=[KEY.encode()], max_size=MAX_BYTES)
    return model


@pytest.mark.parametrize(("number", "kept"), KEPT, ids=IDS)
def test_a_model_kept_from_a_former_release_answers_as_it_did_and_learns_on(number: int, kept: Kept) -> None:
    assert kept["format"] == number
    model = load(artifact_of(kept))
    assert predicted(model) == pytest.approx(kept["predicted"], rel=1e-3)
    report = model.learn_session(driven(3))
    assert model.laps_learned == kept["laps"] + LAPS
    assert report.as_dict()["laps"] > 0


def test_the_kept_models_are_small() -> None:
    files = [
        path for number in range(formats.OLDEST, formats.CURRENT + 1) for path in folder(number).iterdir()
    ]
    assert sum(path.stat().st_size for path in files) < 300_000 * len({path.parent for path in files})


def resigned(number: int) -> Artifact:
    """A kept model that says it is of another format, rightly signed."""
    return signed_for(artifact_of(LINEAR, format=number), OWNER, key=KEY.encode())


def test_a_format_that_was_not_signed_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match="not signed"):
        load(artifact_of(LINEAR, format=formats.CURRENT + 1))


def test_a_model_of_a_newer_release_is_refused_and_not_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models_store.codec._Unpickler", None)
    with pytest.raises(ArtifactRefused, match=r"format 2, .* a newer release wrote it"):
        load(resigned(formats.CURRENT + 1))


def test_a_model_too_old_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match="format 0, which this release no longer reads"):
        load(resigned(0))


def test_an_older_model_is_brought_to_the_newest_format_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(model: Any) -> Any:
        model.steps_taken = ["first"]
        return model

    def second(model: Any) -> Any:
        model.steps_taken.append("second")
        return model

    monkeypatch.setattr(formats, "CURRENT", 3)
    monkeypatch.setattr(formats, "STEPS", {1: Step(change=first), 2: Step(change=second)})
    model = load(artifact_of(LINEAR))
    assert model.steps_taken == ["first", "second"]  # type: ignore[attr-defined]
    assert predicted(model) == pytest.approx(LINEAR["predicted"], rel=1e-3)


def test_a_class_that_has_moved_is_found_where_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(number: int) -> Step:
        """LapTimeModel was at this other place in the format of the number."""
        return Step(renamed={("learning.lap_time", "LapTimeModel"): ("learning.sectors", "SectorModel")})

    monkeypatch.setattr(formats, "CURRENT", 2)
    monkeypatch.setattr(formats, "STEPS", {1: moved(1)})
    assert type(load(artifact_of(LINEAR))).__name__ == "SectorModel"


def test_a_step_that_fails_refuses_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "CURRENT", 2)
    monkeypatch.setattr(formats, "STEPS", {1: Step(change=lambda model: model.gone)})
    with pytest.raises(ArtifactRefused, match="cannot be unpickled: AttributeError"):
        load(artifact_of(LINEAR))


def test_a_class_that_is_gone_refuses_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("learning.lap_time.LapTimeModel")
    with pytest.raises(ArtifactRefused, match=r"cannot be unpickled: AttributeError: .*LapTimeModel"):
        load(artifact_of(LINEAR))
