"""What a run does, decided by its seed alone: which sessions are sent how, and which faults come when."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from learning.simulator import TRACKS

DRIVERS = 6
LAPS = (4, 8)  # of a session, at least and at most
LONG_LAPS = 900  # of a session that is to be caught while it is learned


class Way(StrEnum):
    """How a session reaches the platform."""

    WHOLE = "whole"  # one request with the file
    CHUNKS = "chunks"
    EVENT = "event"  # a game backend's signed event, with the rows in it
    LATER = "later event"  # uploaded without training; a signed event has it learned


class Kind(StrEnum):
    """What can happen to the platform."""

    KILL_WORKER_CHILD = "kill -9 a worker child"
    KILL_WORKER = "kill -9 the whole worker"
    KILL_WEB_CHILD = "kill -9 a gunicorn child"
    KILL_WEB = "kill -9 the gunicorn master"
    KILL_BEAT = "kill -9 beat"
    KILL_COURIER = "kill -9 the courier"
    KILL_REDIS = "kill -9 Redis"
    KILL_MONGOD = "kill -9 mongod"
    EMPTY_REDIS = "Redis restarted empty"
    FLUSH_REDIS = "FLUSHALL"
    RUN_TWICE = "a worker child stopped past its lease"
    NO_WORKER = "the queue filled while no worker runs"
    DROP_CONNECTIONS = "connections dropped in mid-transaction"
    FULL_DISK = "the data directory's disk full"


# They come while a long session is learned, as soon as it has begun.
IN_TRAINING = (Kind.RUN_TWICE, Kind.KILL_WORKER, Kind.KILL_WORKER_CHILD)


@dataclass(frozen=True, kw_only=True)
class PlannedSession:
    """One session; `number` is its place in the run and makes its telemetry differ from all others."""

    number: int
    driver: int
    track: str
    laps: int
    way: Way


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """One fault, `after` seconds of peace; `seconds` is how long it lasts, `choice` (0..1) picks a victim."""

    kind: Kind
    after: float
    seconds: float
    choice: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run; sessions are let go a few with each fault, so that every fault meets some."""

    seed: int
    sessions: tuple[PlannedSession, ...]
    faults: tuple[PlannedFault, ...]

    def sessions_until(self, fault: int) -> int:
        """How many sessions may have been sent when fault number `fault` (from 0) is under way."""
        return _sessions_until(fault, len(self.sessions), len(self.faults))


def make_plan(seed: int, sessions: int, faults: int, kinds: Sequence[Kind] = tuple(Kind)) -> Plan:
    """The plan of a seed; each of the kinds comes about equally often, in random order."""
    random = Random(seed)
    rounds = -(-faults // len(kinds))
    drawn = [kind for _ in range(rounds) for kind in random.sample(kinds, len(kinds))][:faults]
    long = {
        _sessions_until(number, sessions, faults) - 1
        for number, kind in enumerate(drawn)
        if kind in IN_TRAINING
    }
    return Plan(
        seed=seed,
        sessions=tuple(_session(random, number, number in long) for number in range(sessions)),
        faults=tuple(_fault(random, kind) for kind in drawn),
    )


def _sessions_until(fault: int, sessions: int, faults: int) -> int:
    return -(-sessions * (fault + 1) // faults)


def _session(random: Random, number: int, is_long: bool) -> PlannedSession:
    return PlannedSession(
        number=number,
        driver=random.randrange(DRIVERS),
        track=random.choice(TRACKS),
        laps=LONG_LAPS if is_long else random.randint(*LAPS),
        way=Way.WHOLE if is_long else random.choice(list(Way)),
    )


def _fault(random: Random, kind: Kind) -> PlannedFault:
    after, seconds, choice = random.uniform(0.2, 2.0), random.uniform(3.0, 6.0), random.random()
    return PlannedFault(
        kind=kind, after=0.0 if kind in IN_TRAINING else after, seconds=seconds, choice=choice
    )
