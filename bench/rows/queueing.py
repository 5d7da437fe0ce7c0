"""How many jobs the workers do, against Celery without work, and what a second process adds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from app.local.child import ChildPlatform
from app.settings import LocalSettings
from bench.bare_celery import LEARN, NAME, NOTHING
from bench.consuming import Consumer, celery_of, consumer_of
from bench.figures import Figure, interleaved, ratios
from bench.lessons import learn, learners, write_lesson
from bench.stage import ENVIRONMENT, Driver, Stage, environment_of, new_driver, running

TASKS, LESSONS = 2_000, 300
FEW = 5  # sessions, the last of them to be learned, as the jobs' lineages have in mid-row
RATE = 10.0  # Hz
WAIT_SECONDS = 180.0
LOOK_SECONDS = 0.25
TICK = 0.001  # seconds, of the times of jobs


def queue(stage: Stage) -> list[Figure]:
    """Jobs that each learn a session of three laps, against empty tasks with the same broker and settings."""
    with _bare_worker(stage.platform, stage) as bare, _lineages(stage.platform, stage, SHORT) as lineages:
        empty = partial(bare, NOTHING, stage.many(TASKS))
        learning = partial(bare, LEARN, stage.many(LESSONS), _lesson(stage, SHORT))
        empty(), learning()  # no round pays for what a process does once
        rates = interleaved(stage.rounds, lineages.rate, empty, learning)
        jobs, tasks, lessons = zip(*rates, strict=True)
    against = "empty tasks of a bare Celery, tasks/s"
    return [
        Figure(
            what="jobs that each learn a 3-lap session, jobs/s",
            against=against,
            values=ratios(jobs, tasks),
            bar=0.3,
            details={"jobs_a_second": jobs, "tasks_a_second": tasks},
        ),
        Figure(
            what="bare tasks that learn it and keep nothing, tasks/s",
            against=against,
            values=ratios(lessons, tasks),
            bar=None,
            details={"tasks_a_second": lessons},
        ),
    ]


def workers(stage: Stage) -> list[Figure]:
    """Jobs that each learn a session of an evening, with two worker processes against one."""
    with ChildPlatform(stage.folder / "single", ENVIRONMENT | {"LAPWISE_WORKER_PROCESSES": "1"}) as single:
        with (
            _lineages(single, stage, LONG, processes=1) as alone,
            _lineages(stage.platform, stage, LONG) as together,
        ):
            two, one = zip(*interleaved(stage.rounds, together.rate, alone.rate), strict=True)
    return [
        Figure(
            what=f"jobs/s of two worker processes, sessions of {LONG.laps} laps",
            against="of one",
            values=ratios(two, one),
            bar=1.8,
            details={"two_jobs_a_second": two, "one_jobs_a_second": one},
        ),
        _only_learning(stage),
    ]


def _only_learning(stage: Stage) -> Figure:
    """The same with processes that have nothing but learning to do: what the machine's second core adds."""
    lesson, count = _lesson(stage, LONG), stage.many(LONG.jobs)
    with learners(2) as pair, learners(1) as single:
        works = [partial(_lessons_rate, pool, lesson, count) for pool in (pair, single)]
        interleaved(1, *works)  # no round pays for what a process does once
        two, one = zip(*interleaved(stage.rounds, *works), strict=True)
    return Figure(
        what="sessions/s of two processes that learn them and do nothing else",
        against="of one",
        values=ratios(two, one),
        bar=None,
        details={"two_sessions_a_second": two, "one_sessions_a_second": one},
    )


def _lessons_rate(pool: ProcessPoolExecutor, lesson: str, count: int) -> float:
    started = time.perf_counter()
    list(pool.map(learn, [lesson] * count))
    return count / (time.perf_counter() - started)


@dataclass(frozen=True)
class _Work:
    """Sessions of so many laps, each for a lineage of its own, that wait when the workers begin."""

    laps: int
    jobs: int


SHORT, LONG = _Work(laps=3, jobs=150), _Work(laps=60, jobs=30)
UNTIMED = 2  # laps out of the pits and back, besides


@dataclass
class _Lineages:
    """Lineages of one driver on so many tracks; each learns one more session when `rate` is called."""

    stage: Stage
    driver: Driver
    consumer: Consumer
    work: _Work
    count: int
    processes: int
    learned: int = 0

    def rate(self) -> float:
        """Jobs a second, of jobs that wait when the workers begin."""
        self.consumer.pause()
        file = _session(self.stage, self.learned, self.work)
        for number in range(self.count):
            self.driver.client.upload(file, f"track {number}")
        self.learned += 1
        self.consumer.resume()
        return self._done()

    def _done(self) -> float:
        """Jobs a second, once all of the newest are done; they are asked for seldom, to be left in peace.

        They are counted as they are begun: at the end of a queue a process has no more to do, which says
        something of the queue's length.
        """
        client, end = self.driver.client, time.monotonic() + WAIT_SECONDS
        while client.call("GET", "/jobs?status=queued&limit=1")["items"]:
            if time.monotonic() > end:
                raise RuntimeError(f"jobs wait after {WAIT_SECONDS} s")
            time.sleep(LOOK_SECONDS)
        jobs = list(islice(client.jobs(), self.count))
        done = [client.wait(job["id"]) for job in jobs if job["status"] == "running"]
        done += [job for job in jobs if job["status"] != "running"]
        begun = sorted(_moment(job, "startedAt") for job in done)
        return max(self.count - self.processes, 1) / max(begun[-1] - begun[0], TICK)


@contextmanager
def _lineages(
    platform: ChildPlatform, stage: Stage, work: _Work, *, processes: int = LocalSettings().worker_processes
) -> Iterator[_Lineages]:
    """Lineages that have each learned one session, so that a job grows what is there."""
    with consumer_of(platform) as consumer:
        lineages = _Lineages(
            stage=stage,
            driver=new_driver(platform.endpoints()["api"]),
            consumer=consumer,
            work=work,
            count=stage.many(work.jobs),
            processes=processes,
        )
        lineages.rate()
        yield lineages


class _Bare(Protocol):
    def __call__(self, task: str, count: int, *arguments: str) -> float: ...


@contextmanager
def _bare_worker(platform: ChildPlatform, stage: Stage) -> Iterator[_Bare]:
    """Tells how many tasks of a kind a second a bare worker with as many processes does."""
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "bench.bare_celery", "worker"]
    options = f"--queues {NAME} --without-gossip --without-mingle -O fair -n bare@%h"
    log, environment = stage.folder / "celery.log", environment_of(platform)
    concurrency = ["--concurrency", str(LocalSettings().worker_processes)]
    with running([*command, *options.split(), *concurrency], log, environment), celery_of(platform) as app:
        consumer = Consumer(app, NAME, "bare@")

        def rate(task: str, count: int, *arguments: str) -> float:
            consumer.pause()
            for _ in range(count):
                app.send_task(task, arguments, queue=NAME, ignore_result=True)
            started = time.perf_counter()
            consumer.resume()
            _wait_until_empty(stage)
            return count / (time.perf_counter() - started)

        yield rate


def _lesson(stage: Stage, work: _Work) -> str:
    """What a job has to learn when its lineage has learned a few such sessions."""
    files = [_session(stage, index, work) for index in range(FEW)]
    return write_lesson(stage.folder / f"lesson{work.laps}", files)


def _session(stage: Stage, index: int, work: _Work) -> Path:
    return stage.session(index, laps=work.laps + UNTIMED, sample_rate=RATE)


def _wait_until_empty(stage: Stage) -> None:
    """Until no message waits and none is being worked on."""
    redis = stage.container.redis
    while redis.llen(NAME) or redis.hlen("unacked"):
        time.sleep(0.005)


def _moment(job: Any, name: str) -> float:
    return datetime.fromisoformat(job[name]).timestamp()
