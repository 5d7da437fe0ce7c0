"""What pages say of versions: what changed, which of two is better, and what was predicted of their laps."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.domain import LineageKey, ModelType, Version
from app.errors import ModelNotFound
from app.services.models import Models
from app.web.differences import before_each, change_of, coverage, side_by_side
from app.web.records import LAPS_SHOWN, drifts_in, record_of
from tests.factories import a_version

KEY = LineageKey(user_id="u1", track_name="monza", model_type=ModelType.LAP_TIME_PREDICTION)
DRIFT = {
    "detected": {"session": 1, "lap": 2},
    "began": {"session": 1, "lap": 1},
    "direction": "slower",
    "size": 1.04,
}


def a_measured(number: str, mae: float, laps: int = 20, **fields: Any) -> Version:
    """A version that tells its errors."""
    position = {"laps": laps, "mae": mae, "references": {}}
    metrics = {"mae": mae, "rmse": mae, "mse": mae**2 + 0.01, "accuracy": 0.5, "scored": laps}
    positions = {"0": position | {"coverage": 0.8}, "50": position | {"coverage": 0.9}}
    metadata = {
        "mae": mae,
        "lapsLearned": laps,
        "trainingSessionsCount": 1,
        "hyperparameters": {"l2": 0.0},
        "performanceMetrics": metrics | {"positions": positions},
    }
    return a_version(number, KEY, model_metadata=metadata | fields.pop("metadata", {}), **fields)


def telling(number: str, times: list[float], *, drifts: Any = (), **fields: Any) -> Version:
    """A version that tells what it predicted of the laps of one session: each half a second too slow."""
    predictions = {
        "lap": [*range(1, len(times) + 1)],
        "lapTime": times,
        "predicted": [time + 0.5 for time in times],
        "lower": [time - 0.1 for time in times],
        "upper": [time + 1.1 for time in times],
    }
    told = {"s1": {"predictions": predictions, "drifts": drifts}}
    return a_version(number, KEY, validation_results={"sessions": told, "drifts": drifts}, **fields)


def models(*known: Version) -> Models:
    """The service, as far as records use it."""
    by_id = {version.id: version for version in known}

    def get(user_id: str, id: str) -> Version:
        if id not in by_id:
            raise ModelNotFound
        return by_id[id]

    return cast(Models, SimpleNamespace(get=get))


def test_a_grown_version_tells_what_it_learned_itself_and_how_its_error_moved() -> None:
    parent = a_measured("1.0.0", 0.5)
    child = a_measured("1.0.1", 0.4, 32, parent_id=parent.id, training_session_ids=("s1", "s2"))
    change = change_of(child, parent)
    assert (change.origin, change.session_ids, change.laps) == ("went on learning", ("s2",), 12)
    assert change.error == pytest.approx(-0.1)
    assert change.settings == ()


def test_a_version_from_scratch_tells_all_its_sessions_and_what_was_set_otherwise() -> None:
    before = a_measured("1.0.0", 0.5)
    other = a_measured("2.0.0", 0.4, algorithm="hoeffding_tree")
    tuned = a_measured("3.0.0", 0.4, metadata={"hyperparameters": {"l2": 0.25}})
    assert change_of(other, before).session_ids == ("s1",)
    assert change_of(other, before).settings == ("algorithm hoeffding_tree, was linear",)
    assert change_of(tuned, before).settings == ("l2 0.25, was 0",)


@pytest.mark.parametrize(
    ("metadata", "origin"),
    [
        ({"importedFrom": {"modelVersion": "4.0.0"}}, "imported; it was version 4.0.0"),
        ({"retraining": {}}, "retrained after drift"),
        ({"rebuilt": {"modelVersion": "1.0.7"}}, "trained again, for 1.0.7 could not be read"),
        ({}, "trained from scratch"),
    ],
)
def test_a_version_tells_how_it_came_to_be(metadata: dict[str, Any], origin: str) -> None:
    assert change_of(a_measured("2.0.0", 0.5, metadata=metadata), None).origin == origin


def test_each_version_is_held_against_its_parent_or_the_one_before_it() -> None:
    first = a_measured("1.0.0", 0.5)
    second = a_measured("2.0.0", 0.4)
    rolled_back = a_measured("2.0.1", 0.3, parent_id=first.id)
    alone = a_measured("2.0.2", 0.3, parent_id="not listed")
    listed = [alone, rolled_back, second]
    changes = before_each(listed, {first.id: first, "not listed": first})
    assert [change.before for change in changes] == [first, first, None]


def test_of_two_versions_the_better_is_marked_figure_by_figure() -> None:
    rows = {row.what: row for row in side_by_side(a_measured("1.0.0", 0.5), a_measured("2.0.0", 0.4, 32))}
    assert (rows["Mean error"].better, rows["Mean error"].difference) == ("b", "−0.100 s")
    assert (rows["Within 0.5 % of the lap"].better, rows["Within 0.5 % of the lap"].difference) == ("", "")
    assert rows["Error at 0 % of the lap"].better == "b"
    assert (rows["Laps learned"].better, rows["Laps learned"].difference) == ("", "+12")
    assert rows["Algorithm"].difference == ""


def test_coverage_is_that_of_mid_lap() -> None:
    assert coverage(a_measured("1.0.0", 0.5)) == 0.9


def test_a_record_is_of_the_newest_laps_of_a_version_and_its_ancestors_at_pace() -> None:
    first = telling("1.0.0", [90.0, 120.0, 91.0])
    second = telling("1.0.1", [90.5, 92.5], drifts=[DRIFT], parent_id=first.id)
    record = record_of(models(first, second), second)
    assert [(lap.number, lap.lap_time) for lap in record.laps] == [
        ("1.0.0", 90.0),
        ("1.0.0", 91.0),
        ("1.0.1", 90.5),
        ("1.0.1", 92.5),
    ]
    assert (record.slow, record.inside) == (1, 4)
    assert record.mean_error == pytest.approx(0.5)
    assert [(lap.lap, str(lap.drift)) for lap in record.drifts] == [(2, "1.040 s a lap slower since lap 1")]
    assert [str(drift) for drift in drifts_in(second)] == ["1.040 s a lap slower since lap 1"]


def test_a_record_ends_where_no_predictions_were_kept_or_a_parent_has_gone() -> None:
    old = a_version("1.0.0", KEY)
    grown = telling("1.0.1", [90.0], parent_id=old.id)
    assert len(record_of(models(old), grown).laps) == 1
    assert len(record_of(models(), grown).laps) == 1
    assert record_of(models(), old).laps == []


def test_a_record_is_bounded() -> None:
    long = telling("1.0.0", [90.0 + number / 100 for number in range(LAPS_SHOWN + 5)])
    assert record_of(models(), long).laps[0].lap == 6
