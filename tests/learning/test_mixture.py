"""The mixture of experts: one answer a row however many are asked, and laps it has to live with."""

import itertools
from typing import Any

import pytest

from learning.errors import InvalidInput
from learning.lap_time import LapTimeModel
from learning.mixture import ExpertMixture
from learning.moments import moment_of
from learning.zoo import create_model
from tests.learning.driven import lap, session


def trained(*sessions: Any) -> LapTimeModel:
    model = create_model("lap_time_prediction")
    for one in sessions:
        model.learn_session(one)
    assert isinstance(model, LapTimeModel)
    return model


def frames(count: int = 60) -> list[dict[Any, Any]]:
    """Points of one lap that was not learned, from the line to the end."""
    driven = lap(7, 90.3, seed=9)
    return [moment_of(driven, (1 + index) / (count + 2)) for index in range(count)]


def told_differently() -> list[dict[Any, Any]]:
    """Points of one lap of which each says a little less, or something else, than the one before."""
    untold = itertools.cycle([(), ("splits",), ("speeds",), ("current_lap_time", "splits", "speeds")])
    tyres = itertools.cycle(
        [{"tyre_life": 3.0}, {}, {"compound": "SOFT", "outing_lap": 2.0}, {"recent_laps": [91.0]}]
    )
    return [
        {name: value for name, value in (row | told).items() if name not in hidden}
        for row, hidden, told in zip(frames(300), untold, tyres, strict=False)
    ]


def times(lap_time: float) -> dict[Any, Any]:
    return {"splits": [lap_time * mark / 20 for mark in range(1, 20)]}


def test_a_list_of_rows_is_answered_as_each_row_alone() -> None:
    model, rows = trained(session(20), session(20, seed=1)), frames()
    alone = [model.predict([row], level=0.9)[0] for row in rows]
    together = model.predict(rows, level=0.9)
    assert [one.values["lap_time"] for one in together] == pytest.approx(
        [one.values["lap_time"] for one in alone], abs=1e-6
    )
    assert [one.interval.upper for one in together if one.interval] == pytest.approx(
        [one.interval.upper for one in alone if one.interval], abs=1e-6
    )


def test_rows_that_give_different_fields_are_answered_as_each_row_alone() -> None:
    model, rows = trained(session(20), session(20, seed=1)), told_differently()
    alone = [model.predict([row], importance=True)[0] for row in rows]
    together = model.predict(rows, importance=True)
    answers = [one.values["lap_time"] for one in together]
    assert answers == pytest.approx([one.values["lap_time"] for one in alone], abs=1e-6)
    assert [list(one.importance or ()) for one in together] == [list(one.importance or ()) for one in alone]


def test_rows_that_go_on_from_one_another_are_answered_as_each_row_alone() -> None:
    model = trained(session(20), session(20, seed=1))
    rows = [row | {"tyre_life": float(index // 90)} for index, row in enumerate(frames(400))]
    answers = [one.values["lap_time"] for one in model.predict(rows)]
    assert answers == pytest.approx([model.predict([row])[0].values["lap_time"] for row in rows], abs=1e-6)


def test_rows_of_two_cars_in_one_list_are_each_answered_from_their_own_laps() -> None:
    model = trained(session(12, car_model="one"), session(12, pace=99.0, car_model="two"))
    rows = [{**frames(3)[1], "car_model": car, "track_position": 0.0} for car in ("one", "two", "one")]
    for row in rows:
        row.pop("splits")
        row.pop("speeds")
    answers = [one.values["lap_time"] for one in model.predict(rows)]
    assert answers == pytest.approx([90.0, 99.0, 90.0], abs=1.5)
    assert answers[0] == answers[2]


@pytest.mark.parametrize(
    ("spoilt", "field"),
    [
        ({"speed": float("nan")}, "speed"),
        ({"speed": 1e9}, "speed"),
        ({"speed": True}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"speed": None}, "speed"),
        ({"splits": None}, "splits"),
        ({"compound": None}, "compound"),
        ({"splits": [4.0, None]}, "splits"),
        ({"splits": [4.0, float("inf")]}, "splits"),
        ({"splits": [5.0, 4.0]}, "splits"),
        ({"speeds": ["x"]}, "speeds"),
        ({"speeds": [100.0] * 21}, "speeds"),
        ({"splits": [float(i) for i in range(1, 20)]}, "splits"),
        ({"flux": 1.0}, "flux"),
    ],
)
def test_one_spoilt_row_of_many_is_named_with_its_field(spoilt: dict[str, Any], field: str) -> None:
    model, rows = trained(session(8)), frames(40)
    rows[33] = {**rows[33], **spoilt}
    with pytest.raises(InvalidInput) as refused:
        model.predict(rows)
    assert list(refused.value.details["fields"]) == [field]
    assert refused.value.details["fields"][field][0].startswith("row 33: ")


def test_all_marks_of_a_lap_are_taken_at_its_end() -> None:
    model, row = trained(session(8)), frames(40)[-1]
    splits = [4.4 * mark for mark in range(1, 21)]
    row |= {"track_position": 1.0, "current_lap_time": 88.0, "splits": splits, "speeds": [200.0] * 21}
    assert model.predict([row])[0].values["lap_time"] == pytest.approx(88.0, abs=1.0)


def test_nothing_for_something_is_refused_though_all_rows_give_the_field() -> None:
    model, rows = trained(session(8)), [row | {"air_temp": None} for row in frames(40)]
    with pytest.raises(InvalidInput, match="air_temp"):
        model.predict(rows)


def test_a_missing_required_field_of_one_row_of_many_is_named() -> None:
    model, rows = trained(session(8)), frames(40)
    del rows[5]["gear"]
    with pytest.raises(InvalidInput, match="gear"):
        model.predict(rows)


def test_a_lap_that_has_lost_too_much_goes_by_slow_laps() -> None:
    model = ExpertMixture()
    for index in range(24):
        lap_time = 90.0 + index % 3 * 0.1 if index % 2 else 130.0
        model.learn_one(times(lap_time), lap_time)
    slow = model.predict_one({"track_position": 0.5, "current_lap_time": 65.0})
    quick = model.predict_one({"track_position": 0.5, "current_lap_time": 45.0})
    assert slow == pytest.approx(130.0, abs=1.0)
    assert quick == pytest.approx(90.1, abs=0.3)


def test_a_best_lap_that_cannot_be_true_is_forgotten() -> None:
    model = ExpertMixture()
    model.learn_one(times(60.0), 60.0)
    for index in range(60):
        model.learn_one(times(90.0 + index % 2 * 0.2), 90.0 + index % 2 * 0.2)
    assert model.predict_one({}) == pytest.approx(90.1, abs=0.3)


def test_laps_known_by_their_time_alone_are_forecast_but_do_not_blur_the_middle_of_a_lap() -> None:
    model = ExpertMixture()
    for _ in range(6):
        model.learn_one({}, 95.0)
    assert model.predict_one({}) == pytest.approx(95.0)
    shaped = {"splits": [30.0 + 3.0 * mark for mark in range(19)]}  # a slow start, then 3 s each 5 %
    model.learn_one(shaped, 90.0)
    answer = model.predict_one({"track_position": 0.5, "current_lap_time": 57.0})
    assert answer == pytest.approx(90.0, abs=0.01)


def test_rows_with_laps_that_were_not_learned_are_answered_alike_in_a_list() -> None:
    model, rows = trained(session(20)), frames(30)
    laps: list[list[float]] = [[], [89.1, 89.3], [93.0]]
    rows = [row | {"recent_laps": laps[index % 3]} for index, row in enumerate(rows)]
    together = [one.values["lap_time"] for one in model.predict(rows)]
    alone = [model.predict([row])[0].values["lap_time"] for row in rows]
    assert together == pytest.approx(alone, abs=1e-6)
    assert together[1] != pytest.approx(together[2], abs=0.01)
