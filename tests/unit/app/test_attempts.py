"""What an attempt notes on its way, and when it can do without."""

from typing import Any, cast
from unittest.mock import Mock

import pytest

from app.domain import Job, JobKind, LineageKey, ModelType
from app.errors import HandedBack
from app.services.attempts import RENEW_SECONDS, Steps
from app.services.jobs import new_job

KEY = LineageKey(user_id="ann", track_name="spa", model_type=ModelType.LAP_TIME_PREDICTION)


class Store:
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.noted: list[str | None] = []

    def renew(self, job: Job, progress: object, learning: str | None = None) -> Job:
        self.noted.append(learning)
        return job


def steps(store: Store, session_ids: tuple[str, ...], *, now: list[float], **options: Any) -> Steps:
    job = new_job(JobKind.TRAIN, KEY, session_ids, lineage_id=KEY.id, automatic=True)
    return Steps(job, cast(Any, store), Mock(), 10, clock=lambda: now[0], **options)


def test_each_of_several_sessions_is_noted_before_it_is_learned() -> None:
    store = Store()
    attempt = steps(store, ("a", "b"), now=[0.0])
    attempt.begin("a")
    attempt.begin("b")
    attempt.end()
    assert store.noted == ["a", "b", None]


def test_an_upload_learned_alone_is_noted_only_when_it_takes_long() -> None:
    store, now = Store(), [100.0]
    attempt = steps(store, ("a",), now=now)
    attempt.begin("a")
    attempt.on_lap(1, 10)
    assert store.noted == []
    now[0] += RENEW_SECONDS
    attempt.on_lap(2, 10)
    attempt.end()
    assert store.noted == ["a"]


def test_an_upload_learned_alone_is_handed_back_too_when_its_worker_stops() -> None:
    attempt = steps(Store(), ("a",), now=[0.0], is_leaving=lambda: True)
    with pytest.raises(HandedBack):
        attempt.begin("a")
