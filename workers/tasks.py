"""The tasks: each calls one service method. The container is built in the child, after the fork."""

from functools import cache
from typing import TYPE_CHECKING

from app.settings import Settings
from app.stores.queue import RETRAIN, RUN_JOB, SWEEP, TIDY
from workers import celery

if TYPE_CHECKING:
    from app.container import Container


@cache
def container() -> "Container":
    """This process's container."""
    from app.container import build_container  # a worker has it loaded; beat and Flower do without

    return build_container(Settings.from_environment())


@celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]  # celery has no types
def run_job(job_id: str) -> None:
    """Runs a job, or the oldest that waits in its lineage."""
    container().runs.run(job_id)


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
