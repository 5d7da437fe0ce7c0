"""What two releases side by side rely on: names and arguments of tasks, and the queues they go by."""

import subprocess
import sys

from app.stores import queue

# a worker of the former release takes what this one sends, and the other way round
PINNED = """
import inspect
from workers import celery, tasks
ours = [task for name, task in sorted(celery.tasks.items()) if name.startswith("lapwise.")]
print({task.name: str(inspect.signature(task.run)) for task in ours})
"""
SIGNATURES = {
    "lapwise.deliver": "() -> None",
    "lapwise.retrain": "() -> None",
    "lapwise.run_job": "(job_id: str | None = None) -> None",
    "lapwise.sweep": "() -> None",
    "lapwise.tidy": "() -> None",
}
ENDED = """
from workers import celery, is_leaving
(step,) = celery.steps["worker"]
before = is_leaving()
step(None).close(None)
print(before, is_leaving())
"""


def printed(program: str) -> str:
    """What it prints in a process of its own, for Celery reads the environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "LAPWISE_MONGO_URL": "mongodb://127.0.0.1:1",
            "LAPWISE_REDIS_URL": "redis://127.0.0.1:1",
            "LAPWISE_SECRET_KEY": "x" * 16,
            "LAPWISE_MODEL_KEY": "x" * 16,
            "LAPWISE_WEBHOOK_SECRET": "x" * 16,
            "LAPWISE_DRAIN_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_tasks_keep_their_names_and_arguments() -> None:
    assert printed(PINNED) == str(SIGNATURES)


def test_a_worker_that_ends_by_itself_hands_its_jobs_back_too() -> None:
    assert printed(ENDED) == "False True"


def test_queues_keep_their_names() -> None:
    assert (queue.QUEUE, queue.CHORES_QUEUE, queue.COURIER_QUEUE) == (
        "lapwise",
        "lapwise-chores",
        "lapwise-courier",
    )
