"""What can go wrong for a caller, as one tree that knows no HTTP; a class's docstring is its message."""

from collections.abc import Mapping
from typing import Any


class LapwiseError(Exception):
    """Something went wrong."""

    code: str = "error"  # one a class, but for the client, whose errors bring theirs along

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details: Mapping[str, Any] = details
        super().__init__(self.message)


class NotFound(LapwiseError):
    """There is no such thing, or it is not yours."""

    code = "not_found"


class SessionNotFound(NotFound):
    """There is no such session, or it is not yours."""

    code = "session_not_found"


class UploadNotFound(NotFound):
    """There is no such upload, or it is not yours."""

    code = "upload_not_found"


class LapNotFound(NotFound):
    """The session has no lap of that number."""

    code = "lap_not_found"


class ReferenceNotFound(NotFound):
    """There is no other valid lap to compare with; name one by referenceSessionId and referenceLap."""

    code = "reference_not_found"


class TraceNotFound(NotFound):
    """This lap has no telemetry, only what its session's file tells of it; see the session's laps."""

    code = "trace_not_found"


class JobNotFound(NotFound):
    """There is no such job, or it is not yours."""

    code = "job_not_found"


class ModelNotFound(NotFound):
    """There is no such model, or it is not yours."""

    code = "model_not_found"


class ShareNotFound(NotFound):
    """This model is not shared with that driver, or it is not yours."""

    code = "share_not_found"


class ExperimentNotFound(NotFound):
    """This model takes part in no experiment."""

    code = "experiment_not_found"


class UserNotFound(NotFound):
    """There is no such driver."""

    code = "user_not_found"


class WebhookNotFound(NotFound):
    """There is no such webhook, or it is not yours."""

    code = "webhook_not_found"


class LineageNotFound(NotFound):
    """There is no model of this type for this track; train one first."""

    code = "lineage_not_found"


class Conflict(LapwiseError):
    """The request does not fit the present state."""

    code = "conflict"


class EmailTaken(Conflict):
    """There is an account with this email address already."""

    code = "email_taken"


class SessionExists(Conflict):
    """This session was uploaded before."""

    code = "session_exists"


class UploadFinished(Conflict):
    """This upload is finished; start a new one to send more."""

    code = "upload_finished"


class ChunksMissing(Conflict):
    """Some chunks have not arrived; send the named ones, then complete again."""

    code = "chunks_missing"


class JobFinished(Conflict):
    """The job has ended and can no longer be cancelled."""

    code = "job_finished"


class JobNotFailed(Conflict):
    """Only a job that failed or was cancelled can be tried again."""

    code = "job_not_failed"


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was used for another request; choose a new one."""

    code = "idempotency_key_reused"


class EventIdReused(Conflict):
    """This eventId came before with another body; choose a new one for another event."""

    code = "event_id_reused"


class TooManyWebhooks(Conflict):
    """You have as many webhooks as a driver may have; remove one first."""

    code = "too_many_webhooks"


class WebhookDisabled(Conflict):
    """This webhook is disabled; remove it and register its address again."""

    code = "webhook_disabled"


class LineageChanged(Conflict):
    """The lineage changed meanwhile; look at it again and repeat."""

    code = "lineage_changed"


class ModelUnreadable(Conflict):
    """This version cannot be read any more; activate another, or train the model again from its sessions."""

    code = "model_unreadable"


class TooManyShares(Conflict):
    """This model is shared with as many drivers as it can be; revoke a share first."""

    code = "too_many_shares"


class ModelExists(Conflict):
    """This very model is a version of the lineage already."""

    code = "model_exists"


class NotActive(Conflict):
    """Only the active version of a lineage can be the incumbent; activate it first."""

    code = "not_active"


class ExperimentRunning(Conflict):
    """An experiment is running in this lineage; end it first."""

    code = "experiment_running"


class ExperimentEnded(Conflict):
    """The experiment ended without finding the challenger better; activate its version to use it anyway."""

    code = "experiment_ended"


class Invalid(LapwiseError):
    """Some fields are not valid; details name each."""

    code = "invalid"


class BundleRefused(Invalid):
    """This file is not a bundle that this platform exported, or it was altered."""

    code = "bundle_refused"


class SetupMissing(Invalid):
    """Setup optimisation learns from setups; these sessions were uploaded without one."""

    code = "setup_missing"


class NotSignedAnew(LapwiseError):
    """Some models are signed with none of the keys, or damaged; they stay as they are and do not load."""

    code = "not_signed_anew"


class SecretUnreadable(LapwiseError):
    """A stored secret was sealed with a key that this platform does not have."""

    code = "secret_unreadable"


class TooLarge(LapwiseError):
    """The request is larger than the platform takes."""

    code = "too_large"


class Unauthorized(LapwiseError):
    """Sign in first."""

    code = "unauthorized"


class InvalidCredentials(Unauthorized):
    """Email address and password do not belong together."""

    code = "invalid_credentials"


class TokenInvalid(Unauthorized):
    """This token is not one of ours, or not of the kind asked for."""

    code = "token_invalid"


class TokenExpired(Unauthorized):
    """This token has expired; refresh it or sign in again."""

    code = "token_expired"


class TokenRevoked(Unauthorized):
    """This token has been revoked; sign in again."""

    code = "token_revoked"


class OriginRefused(Unauthorized):
    """With a cookie only this platform's own pages may open a WebSocket; send the access token instead."""

    code = "origin_refused"


class SignatureInvalid(Unauthorized):
    """The signature of this request is not good."""

    code = "signature_invalid"


class RateLimited(LapwiseError):
    """You call more often than one may; wait a little."""

    code = "rate_limited"


class TooManySignIns(LapwiseError):
    """Too many sign-ins to this account have failed; wait, or sign in from where you did before."""

    code = "too_many_sign_ins"


class TooManyStreams(LapwiseError):
    """Too many jobs are being followed; close one, or poll the job instead."""

    code = "too_many_streams"


class TooMuchWaiting(LapwiseError):
    """You have as much waiting as a driver may have; wait until some of it is done."""

    code = "too_much_waiting"


class TooManyConnections(TooManyStreams):
    """Too many live connections are open; close one first."""

    code = "too_many_connections"


class UpgradeRequired(LapwiseError):
    """Open this address as a WebSocket."""

    code = "upgrade_required"


class Unavailable(LapwiseError):
    """A service this request needs is not answering; try again shortly."""

    code = "unavailable"


class Overloaded(Unavailable):
    """More is coming in than can be taken just now; try again shortly."""

    code = "overloaded"


class DestinationRefused(LapwiseError):
    """Notifications do not go to this address."""

    code = "destination_refused"


class ArtifactRefused(LapwiseError):
    """The model's binary is damaged, altered or not ours."""

    code = "artifact_refused"


class ArtifactNotSigned(ArtifactRefused):
    """The model's binary is not signed for its version with a key of this platform."""

    code = "artifact_not_signed"


class BackupRefused(LapwiseError):
    """This file is not a backup that can be restored here."""

    code = "backup_refused"


class BackupFailed(LapwiseError):
    """The backup could not be written; there is no file."""

    code = "backup_failed"


class RestoreRefused(LapwiseError):
    """The database is not one to restore into."""

    code = "restore_refused"


class RestoreUnfinished(LapwiseError):
    """Restoring this database was cut off; run `lapwise restore` again, it starts over."""

    code = "restore_unfinished"


class SettingMissing(LapwiseError):
    """A required setting is missing."""

    code = "setting_missing"


class SettingInvalid(LapwiseError):
    """A setting has a value that cannot be used."""

    code = "setting_invalid"


class LeaseLost(LapwiseError):
    """Another worker has taken this job over."""

    code = "lease_lost"


class JobCancelled(LapwiseError):
    """The job was cancelled."""

    code = "job_cancelled"


class AttemptFailed(LapwiseError):
    """This attempt at the job came to nothing; another one may do better."""

    code = "attempt_failed"


class JobStalled(AttemptFailed):
    """The job learned nothing for longer than the platform allows."""

    code = "job_stalled"


class JobTimedOut(AttemptFailed):
    """The job took longer than the platform allows."""

    code = "job_timed_out"


class OutOfMemory(AttemptFailed):
    """The job needed more memory than the platform allows."""

    code = "out_of_memory"


class HandedBack(LapwiseError):
    """The job's worker is stopping; another one takes the job."""

    code = "handed_back"


class StartFailed(LapwiseError):
    """The platform cannot start, or cannot go on."""

    code = "start_failed"
