"""Builds clients and services once per process, for web, worker, command line and tests."""

from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

from redis import Redis

from app import mongo
from app.services.accounts import Accounts
from app.services.analyses import Analyses
from app.services.jobs import Jobs
from app.services.models import Models
from app.services.platform import Platform
from app.services.runs import Runs
from app.services.sessions import Sessions
from app.services.training import Training
from app.services.uploads import Uploads
from app.settings import Settings
from app.stores import job_status
from app.stores.accounts import TokenFamilies, Users
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.migrating import is_migrated
from app.stores.queue import JobQueue
from app.stores.revocations import Revocations
from app.stores.sessions import SessionStore
from app.stores.uploads import UploadStore
from learning.telemetry import Limits
from models_store.cache import ModelCache
from models_store.registry import ModelRegistry
from models_store.store import ModelStore


@dataclass(frozen=True, kw_only=True)
class Container:
    """All use cases of the platform, ready to call."""

    settings: Settings
    accounts: Accounts
    sessions: Sessions
    analyses: Analyses
    uploads: Uploads
    jobs: Jobs
    training: Training
    models: Models
    runs: Runs
    platform: Platform
    mongo_client: mongo.Client = field(repr=False)
    redis: Redis = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.mongo_client.close()
        self.redis.close()


def build_container(settings: Settings) -> Container:
    """Connects to MongoDB, Redis and the queue; call it after a fork, never before."""
    client = mongo.connect(settings.mongo_url)
    database = client[settings.database]
    redis = job_status.connect(settings.redis_url)
    queue = JobQueue(settings.queue_url)
    status = JobStatusStore(redis)
    job_store = JobStore(database, timedelta(seconds=settings.lease_seconds))
    session_store, upload_store = SessionStore(database), UploadStore(database)
    users, registry = Users(database), ModelRegistry(client, database)
    models = ModelStore(
        database,
        registry=registry,
        cache=ModelCache(settings.model_cache_bytes),
        key=settings.model_key.encode(),
        max_bytes=settings.max_model_bytes,
    )
    jobs = Jobs(job_store, status, queue)
    training = Training(
        client=client,
        users=users,
        sessions=session_store,
        registry=registry,
        job_store=job_store,
        jobs=jobs,
    )
    sessions = Sessions(
        client=client,
        users=users,
        sessions=session_store,
        job_store=job_store,
        jobs=jobs,
        training=training,
        limits=Limits(decoded_bytes=settings.max_decoded_bytes),
    )
    # jobs first: a job that is running loses its lease and can leave nothing behind
    removers = (job_store.remove_all, upload_store.remove_all, session_store.remove_all, models.remove_all)
    accounts = Accounts(
        users=users,
        families=TokenFamilies(database),
        revocations=Revocations(redis, settings.access_token_seconds),
        settings=settings,
        removers=removers,
    )
    return Container(
        settings=settings,
        mongo_client=client,
        redis=redis,
        accounts=accounts,
        sessions=sessions,
        analyses=Analyses(session_store),
        uploads=Uploads(
            client=client,
            users=users,
            uploads=upload_store,
            sessions=sessions,
            jobs=job_store,
            max_decoded_bytes=settings.max_decoded_bytes,
        ),
        jobs=jobs,
        training=training,
        models=Models(registry, models),
        runs=Runs(
            client=client,
            sessions=session_store,
            registry=registry,
            models=models,
            jobs=job_store,
            status=status,
            queue=queue,
            attempts=settings.job_attempts,
        ),
        platform=Platform(
            jobs=job_store,
            sessions=session_store,
            uploads=upload_store,
            models=models,
            status=status,
            queue=queue,
            is_migrated=lambda: is_migrated(database),
            restore=accounts.restore,
            attempts=settings.job_attempts,
        ),
    )
