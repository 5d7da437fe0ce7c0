"""What the platform answers, field by field, for type checkers; at run time these are plain dicts."""

from typing import Any, Literal, NotRequired, TypedDict

ModelType = Literal["lap_time_prediction", "sector_analysis", "setup_optimization"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class User(TypedDict):
    """An account."""

    id: str
    email: str
    displayName: str | None
    createdAt: str


class SetAside(TypedDict):
    """That a lineage does without a session, and why."""

    modelType: ModelType
    jobId: str
    code: str
    message: str
    attempts: int
    at: str


class Session(TypedDict):
    """One upload of telemetry; times in seconds, `size` in bytes."""

    id: str
    userId: str
    trackName: str
    sessionName: str
    carModel: str | None
    driver: str | None
    setup: dict[str, float]
    format: str
    size: int
    sha256: str
    lapsCount: int
    validLapsCount: int
    bestLapTime: float | None
    createdAt: str
    setAside: list[SetAside]


class Lap(TypedDict):
    """One timed lap of a session; times in seconds."""

    lap: int
    lapTime: float | None
    sectorTimes: list[float]
    valid: bool
    reason: str | None
    outing: int
    compound: str | None
    tyreLife: float | None


class Trace(TypedDict):
    """A lap's channels, each as long as `position`."""

    lap: int
    lapTime: float | None
    position: list[float]
    channels: dict[str, list[float | None]]


class JobProgress(TypedDict):
    """How far a job has come."""

    done: int
    total: int
    unit: str


class Job(TypedDict):
    """One asynchronous piece of work."""

    id: str
    kind: str
    status: JobStatus
    progress: JobProgress | None
    modelType: ModelType
    trackName: str
    sessionIds: list[str]
    modelId: str | None
    modelVersion: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    queuedAt: str
    startedAt: str | None
    finishedAt: str | None


class Uploaded(TypedDict):
    """A session that was stored, and the jobs that will learn it."""

    session: Session
    jobs: list[Job]


class Version(TypedDict):
    """One immutable trained model; sizes in bytes, `trainingDuration` in seconds."""

    id: str
    userId: str
    trackName: str
    modelName: str
    modelVersion: str
    modelType: ModelType
    algorithm: str
    isActive: bool
    parentId: str | None
    description: str
    modelMetadata: dict[str, Any]
    trainingSessionIds: list[str]
    validationResults: dict[str, Any] | None
    featureImportance: dict[str, float]
    modelSize: int
    compressedSize: int
    sha256: str
    trainingDuration: float
    createdAt: str
    updatedAt: str


class HistoryItem(TypedDict):
    """How one version of a lineage did; errors in seconds, None while nothing was predicted."""

    version: str
    modelId: str
    accuracy: float | None
    mae: float | None
    mse: float | None
    rmse: float | None
    sessions: int
    createdAt: str


class Prediction(TypedDict):
    """Predictions by one version; of several rows each field but the first two is a list."""

    modelId: str
    modelVersion: str
    predictions: Any
    confidence: NotRequired[Any]
    featureImportance: NotRequired[Any]
