"""Which experiment runs, and who answers: looked up seldom, decided the same way each time."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from app.domain import LineageKey, ModelType, new_id, utc_now
from app.experiment import Experiment, ExperimentStatus, SessionScore, Variant
from app.services import experiments
from app.services.experiments import RunningExperiments, outcome_of, standing, variant_for
from app.stores.experiments import ExperimentStore
from tests.unit.app.conftest import USER_ID

KEY = LineageKey(user_id=USER_ID, track_name="spa", model_type=ModelType.LAP_TIME_PREDICTION)
EXPERIMENT = Experiment(
    id=new_id(),
    user_id=USER_ID,
    lineage_id=KEY.id,
    track_name=KEY.track_name,
    model_type=KEY.model_type,
    status=ExperimentStatus.RUNNING,
    incumbent_ids=(new_id(),),
    challenger_ids=(new_id(),),
    share=0.25,
    level=0.95,
    min_laps=30,
    max_days=30,
    auto_promote=False,
    started_at=utc_now(),
    ends_at=utc_now() + timedelta(days=30),
)


class Lookups:
    """A store that counts how often it is asked."""

    def __init__(self) -> None:
        self.running: Experiment | None = None
        self.asked: Counter[str] = Counter()

    def find_running(self, lineage_id: str) -> Experiment | None:
        self.asked[lineage_id] += 1
        return self.running


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lookups() -> Lookups:
    return Lookups()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def running(lookups: Lookups, clock: Clock) -> RunningExperiments:
    return RunningExperiments(cast(ExperimentStore, lookups), clock)


def score(differences: tuple[float, ...]) -> SessionScore:
    return SessionScore(
        session_id=new_id(),
        incumbent_id=new_id(),
        challenger_id=new_id(),
        differences=differences,
        laps_left_out=1,
        incumbent_mae=2.0,
        challenger_mae=1.0,
        scored_at=utc_now(),
    )


def test_a_thousand_predictions_cost_one_lookup(running: RunningExperiments, lookups: Lookups) -> None:
    assert [running.find(KEY) for _ in range(1_000)] == [None] * 1_000
    assert lookups.asked == {KEY.id: 1}


def test_starts_and_ends_are_seen_within_a_second(
    running: RunningExperiments, lookups: Lookups, clock: Clock
) -> None:
    assert running.find(KEY) is None
    lookups.running = EXPERIMENT
    assert running.find(KEY) is None
    clock.now += experiments.SEEN_WITHIN
    assert experiments.SEEN_WITHIN < 1
    assert running.find(KEY) == EXPERIMENT
    lookups.running = None
    clock.now += experiments.SEEN_WITHIN
    assert running.find(KEY) is None


def test_an_experiment_whose_time_is_over_answers_nobody(
    running: RunningExperiments, lookups: Lookups
) -> None:
    lookups.running = replace(EXPERIMENT, ends_at=utc_now())
    assert running.find(KEY) is None


def test_lineages_not_asked_for_lately_are_forgotten(
    running: RunningExperiments, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "LINEAGES_KEPT", 2)
    for track in ("monza", "spa", "imola", "monza"):
        running.find(replace(KEY, track_name=track))
    assert lookups.asked[replace(KEY, track_name="monza").id] == 2
    assert len(running._kept) == 2


def test_clients_are_shared_out_by_the_share_and_stay_where_they_are() -> None:
    clients = [f"client-{number}" for number in range(4_000)]
    variants = [variant_for(EXPERIMENT, client) for client in clients]
    assert 900 < variants.count(Variant.CHALLENGER) < 1_100
    assert [variant_for(EXPERIMENT, client) for client in clients] == variants
    wider = [variant_for(replace(EXPERIMENT, share=0.5), client) for client in clients]
    assert all(b is Variant.CHALLENGER for a, b in zip(variants, wider, strict=True) if a != b)
    other = [variant_for(replace(EXPERIMENT, id=new_id()), client) for client in clients]
    assert other != variants


def test_a_decision_needs_evidence_laps_and_sessions() -> None:
    better = tuple(score((0.9, 1.0, 1.1) * 5) for _ in range(12))
    assert outcome_of(replace(EXPERIMENT, scores=better)) == "challenger_better"
    worse = tuple(replace(one, differences=tuple(-d for d in one.differences)) for one in better)
    assert outcome_of(replace(EXPERIMENT, scores=worse)) == "incumbent_better"
    assert outcome_of(replace(EXPERIMENT, scores=better, min_laps=181)) is None
    assert outcome_of(replace(EXPERIMENT, scores=better[:5])) is None
    two_long_ones = (score((0.9, 1.0, 1.1) * 50),) * 2
    assert outcome_of(replace(EXPERIMENT, scores=two_long_ones)) is None
    assert outcome_of(EXPERIMENT) is None


def test_a_standing_counts_the_laps_that_both_could_predict() -> None:
    unpredictable = replace(score(()), incumbent_mae=None, challenger_mae=None, laps_left_out=7)
    now = standing(replace(EXPERIMENT, scores=(score((1.0, 1.0)), unpredictable)))
    assert (now.sessions, now.laps, now.laps_left_out) == (1, 2, 8)
    assert (now.incumbent_mae, now.challenger_mae) == (2.0, 1.0)
