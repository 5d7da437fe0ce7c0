"""The values of live experiments: two sides, how both did, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain import ModelType


class ExperimentStatus(StrEnum):
    """Where a live experiment is in its life."""

    RUNNING = "running"  # the challenger gets its share of the predictions
    ENDED = "ended"  # for a reason


class EndReason(StrEnum):
    """Why a live experiment ended."""

    DECIDED = "decided"  # the laps have shown which is better
    STOPPED = "stopped"  # by its driver
    PROMOTED = "promoted"  # its driver made the challenger active without waiting
    TIME_OVER = "time_over"  # `ends_at` came before a decision
    INCUMBENT_REMOVED = "incumbent_removed"
    CHALLENGER_REMOVED = "challenger_removed"
    ANOTHER_ACTIVATED = "another_version_activated"  # by hand, or by a training outside of the experiment
    CHALLENGER_FAILED = "challenger_failed"  # it could not learn what the incumbent learned


class Outcome(StrEnum):
    """What a live experiment has shown."""

    CHALLENGER_BETTER = "challenger_better"
    INCUMBENT_BETTER = "incumbent_better"
    NO_DIFFERENCE = "no_difference"  # none that its laps could show


class Variant(StrEnum):
    """The two sides of a live experiment."""

    INCUMBENT = "incumbent"
    CHALLENGER = "challenger"


@dataclass(frozen=True, kw_only=True)
class ExperimentRequest:
    """A challenger for the active version, and by what rule the better one is found.

    `share` of the predictions go to the challenger, 0..1; at least `min_laps` decide.
    """

    challenger_id: str
    share: float
    level: float = 0.95
    min_laps: int = 30
    max_days: int = 30
    auto_promote: bool = False


@dataclass(frozen=True, kw_only=True)
class SessionScore:
    """How both sides of an experiment predicted a session that neither had learned.

    `differences` are, lap by lap in the order driven, the incumbent's absolute error less the challenger's,
    in seconds; `laps_left_out` could not be predicted by both. The mean absolute errors are of the same laps.
    """

    session_id: str
    incumbent_id: str
    challenger_id: str
    differences: tuple[float, ...]
    laps_left_out: int
    incumbent_mae: float | None
    challenger_mae: float | None
    scored_at: datetime


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A live experiment between the active version of a lineage and a challenger.

    Both sides learn the sessions that come meanwhile, so each is a line of versions, the newest last.
    """

    id: str
    user_id: str
    lineage_id: str
    track_name: str
    model_type: ModelType
    status: ExperimentStatus
    incumbent_ids: tuple[str, ...]
    challenger_ids: tuple[str, ...]
    share: float
    level: float
    min_laps: int
    max_days: int
    auto_promote: bool
    scores: tuple[SessionScore, ...] = ()
    started_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None
    reason: EndReason | None = None
    outcome: Outcome | None = None
    promoted_id: str | None = None

    @property
    def incumbent_id(self) -> str:
        return self.incumbent_ids[-1]

    @property
    def challenger_id(self) -> str:
        return self.challenger_ids[-1]

    @property
    def is_running(self) -> bool:
        return self.status is ExperimentStatus.RUNNING
