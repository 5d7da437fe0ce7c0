"""The tasks: each calls one service method. The container is built in the child, after the fork."""

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from app.mongo import connect
from app.settings import Settings
from app.stores.queue import DELIVER, RETRAIN, RUN_JOB, SWEEP, TIDY
from workers import celery, is_leaving

if TYPE_CHECKING:
    from app.container import Container
    from app.services.deliveries import Deliveries

_building = Lock()


@cache
def container() -> "Container":
    """This process's container."""
    from app.container import build_container  # a worker has it loaded; beat and Flower do without

    return build_container(Settings.from_environment(), is_leaving)


@cache
def deliveries() -> "Deliveries":
    """What the courier needs; it does without the rest, and so without the learning core."""
    from app.courier import build_deliveries

    settings = Settings.from_environment()
    return build_deliveries(settings, connect(settings.mongo_url))


@celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]  # celery has no types
def run_job(job_id: str | None = None) -> None:
    """Runs the job whose turn it is; the one that the message names only says that there is one more."""
    container().runs.run_next()


@celery.task(name=SWEEP)  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Takes over the jobs of dead workers and sends lost messages again."""
    container().platform.sweep()


@celery.task(name=TIDY)  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Removes files that belong to no version and no session."""
    container().platform.tidy()


@celery.task(name=RETRAIN)  # type: ignore[untyped-decorator]
def retrain() -> None:
    """Starts the retrainings that drift has made due."""
    container().retraining.sweep()


@celery.task(name=DELIVER)  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Sends the notifications that are due."""
    with _building:  # the courier's threads must share one, for it counts what is under way
        service = deliveries()
    service.deliver()
