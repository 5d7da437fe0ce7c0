"""What a training grows: the model of its base version, or one to be taught the same sessions anew.

A base that cannot be read is never passed over in silence, nor does its lineage begin afresh without what it
had learned: the job learns all sessions of the base again and then its own, and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from app.domain import Job, Version
from app.errors import ArtifactNotSigned, ModelUnreadable, Unavailable
from learning.model import RacingModel
from learning.zoo import create_model

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The model to teach, the version it is of, and which of the job's sessions it has learned and which not.

    Without a `base` the training is from scratch; then `lost` is the version that could not be read, if any,
    and `wanted` has its sessions too.
    """

    model: RacingModel[Any]
    base: Version | None
    skipped: tuple[str, ...]
    wanted: tuple[str, ...]
    lost: Version | None = None
    reason: str = ""

    def told(self, version: Version) -> Version:
        """The version made of it, with what it stands in for."""
        if self.lost is None:
            return version
        reason = (
            f"Trained again from all its sessions: {self.lost.model_version} is unreadable, {self.reason}"
        )
        told = {"modelId": self.lost.id, "modelVersion": self.lost.model_version, "reason": self.reason}
        return replace(
            version,
            model_name=self.lost.model_name,
            description=reason,
            model_metadata={**version.model_metadata, "rebuilt": told},
        )


def ground_of(job: Job, base: Version | None, load: Callable[[Version], RacingModel[Any]]) -> Ground:
    """What a job starts from; `load` gives a version's model to learn with.

    Raises
    ------
    Unavailable
        The base is not signed with our key. Most likely this process has a wrong one, so the job waits for
        the right one rather than that every lineage is built again and signed with the wrong.
    """
    skipped, wanted = split(job, base)
    if base is None:
        return Ground(model=_fresh(job), base=None, skipped=skipped, wanted=wanted)
    try:
        return Ground(model=load(base), base=base, skipped=skipped, wanted=wanted)
    except ModelUnreadable as exc:
        if isinstance(exc.__cause__, ArtifactNotSigned):
            raise Unavailable(f"{exc.message}; is LAPWISE_MODEL_KEY the right one?") from exc
        reason = str(exc.details["reason"])
    log.warning("model_rebuilt", model_id=base.id, reason=reason, sessions=len(base.training_session_ids))
    model = create_model(job.model_type, base.algorithm, dict(base.model_metadata["hyperparameters"]))
    again = (*base.training_session_ids, *wanted)
    return Ground(model=model, base=None, skipped=(), wanted=again, lost=base, reason=reason)


def _fresh(job: Job) -> RacingModel[Any]:
    return create_model(
        job.model_type, job.parameters.get("algorithm"), job.parameters.get("hyperparameters") or {}
    )


def split(job: Job, base: Version | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The job's sessions that the base has learned, and those it has not."""
    known = set(base.training_session_ids) if base else set()
    skipped = tuple(session_id for session_id in job.session_ids if session_id in known)
    return skipped, tuple(session_id for session_id in job.session_ids if session_id not in known)
