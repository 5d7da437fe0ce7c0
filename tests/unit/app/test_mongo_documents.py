"""Values become documents and come back the same."""

from datetime import UTC, datetime

import pytest

from app.domain import Job, JobKind, JobStatus, LapSummary, ModelType, Progress
from app.mongo import from_document, to_document

JOB = Job(
    id="5f0000000000000000000001",
    user_id="5f0000000000000000000002",
    kind=JobKind.TRAIN,
    status=JobStatus.RUNNING,
    track_name="Spa",
    model_type=ModelType.SECTOR_ANALYSIS,
    session_ids=("a", "b"),
    parameters={"hyperparameters": {"rate": 0.1}},
    progress=Progress(done=1, total=3, unit="laps"),
    queued_at=datetime(2026, 1, 2, tzinfo=UTC),
)


def test_a_job_comes_back_as_it_was() -> None:
    assert from_document(Job, to_document(JOB)) == JOB


def test_documents_have_camel_case_keys_and_plain_values() -> None:
    document = to_document(JOB)
    assert document["_id"] == JOB.id
    assert document["modelType"] == "sector_analysis"
    assert type(document["modelType"]) is str
    assert document["progress"] == {"done": 1, "total": 3, "unit": "laps"}
    assert document["sessionIds"] == ["a", "b"]


def test_a_document_without_a_required_key_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="lapTime"):
        from_document(LapSummary, {"lap": 1})
