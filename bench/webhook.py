"""`python -m bench.webhook`: events offered at a fixed rate, whatever the answers, and what became of each.

The load is open: an event is sent when its time has come, not when the one before was answered, and its time
to an answer counts from then. Everything runs on this machine, the generator too.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psutil
from rich.console import Console
from rich.table import Table

from app.client import Client
from app.client.answers import Session
from app.local.child import ChildPlatform
from app.signatures import HEADER, sign
from learning.simulator import CARS, TRACKS, simulate_session, write_session

TRACK = TRACKS[0]
DRIVERS, SESSIONS, LAPS = 10, 10, 3
IDLE_RATE, IDLE_SECONDS = 20.0, 10.0
SECONDS_AT_MOST = 20.0
CONNECTIONS_AT_MOST = 400
LEARNED_SECONDS = 180.0
RESULTS = Path(__file__).with_name("results-webhook.json")


@dataclass(frozen=True)
class Driver:
    """One driver of the bench, and their sessions as they were uploaded."""

    client: Client
    email: str
    sessions: tuple[Session, ...]


@dataclass
class Outcome:
    """What came of a series of events."""

    offered: int
    seconds: list[float] = field(default_factory=list)  # to an answer, from when the event was due
    statuses: Counter[int] = field(default_factory=Counter)  # 0: no answer at all
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """In milliseconds, of all that were answered."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main() -> None:
    """Prints the figures and writes them to `bench/results-webhook.json`; fails when anything was lost."""
    options = _options()
    console = Console()
    with TemporaryDirectory(prefix="lapwise-bench-") as name, ChildPlatform(Path(name) / "data") as platform:
        api = platform.endpoints()["api"]
        secret = json.loads((platform.data_dir / "secrets.json").read_text())["LAPWISE_WEBHOOK_SECRET"]
        files = [_file(Path(name), index) for index in range(SESSIONS)]
        warm, *drivers = [_driver(api, files) for _ in range(1 + options.drivers)]
        _run(api, secret, _events([warm], len(files)), rate=5.0)
        _wait_learned([warm])
        idle = _run(api, secret, _events([warm], int(IDLE_RATE * IDLE_SECONDS)), rate=IDLE_RATE)
        before = _processor_seconds(platform)
        load = _run(api, secret, _events(drivers, int(options.rate * options.seconds)), rate=options.rate)
        spent = {name: seconds - before[name] for name, seconds in _processor_seconds(platform).items()}
        learned = _wait_learned(drivers)
        lost = _lost(drivers, load)
    results = {
        "rate": options.rate,
        "idle": _figures(idle),
        "load": _figures(load),
        "p99_ratio": load.quantile(0.99) / idle.quantile(0.99),
        "processor_ms_an_event": {name: 1000 * one / load.offered for name, one in spent.items()},
        "seconds_until_learned": learned,
        "lost": lost,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _print(console, results)
    if lost:
        raise SystemExit(f"lost: {lost}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=SECONDS_AT_MOST)
    parser.add_argument("--drivers", type=int, default=DRIVERS)
    options = parser.parse_args()
    options.seconds = min(options.seconds, SECONDS_AT_MOST)
    return options


def _file(folder: Path, index: int) -> Path:
    session = simulate_session(
        track=TRACK,
        driver="BENCH",
        car_model=next(iter(CARS)),
        session_index=index,
        laps=LAPS,
        sample_rate=10.0,
        seed=index,
    )
    return write_session(session, folder)


def _driver(api: str, files: Sequence[Path]) -> Driver:
    client, email = Client(api), f"{secrets.token_hex(6)}@example.com"
    client.register(email, secrets.token_hex(12))
    sessions = [client.upload(file, TRACK, auto_train=False)["session"] for file in files]
    return Driver(client, email, tuple(sessions))


def _events(drivers: Sequence[Driver], count: int) -> list[bytes]:
    """Events of all drivers and sessions in turn, each with an id of its own."""
    bodies = []
    for index in range(count):
        driver = drivers[index % len(drivers)]
        session = driver.sessions[index // len(drivers) % len(driver.sessions)]
        event = {
            "eventId": secrets.token_hex(12),
            "userEmail": driver.email,
            "trackName": TRACK,
            "sessionId": session["id"],
        }
        bodies.append(json.dumps(event).encode())
    return bodies


def _run(api: str, secret: str, bodies: Sequence[bytes], *, rate: float) -> Outcome:
    return asyncio.run(_offer(api, secret, bodies, rate))


async def _offer(api: str, secret: str, bodies: Sequence[bytes], rate: float) -> Outcome:
    outcome, connections = Outcome(offered=len(bodies)), _Connections(api)
    start = time.perf_counter() + 0.1
    tasks = []
    for index, body in enumerate(bodies):
        due = start + index / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(connections, secret, body, due, outcome)))
    await asyncio.gather(*tasks)
    connections.close()
    return outcome


async def _send(connections: "_Connections", secret: str, body: bytes, due: float, outcome: Outcome) -> None:
    try:
        status, answer = await connections.post(body, sign(secret, body, int(time.time())))
    except (OSError, asyncio.IncompleteReadError):
        outcome.statuses[0] += 1
        return
    outcome.seconds.append(time.perf_counter() - due)
    outcome.statuses[status] += 1
    if status == 202:
        outcome.accepted.append(json.loads(answer))


class _Connections:
    """Kept-alive HTTP/1.1 connections: a client library's own work would weigh on the two cores."""

    def __init__(self, api: str) -> None:
        self._at = urlsplit(api)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._slots = asyncio.Semaphore(CONNECTIONS_AT_MOST)

    async def post(self, body: bytes, signature: str) -> tuple[int, bytes]:
        head = (
            f"POST /webhooks/session-uploaded HTTP/1.1\r\nHost: {self._at.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{HEADER}: {signature}\r\n\r\n"
        )
        async with self._slots:
            reader, writer = await self._connection()
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            answer = await reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":
                writer.close()
            else:
                self._free.append((reader, writer))
        return int(lines[0].split()[1]), answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():  # the server closes those that were idle for a while
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._at.hostname, self._at.port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


def _processor_seconds(platform: ChildPlatform) -> dict[str, float]:
    """What each program has used of the processor, and the generator: this holds on a busy machine too."""
    used = {name: _used(pid) for name, pid in platform.endpoints()["pids"].items()}
    return used | {"generator": time.process_time()}


def _used(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


def _wait_learned(drivers: Sequence[Driver]) -> float:
    """Seconds until no job of the drivers waits or runs."""
    started = time.perf_counter()
    while any(_unfinished(driver.client) for driver in drivers):
        if time.perf_counter() - started > LEARNED_SECONDS:
            raise SystemExit(f"jobs are not done after {LEARNED_SECONDS} s")
        time.sleep(0.2)
    return time.perf_counter() - started


def _unfinished(client: Client) -> bool:
    return any(
        client.call("GET", f"/jobs?limit=1&status={status}")["items"] for status in ("queued", "running")
    )


def _lost(drivers: Sequence[Driver], load: Outcome) -> list[str]:
    """What is not as it must be: all jobs of accepted events have succeeded, each session is learned once."""
    jobs = {job["id"]: job for driver in drivers for job in driver.client.items("/jobs", limit=200)}
    told = {driver.sessions[0]["userId"]: driver for driver in drivers}
    wrong = [
        f"job {job['id']} is {jobs.get(job['id'], {}).get('status')}"
        for answer in load.accepted
        for job in answer["jobs"]
        if jobs.get(job["id"], {}).get("status") != "succeeded"
    ]
    wrong += [f"{load.statuses[0]} events were not answered"] * bool(load.statuses[0])
    wrong += [f"event {answer['eventId']} has no job" for answer in load.accepted if not answer["jobs"]]
    for user_id, driver in told.items():
        named = {a["session"]["id"] for a in load.accepted if a["session"]["userId"] == user_id}
        version = (
            driver.client.call("GET", f"/ai-model/active/{TRACK}/lap_time_prediction") if named else None
        )
        wrong += _unlike(user_id, named, version, driver)
    return wrong


def _unlike(user_id: str, named: set[str], version: dict[str, Any] | None, driver: Driver) -> list[str]:
    if version is None:
        return []
    learned = version["trainingSessionIds"]
    laps = sum(session["validLapsCount"] for session in driver.sessions if session["id"] in named)
    inside = version["modelMetadata"]["lapsLearned"]
    if sorted(learned) == sorted(named) and inside == laps:
        return []
    return [f"driver {user_id} has learned {inside} laps of {laps}, {len(learned)} sessions of {len(named)}"]


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "offered": outcome.offered,
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "p50_ms": outcome.quantile(0.5),
        "p99_ms": outcome.quantile(0.99),
        "max_ms": outcome.quantile(1.0),
        "mean_ms": 1000 * statistics.mean(outcome.seconds),
    }


def _print(console: Console, results: dict[str, Any]) -> None:
    table = Table(title=f"POST /webhooks/session-uploaded, {results['rate']:g} events a second")
    for column in ("", "offered", "answers by status", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column)
    for name in ("idle", "load"):
        row = results[name]
        figures = [f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms")]
        table.add_row(name, str(row["offered"]), str(row["statuses"]), *figures)
    console.print(table)
    spent = ", ".join(f"{name} {used:.2f}" for name, used in results["processor_ms_an_event"].items())
    console.print(f"processor ms an event: {spent}")
    console.print(f"p99 under load / idle: {results['p99_ratio']:.1f}")
    console.print(f"all jobs done {results['seconds_until_learned']:.1f} s after the last event")
    console.print(f"lost: {len(results['lost'])}")


if __name__ == "__main__":
    main()
