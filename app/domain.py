"""The platform's values and rules: what a session, a job and a version are, free of any database or HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from bson import ObjectId

T = TypeVar("T")


class ModelType(StrEnum):
    """What a lineage predicts."""

    LAP_TIME_PREDICTION = "lap_time_prediction"
    SECTOR_ANALYSIS = "sector_analysis"
    SETUP_OPTIMIZATION = "setup_optimization"


class JobKind(StrEnum):
    """The work a job does."""

    TRAIN = "train"  # a lineage's first version, or a retraining from scratch
    INCREMENTAL_TRAINING = "incremental_training"  # a version grown from an earlier one
    RETRAIN = "retrain"  # a challenger from the sessions since a drift, measured against the active version
    VALIDATE = "validate"  # a version's metrics on given sessions; changes nothing
    COMPARE = "compare"  # several versions on the same sessions; changes nothing


class JobStatus(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"  # durably recorded, waits for a worker
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"  # done, with a result
    FAILED = "failed"  # given up, with an error
    CANCELLED = "cancelled"  # stopped by its driver, left no version

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


def new_id() -> str:
    """A new id: 24 hex characters that sort by the time they were made."""
    return str(ObjectId())


def utc_now() -> datetime:
    """The time now, in UTC, to the millisecond that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """A time as clients see it.

    >>> iso(datetime(2026, 2, 11, 9, 30, tzinfo=UTC))
    '2026-02-11T09:30:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """A stretch of a list, and the cursor of the next one; None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class User:
    """A driver's account."""

    id: str
    email: str
    password_hash: str = field(repr=False)
    display_name: str | None
    created_at: datetime
    is_admin: bool = False  # sees how the platform does, and may retry anybody's jobs


@dataclass(frozen=True, kw_only=True)
class LapSummary:
    """One timed lap of a session, without its telemetry. Times are in seconds."""

    lap: int
    lap_time: float | None
    sector_times: tuple[float, ...]
    valid: bool
    reason: str | None
    outing: int
    compound: str | None = None
    tyre_life: float | None = None
    wetness: float | None = None  # of the track, 0 dry to 1 wet


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """That a lineage does without a session, for the job that was to learn it could not."""

    model_type: ModelType
    job_id: str
    code: str
    message: str
    attempts: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Session:
    """One upload of telemetry: some laps by one driver on one track."""

    id: str
    user_id: str
    track_name: str
    session_name: str
    car_model: str | None
    driver: str | None = None  # whose laps they are, where the file tells drivers apart
    setup: Mapping[str, float]
    format: str
    size: int
    sha256: str
    laps_count: int
    valid_laps_count: int
    best_lap_time: float | None
    created_at: datetime
    set_aside: tuple[SetAside, ...] = ()  # at most one a model type


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """What a driver has on a track; `best_times` are of the newest sessions that have one, oldest first."""

    track_name: str
    sessions_count: int
    laps_count: int
    valid_laps_count: int
    best_lap_time: float | None
    best_times: tuple[float, ...]
    last_session_at: datetime


@dataclass(frozen=True, kw_only=True)
class SessionTimes:
    """The laps of a session that count: their numbers, and their times in seconds."""

    session_id: str
    session_name: str
    laps: tuple[int, ...]
    lap_times: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class NewSession:
    """An upload that waits to be read: a file on disk and what its driver says of it.

    `driver` is whose laps to take from a file that tells drivers apart.
    """

    path: Path
    track_name: str | None = None
    session_name: str | None = None
    car_model: str | None = None
    driver: str | None = None
    setup: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UploadStart:
    """What a driver says of a session that will arrive in chunks."""

    session_name: str
    track_name: str
    car_model: str | None = None
    driver: str | None = None
    setup: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A lineage's model from scratch."""

    track_name: str
    model_type: ModelType
    session_ids: tuple[str, ...]
    model_name: str | None = None
    description: str = ""
    algorithm: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class IncrementRequest:
    """A version grown from an earlier one by sessions it has not learned."""

    model_id: str
    session_ids: tuple[str, ...]
    validate_model: bool = True
    training_parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """Versions of one lineage to be measured on the same sessions; `level` is of the verdicts, 0..1."""

    model_ids: tuple[str, ...]
    session_ids: tuple[str, ...]
    level: float = 0.95


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Frames to predict for, by a version or by the active version of a track and type.

    While a live experiment runs, `client_id` decides which side answers for the active version.
    """

    rows: tuple[Mapping[str, Any], ...]
    is_list: bool
    model_id: str | None = None
    track_name: str | None = None
    model_type: ModelType | None = None
    include_confidence: bool = False
    confidence_level: float = 0.9
    include_feature_importance: bool = False
    client_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job has come."""

    done: int
    total: int
    unit: str


@dataclass(frozen=True, kw_only=True)
class LineageKey:
    """What a lineage is identified by."""

    user_id: str
    track_name: str
    model_type: ModelType

    @property
    def id(self) -> str:
        """The lineage's id: the user id and type have no `:`, so the track name may hold anything."""
        return f"{self.user_id}:{self.model_type}:{self.track_name}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One asynchronous piece of work.

    `automatic` marks a job made by an upload: it grows the version that is active when it starts, or starts
    the lineage. `lease_token` names the attempt that holds the job; only its holder may finish it. After
    a failed attempt nobody takes the job until `not_before`. `request_digest` tells whether the idempotency
    key came again with the same request. `turn` is its place among all drivers' jobs. `learning` is the
    session that its attempt is at, noted before it is learned; `moved` names the jobs that learn sessions
    in its place since an attempt failed, and `left_out` why it goes on without others. `request_ids` are
    of the requests that asked for it.
    """

    id: str
    user_id: str
    kind: JobKind
    status: JobStatus
    track_name: str
    model_type: ModelType
    session_ids: tuple[str, ...]
    lineage_id: str | None = None
    automatic: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_digest: str | None = None
    request_ids: tuple[str, ...] = ()
    progress: Progress | None = None
    model_id: str | None = None
    model_version: str | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    attempts: int = 0
    cancel_requested: bool = False
    lease_token: str | None = None
    lease_until: datetime | None = None
    not_before: datetime | None = None
    dispatches: int = 0
    dispatch_at: datetime | None = None
    turn: int | None = None
    learning: str | None = None
    moved: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    queued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_of_one_upload(self) -> bool:
        """Whether an upload made it and it learns nothing else, so that its session is to blame for all."""
        return self.automatic and len(self.session_ids) == 1


@dataclass(frozen=True, kw_only=True)
class FoundDrift:
    """A change of pace that the newest laps of a lineage showed, and the job that answers it.

    `model_id` is the version that found it, `began_session_id` and `began_lap` are where it began about, and
    `size` is in seconds a lap.
    """

    id: str
    model_id: str
    detected_at: datetime
    session_id: str
    lap: int
    began_session_id: str
    began_lap: int
    direction: str
    size: float
    job_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The state all versions of one lineage share; `revision` rises with every change to them.

    `drift` is the newest one found; no retraining begins before `retrain_after`.
    """

    id: str
    user_id: str
    track_name: str
    model_type: ModelType
    newest_version: str | None
    active_model_id: str | None
    revision: int
    automatic_retraining: bool = True
    drift: FoundDrift | None = None
    retrain_after: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable trained model of a lineage; `session_ids` are all it and its ancestors learned.

    `format` is of its pickle; `unreadable` says why its binary could not be read when that was last tried.
    """

    id: str
    user_id: str
    track_name: str
    model_type: ModelType
    model_name: str
    model_version: str
    algorithm: str
    is_active: bool
    parent_id: str | None
    description: str
    model_metadata: Mapping[str, Any]
    training_session_ids: tuple[str, ...]
    validation_results: Mapping[str, Any] | None
    feature_importance: Mapping[str, float]
    model_size: int
    compressed_size: int
    sha256: str
    hmac: str
    training_duration: float
    job_id: str | None
    key_id: str | None = None  # of the key that signed the binary
    created_at: datetime
    updated_at: datetime
    format: int = 1
    unreadable: str | None = None


def next_version(newest: str | None, *, from_scratch: bool) -> str:
    """The number of a lineage's next version.

    >>> next_version(None, from_scratch=True), next_version("1.0.4", from_scratch=False)
    ('1.0.0', '1.0.5')
    >>> next_version("1.0.4", from_scratch=True)
    '2.0.0'
    """
    if newest is None:
        return "1.0.0"
    major, minor, patch = (int(part) for part in newest.split("."))
    return f"{major + 1}.0.0" if from_scratch else f"{major}.{minor}.{patch + 1}"


class _InLineage(Protocol):
    @property
    def user_id(self) -> str: ...
    @property
    def track_name(self) -> str: ...
    @property
    def model_type(self) -> ModelType: ...


def key_of(one: _InLineage) -> LineageKey:
    """The lineage that a version, a job or whatever else names one belongs to."""
    return LineageKey(user_id=one.user_id, track_name=one.track_name, model_type=one.model_type)
