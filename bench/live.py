"""`python -m bench.live`: cars that send 60 frames a second each, and how soon every frame was answered.

The load is open: a frame is sent when its time has come, whether the one before was answered or not, and the
time to its answer counts from then. An ordinary request ten times a second goes beside it. Everything runs on
this machine, the generator too.
"""

import argparse
import asyncio
import csv
import gzip
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from app.client import Client
from app.local.child import ChildPlatform
from bench.stage import TRACK, session_file

CARS_OF_A_DRIVER = 4
LAPS = 8
WARM_SECONDS, SECONDS_AT_MOST = 2.0, 30.0
REQUEST_EVERY = 0.1  # seconds
RESULTS = Path(__file__).with_name("results-live.json")


@dataclass
class Outcome:
    """What came of a car's frames after the first seconds, which warm up; times in seconds."""

    sent: int = 0
    answers: list[float] = field(default_factory=list)
    errors: int = 0


@dataclass(frozen=True)
class Line:
    """One connection to make: to which model, with whose token, and the frames to send."""

    url: str
    token: str
    frames: Sequence[dict[str, Any]]


def main() -> None:
    """Prints the figures and writes them to `bench/results-live.json`."""
    options = _options()
    with TemporaryDirectory(prefix="lapwise-bench-") as name, ChildPlatform(Path(name) / "data") as platform:
        api = platform.endpoints()["api"]
        frames = _frames(Path(name))
        drivers = [_driver(api, Path(name), one) for one in range(-(-options.cars // CARS_OF_A_DRIVER))]
        query = "?include_confidence=true" if options.confidence else ""
        lines = [
            Line(f"{api.replace('http', 'ws', 1)}/ai-model/{model_id}/live{query}", token, frames[97 * car :])
            for car in range(options.cars)
            for model_id, token in [drivers[car // CARS_OF_A_DRIVER]]
        ]
        idle = asyncio.run(_requests(api, drivers[0][1], 3.0))
        outcomes, beside = asyncio.run(_drive(api, lines, options.rate, options.seconds))
    answers = [one for outcome in outcomes for one in outcome.answers]
    results = {
        "cars": options.cars,
        "rate": options.rate,
        "sent": sum(outcome.sent for outcome in outcomes),
        "answered": len(answers),
        "errors": sum(outcome.errors for outcome in outcomes),
        "answer_ms": _quantiles(answers),
        "request_ms_idle": _quantiles(idle),
        "request_ms_beside": _quantiles(beside),
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _print(results)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cars", type=int, default=20, help="connections")
    parser.add_argument("--rate", type=float, default=60.0, help="frames a second of each")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--confidence", action="store_true", help="ask for intervals too")
    options = parser.parse_args()
    options.seconds = min(options.seconds, SECONDS_AT_MOST)
    return options


def _frames(folder: Path) -> list[dict[str, Any]]:
    """A session's frames as its file has them, 60 a second."""
    with gzip.open(session_file(folder, 0, laps=LAPS, sample_rate=60.0), "rt", newline="") as file:
        return [{name: _value(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _driver(api: str, folder: Path, index: int) -> tuple[str, str]:
    """The id of a new driver's model of two sessions, and an access token."""
    with Client(api) as client:
        email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_hex(12)
        client.register(email, password)
        for session in (2 * index + 1, 2 * index + 2):
            for job in client.upload(session_file(folder, session, laps=LAPS, sample_rate=10.0), TRACK)[
                "jobs"
            ]:
                done = client.wait(job["id"])
        login = httpx.post(f"{api}/auth/login", json={"email": email, "password": password}).json()
    return str(done["modelId"]), str(login["accessToken"])


async def _drive(
    api: str, lines: Sequence[Line], rate: float, seconds: float
) -> tuple[list[Outcome], list[float]]:
    begin = time.perf_counter() + 1.0
    cars = [_car(line, rate, seconds, begin + index / rate / len(lines)) for index, line in enumerate(lines)]
    beside = asyncio.create_task(_requests(api, lines[0].token, seconds))
    return await asyncio.gather(*cars), await beside


async def _car(line: Line, rate: float, seconds: float, begin: float) -> Outcome:
    outcome = Outcome()
    count, warm = int(rate * seconds), int(rate * WARM_SECONDS)
    headers = {"Authorization": f"Bearer {line.token}"}
    async with connect(line.url, additional_headers=headers, compression=None) as connection:

        async def listen() -> None:
            async for text in connection:
                answer = json.loads(text)
                if "error" in answer:
                    outcome.errors += 1
                elif answer["id"] >= warm:
                    outcome.answers.append(time.perf_counter() - begin - answer["id"] / rate)
                if answer["frame"] == count:
                    return

        listening = asyncio.create_task(listen())
        for number in range(count):
            await asyncio.sleep(begin + number / rate - time.perf_counter())
            await connection.send(json.dumps(line.frames[number] | {"id": number}))
            outcome.sent += number >= warm
        await asyncio.wait_for(listening, 10)
    return outcome


async def _requests(api: str, token: str, seconds: float) -> list[float]:
    """How long an ordinary request takes, asked again and again."""
    found = []
    async with httpx.AsyncClient(base_url=api, headers={"Authorization": f"Bearer {token}"}) as client:
        until = time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            (await client.get("/auth/me")).raise_for_status()
            found.append(time.perf_counter() - started)
            await asyncio.sleep(REQUEST_EVERY)
    return found


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _print(results: dict[str, Any]) -> None:
    table = Table("", "p50 ms", "p99 ms", "max ms")
    for name, title in (
        ("answer_ms", "a frame's answer"),
        ("request_ms_idle", "a request, nothing else going on"),
        ("request_ms_beside", "a request beside it"),
    ):
        table.add_row(title, *(f"{value:.1f}" for value in results[name].values()))
    console = Console()
    console.print(table)
    console.print(
        f"{results['cars']} cars of {results['rate']:.0f} Hz: {results['sent']} frames sent, "
        f"{results['answered']} answered, {results['errors']} errors"
    )


if __name__ == "__main__":
    main()
