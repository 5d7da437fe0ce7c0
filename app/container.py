"""Builds clients and services once per process, for web, worker, command line and tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

from limits.storage import RedisStorage
from redis import Redis

from app import mongo
from app.keys import Seal
from app.services.accounts import Accounts
from app.services.admission import Admission, Bounds
from app.services.analyses import Analyses
from app.services.analytics import Analytics
from app.services.automatic import AutomaticJobs
from app.services.backups import Backups
from app.services.challenges import Challenges
from app.services.events import Events
from app.services.exchange import Exchange
from app.services.experiments import Experiments, RunningExperiments
from app.services.jobs import Jobs
from app.services.lessons import Lessons
from app.services.live import Live
from app.services.measuring import Measuring
from app.services.models import Models
from app.services.operations import Operations
from app.services.platform import Platform
from app.services.recording import Recorder
from app.services.retention import Retention
from app.services.retraining import Retraining
from app.services.runs import Runs
from app.services.sessions import Sessions
from app.services.setbacks import Setbacks
from app.services.sharing import Sharing
from app.services.simulated import Simulated
from app.services.training import Training
from app.services.trials import Trials
from app.services.uploads import Uploads
from app.services.usage import Usage
from app.services.watching import Alarm
from app.services.webhooks import Webhooks
from app.settings import Settings
from app.stores import job_status
from app.stores.accounts import TokenFamilies, Users
from app.stores.changes import Changes, listening
from app.stores.deliveries import DeliveryStore
from app.stores.drifts import DriftStore
from app.stores.events import EventStore
from app.stores.experiments import ExperimentStore
from app.stores.guesses import Guesses
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.journal import Journal
from app.stores.migrating import is_migrated
from app.stores.queue import JobQueue
from app.stores.revocations import Revocations
from app.stores.sessions import SessionStore
from app.stores.shares import ShareStore
from app.stores.storage import Storage
from app.stores.turns import Turns
from app.stores.uploads import UploadStore
from app.stores.usage import UsageStore
from app.stores.webhooks import SEALED_FOR, WebhookStore
from learning.telemetry import Limits
from models_store.bundles import Bundles
from models_store.cache import ModelCache
from models_store.performance import Performance
from models_store.pruning import Pruning
from models_store.registry import ModelRegistry
from models_store.store import ModelStore


@dataclass(frozen=True, kw_only=True)
class Container:
    """All use cases of the platform, ready to call."""

    settings: Settings
    accounts: Accounts
    sessions: Sessions
    simulated: Simulated
    analyses: Analyses
    uploads: Uploads
    events: Events
    webhooks: Webhooks
    jobs: Jobs
    training: Training
    retraining: Retraining
    models: Models
    exchange: Exchange
    experiments: Experiments
    sharing: Sharing
    live: Live
    usage: Usage
    analytics: Analytics
    runs: Runs
    platform: Platform
    backups: Backups
    operations: Operations
    mongo_client: mongo.Client = field(repr=False)
    redis: Redis = field(repr=False)
    changes: Changes = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes files and connections."""
        self.usage.close()
        self.changes.close()
        self.mongo_client.close()
        self.redis.close()


def build_container(settings: Settings, is_leaving: Callable[[], bool] = lambda: False) -> Container:
    """Connects to MongoDB, Redis and the queue; call it after a fork, never before.

    Parameters
    ----------
    is_leaving
        Whether this process stops and shall hand the job that it runs back.
    """
    client = mongo.connect(settings.mongo_url)
    database = client[settings.database]
    redis = job_status.connect(settings.redis_url)
    changes = Changes(redis, lambda: listening(settings.redis_url, job_status.REDIS_TIMEOUT))
    queue = JobQueue(settings.queue_url)
    status = JobStatusStore(redis)
    job_store = JobStore(database, timedelta(seconds=settings.lease_seconds))
    session_store, upload_store = SessionStore(database), UploadStore(database)
    users, experiment_store = Users(database), ExperimentStore(database)
    webhooks = Webhooks(
        client=client,
        users=users,
        hooks=WebhookStore(database),
        deliveries=DeliveryStore(database),
        queue=queue,
        seal=Seal(settings.model_keys, SEALED_FOR),
        allow_private=settings.webhook_allow_private,
    )
    registry = ModelRegistry(
        client,
        database,
        on_activation=(webhooks.model_activated,),
        on_switch=(experiment_store.version_activated,),
        on_removal=(experiment_store.version_removed,),
        on_change=changes.tell,
    )
    models = ModelStore(
        database,
        registry=registry,
        cache=ModelCache(settings.model_cache_bytes),
        keys=settings.model_keys,
        max_bytes=settings.max_model_bytes,
    )
    jobs = Jobs(job_store, status, queue)
    automatic = AutomaticJobs(users, registry, job_store)
    event_store = EventStore(database)
    admission = Admission(Turns(database), upload_store, _bounds(settings))
    setbacks = Setbacks(users=users, jobs=job_store, sessions=session_store, webhooks=webhooks)
    alarm = Alarm(settings.stall_seconds, settings.job_seconds)
    recorder = Recorder(
        client=client,
        users=users,
        sessions=session_store,
        job_store=job_store,
        jobs=jobs,
        admission=admission,
    )
    training = Training(registry=registry, job_store=job_store, automatic=automatic, recorder=recorder)
    retraining = Retraining(
        client=client,
        users=users,
        sessions=session_store,
        registry=registry,
        drifts=DriftStore(database),
        experiments=experiment_store,
        job_store=job_store,
        jobs=jobs,
        webhooks=webhooks,
        cooldown=timedelta(seconds=settings.retrain_cooldown_seconds),
    )
    sessions = Sessions(
        client=client,
        users=users,
        sessions=session_store,
        job_store=job_store,
        jobs=jobs,
        training=training,
        admission=admission,
        limits=Limits(decoded_bytes=settings.max_decoded_bytes),
        changes=changes,
    )
    lessons = Lessons(session_store, job_store, status, alarm=alarm, is_leaving=is_leaving)
    shares, usage_store = ShareStore(database), UsageStore(database)
    sharing = Sharing(client=client, users=users, shares=shares, registry=registry, changes=changes)
    usage = Usage(client=client, users=users, journal=Journal(settings.data_dir / "usage"), store=usage_store)
    retention = Retention(
        Pruning(client, database, registry),
        keep=settings.keep_versions,
        in_use=(job_store.models_in_use, shares.shared_models, experiment_store.models_in_use),
    )
    # jobs first: a job that is running loses its lease and can leave nothing behind
    removers = (
        job_store.remove_all,
        experiment_store.remove_all,
        shares.remove_all,
        upload_store.remove_all,
        session_store.remove_all,
        models.remove_all,
        usage_store.remove_all,
        event_store.remove_all,
        webhooks.remove_all,
    )
    experiments = Experiments(
        client=client,
        users=users,
        sessions=session_store,
        registry=registry,
        store=experiment_store,
        jobs=jobs,
        automatic=automatic,
    )
    accounts = Accounts(
        users=users,
        families=TokenFamilies(database),
        revocations=Revocations(redis, changes, settings.access_token_seconds),
        guesses=Guesses(RedisStorage(settings.redis_url, redis.connection_pool, "lapwise:guess")),
        settings=settings,
        removers=removers,
    )
    return Container(
        settings=settings,
        mongo_client=client,
        redis=redis,
        changes=changes,
        accounts=accounts,
        sessions=sessions,
        simulated=Simulated(sessions, training),
        analyses=Analyses(session_store),
        uploads=Uploads(
            client=client,
            users=users,
            uploads=upload_store,
            sessions=sessions,
            jobs=job_store,
            admission=admission,
            max_decoded_bytes=settings.max_decoded_bytes,
        ),
        events=Events(
            client=client,
            users=users,
            session_store=session_store,
            events=event_store,
            sessions=sessions,
            automatic=automatic,
            jobs=jobs,
            admission=admission,
        ),
        webhooks=webhooks,
        jobs=jobs,
        training=training,
        retraining=retraining,
        models=Models(
            registry=registry,
            store=models,
            sharing=sharing,
            usage=usage,
            running=RunningExperiments(experiment_store),
            changes=changes,
        ),
        exchange=Exchange(
            client=client,
            users=users,
            sessions=session_store,
            registry=registry,
            models=models,
            bundles=Bundles(database, keys=settings.model_keys, max_bytes=settings.max_model_bytes),
        ),
        experiments=experiments,
        sharing=sharing,
        live=Live(accounts=accounts, sharing=sharing, store=models, usage=usage),
        usage=usage,
        analytics=Analytics(usage, usage_store, Performance(database)),
        runs=Runs(
            lessons=lessons,
            registry=registry,
            models=models,
            measuring=Measuring(
                sessions=session_store,
                registry=registry,
                models=models,
                jobs=job_store,
                lessons=lessons,
                webhooks=webhooks,
            ),
            trials=Trials(
                sessions=session_store, registry=registry, models=models, experiments=experiment_store
            ),
            jobs=job_store,
            status=status,
            queue=queue,
            webhooks=webhooks,
            retraining=retraining,
            challenges=Challenges(
                registry=registry,
                models=models,
                jobs=job_store,
                lessons=lessons,
                webhooks=webhooks,
            ),
            setbacks=setbacks,
            alarm=alarm,
            attempts=settings.job_attempts,
            keep_seconds=settings.lease_seconds / 3,
        ),
        operations=Operations(
            users=users,
            job_store=job_store,
            training=training,
            queue=queue,
            storage=Storage(database, redis),
        ),
        platform=Platform(
            jobs=job_store,
            sessions=session_store,
            uploads=upload_store,
            models=models,
            status=status,
            queue=queue,
            setbacks=setbacks,
            is_migrated=lambda: is_migrated(database),
            restore=accounts.restore,
            each_sweep=(accounts.resume_removal, experiments.end_overdue, webhooks.wake_if_due),
            each_tidy={"versions": retention.prune, "shares": sharing.sweep},
            attempts=settings.job_attempts,
        ),
        backups=Backups(
            client=client,
            database=database,
            sessions=session_store,
            models=models,
            status=status,
            keys=settings.model_keys,
        ),
    )


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        driver_jobs=settings.max_driver_jobs,
        jobs=settings.max_jobs,
        driver_bytes=settings.max_driver_waiting_bytes,
        bytes=settings.max_waiting_bytes,
        reading=settings.max_uploads_at_once,
    )
