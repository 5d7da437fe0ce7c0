"""Does to the platform what each kind of fault says, and proves that it happened."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil
import pymongo
from pymongo.errors import PyMongoError

from app.services.attempts import RENEW_SECONDS
from app.stores.job_status import EPOCH
from app.stores.queue import QUEUE
from tests.chaos.plan import IN_TRAINING, Kind, PlannedFault
from tests.chaos.target import LEASE_SECONDS, DidNotHappen, Target, wait_for

TAKEN_OVER_SECONDS = LEASE_SECONDS + 15.0  # a sweep comes, and another child is free
GONE_SECONDS = 10.0
QUEUED_SECONDS = 15.0
REFUSED_SECONDS = 20.0
REPLACED_SECONDS = 90.0
UNKNOWN_OUTCOME = {"code": 91, "errmsg": "chaos", "errorLabels": ["RetryableWriteError"]}
Do = Callable[[Target, PlannedFault], float]


def begin_and_end(target: Target, fault: PlannedFault, let_go: Callable[[], None]) -> float:
    """When it ended, on the monotonic clock; the platform should recover from then on.

    Parameters
    ----------
    let_go
        Lets the fault's sessions be sent, for those that are to come after it has begun.

    Raises
    ------
    DidNotHappen
    """
    if fault.kind is Kind.NO_WORKER:
        return _no_worker(target, fault, let_go)
    try:
        return DEEDS[fault.kind](target, fault)
    except psutil.NoSuchProcess as exc:
        raise DidNotHappen("its process had ended by itself") from exc


def _kill_program(name: str) -> Do:
    """Kills its main process; its children are left to find out."""

    def kill(target: Target, _fault: PlannedFault) -> float:
        return _killed(target, name, [target.process(name)])

    return kill


def _kill_with_children(name: str) -> Do:
    """Kills all of it at once, or as often the main process alone, whose children are then orphans."""

    def kill(target: Target, fault: PlannedFault) -> float:
        target.running_job()
        main = target.process(name)
        children = main.children(recursive=True) if fault.choice < 0.5 else []
        return _killed(target, name, [main, *children])

    return kill


def _kill_child_of(name: str) -> Do:
    def kill(target: Target, fault: PlannedFault) -> float:
        if fault.kind in IN_TRAINING:
            target.running_job()
        children = _children(target, name)
        return _ended([children[int(fault.choice * len(children))]])

    return kill


def _children(target: Target, name: str) -> list[psutil.Process]:
    children: list[psutil.Process] | None = wait_for(target.process(name).children, GONE_SECONDS)
    if children is None:
        raise DidNotHappen(f"{name} has no children")
    return children


def _killed(target: Target, name: str, processes: list[psutil.Process]) -> float:
    """Kills a program and waits until it runs again: the platform may not be asked before."""
    ended = _ended(processes)
    if not wait_for(
        lambda: target.platform.endpoints()["pids"][name] not in (None, processes[0].pid), REPLACED_SECONDS
    ):
        raise DidNotHappen(f"{name} was not started again within {REPLACED_SECONDS} s")
    return ended


def _ended(processes: list[psutil.Process]) -> float:
    first, *others = processes
    first.kill()
    for process in others:
        with suppress(psutil.NoSuchProcess):  # its parent's end was its own
            process.kill()
    at = time.monotonic()
    if psutil.wait_procs(processes, GONE_SECONDS)[1]:
        raise DidNotHappen("it survived")
    return at


def _empty_redis(target: Target, _fault: PlannedFault) -> float:
    _must(target.redis.dbsize() > 0, "Redis was empty before")
    target.supervisor("stopProcess", "redis", True)
    folder = target.platform.data_dir / "redis"
    shutil.rmtree(folder)
    folder.mkdir()
    target.supervisor("startProcess", "redis", False)
    at = time.monotonic()
    _must(wait_for(target.redis_answers, GONE_SECONDS), "Redis did not start")
    return at


def _flush_redis(target: Target, _fault: PlannedFault) -> float:
    _must(target.redis.exists(EPOCH) > 0, "Redis was empty before")
    target.redis.flushall()
    return time.monotonic()


def _run_twice(target: Target, _fault: PlannedFault) -> float:
    """Stops the children until the job of one was taken over, then lets that one go on."""
    job = target.running_job()
    children = _children(target, "worker")
    try:
        for child in children:
            child.suspend()
        learner = _learner(target, job["_id"], children)
        for child in children:
            if child != learner:
                child.resume()
        later = {"_id": job["_id"], "attempts": {"$gt": job["attempts"]}}
        over = wait_for(lambda: target.database["jobs"].find_one(later), TAKEN_OVER_SECONDS)
    finally:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.resume()
    at = time.monotonic()
    _must(over, "the job was not taken over")
    return at


def _learner(target: Target, job_id: str, children: list[psutil.Process]) -> psutil.Process:
    """The stopped process that has the job: after so long a stop it keeps its lease with the next lap."""
    time.sleep(RENEW_SECONDS)
    job = target.database["jobs"].find_one({"_id": job_id})
    kept = {"_id": job_id, "status": "running", "leaseUntil": {"$gt": job["leaseUntil"]}}
    for child in children:
        child.resume()
        wait_for(lambda: target.database["jobs"].find_one(kept), RENEW_SECONDS)
        child.suspend()
        if target.database["jobs"].find_one(kept):
            return child
    raise DidNotHappen("the job had ended when its process was found")


def _no_worker(target: Target, fault: PlannedFault, let_go: Callable[[], None]) -> float:
    """No worker until messages wait, and some seconds more."""
    target.supervisor("stopProcess", "worker", True)
    let_go()
    try:
        wait = wait_for(lambda: int(target.redis.llen(QUEUE)) > 0, QUEUED_SECONDS)
        time.sleep(fault.seconds)
    finally:
        target.supervisor("startProcess", "worker", False)
    _must(wait, "nothing was queued meanwhile")
    return time.monotonic()


def _drop_connections(target: Target, fault: PlannedFault) -> float:
    """Closes connections about to commit or to write; or the commit is done and its outcome unknown."""
    drop = {"closeConnection": True}
    ways: list[dict[str, object]] = [
        {"failCommands": ["commitTransaction"], **drop},
        {"failCommands": ["insert", "update", "findAndModify"], **drop},
        {"failCommands": ["commitTransaction"], "writeConcernError": UNKNOWN_OUTCOME},
    ]
    data = ways[int(fault.choice * len(ways))] | {"appName": "lapwise"}
    before = _fail_point(target, {"times": 3 + int(fault.seconds)}, data)
    time.sleep(fault.seconds)
    after = _fail_point(target, "off", {})
    _must(after > before, "nothing was committed meanwhile")
    return time.monotonic()


def _fail_point(target: Target, mode: object, data: Mapping[str, object]) -> int:
    """Sets it; how often the one before was met, in all."""
    try:
        command = {"configureFailPoint": "failCommand", "mode": mode, "data": dict(data)}
        return int(target.mongo.admin.command(command)["count"])
    except PyMongoError as exc:
        raise DidNotHappen(f"mongod has no fail point: {exc}") from exc


def _full_disk(target: Target, fault: PlannedFault) -> float:
    """No room for anything, until MongoDB or Redis has been refused some, and a while longer."""
    assert target.disk is not None  # else it is skipped
    target.disk.fill()
    try:
        _must(target.disk.is_full(), "there was still room")
        refused = wait_for(lambda: _redis_refused(target) or _mongod_refused(target), REFUSED_SECONDS)
        time.sleep(2 * fault.seconds)
    finally:
        target.disk.free()
    _must(refused, "neither MongoDB nor Redis noticed")
    return time.monotonic()


def _redis_refused(target: Target) -> bool:
    info: dict[str, Any] = target.redis.info("persistence")
    return bool(info["aof_last_write_status"] != "ok")


def _mongod_refused(target: Target) -> bool:
    """Has it write now what it else writes once a minute."""
    try:
        with pymongo.timeout(2.0):
            target.mongo.admin.command("fsync")
    except PyMongoError:
        return True
    return False


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise DidNotHappen(otherwise)


DEEDS: Mapping[Kind, Do] = {
    Kind.KILL_WORKER_CHILD: _kill_child_of("worker"),
    Kind.KILL_WORKER: _kill_with_children("worker"),
    Kind.KILL_WEB_CHILD: _kill_child_of("web"),
    Kind.KILL_WEB: _kill_program("web"),
    Kind.KILL_BEAT: _kill_program("beat"),
    Kind.KILL_COURIER: _kill_program("courier"),
    Kind.KILL_REDIS: _kill_program("redis"),
    Kind.KILL_MONGOD: _kill_program("mongod"),
    Kind.EMPTY_REDIS: _empty_redis,
    Kind.FLUSH_REDIS: _flush_redis,
    Kind.RUN_TWICE: _run_twice,
    Kind.DROP_CONNECTIONS: _drop_connections,
    Kind.FULL_DISK: _full_disk,
}
