"""How soon web has recorded a job, and what it costs Redis when a thousand clients ask for one."""

import json
import time
from collections import Counter

from app.stores.queue import QUEUE
from bench.consuming import consumer_of
from bench.figures import Figure, interleaved, ratios
from bench.load import Call, Load
from bench.stage import CROWD, LAP_TIME, TRACK, Driver, Stage, learn

CLIENTS, POLLS = 1_000, 3
LAPS = 5
READS = ("get", "mget", "hget", "hgetall", "hmget")
SETTLE_SECONDS = 2.0


def submit(stage: Stage) -> list[Figure]:
    """A job recorded and queued, against a Flask app that writes once to MongoDB and once to Redis.

    Each of the clients is a driver, on both sides: jobs that are asked for at the same moment are recorded
    together, and with few clients there are few of these.
    """
    calls = [_training(stage, stage.driver()) for _ in range(CROWD)]
    servers = stage.platform.servers()
    recorder = f"bench.bare_flask:recorder({servers['LAPWISE_MONGO_URL']!r},{servers['LAPWISE_REDIS_URL']!r})"
    with stage.serving(recorder) as address, consumer_of(stage.platform) as consumer:
        consumer.pause()
        bare = [Call(address, calls[0].body, status=202)]
        for one in (calls, bare):
            _offered(stage, one)
        found = interleaved(stage.rounds, lambda: _offered(stage, calls), lambda: _offered(stage, bare))
        consumer.resume()
    ours, theirs = zip(*found, strict=True)
    rates, bare_rates = [load.rate for load in ours], [load.rate for load in theirs]
    return [
        Figure(
            what=f"POST /model/train until its 202, {CROWD} drivers at once: requests/s",
            against="a bare Flask endpoint with one write to MongoDB and one to Redis",
            values=ratios(rates, bare_rates),
            bar=0.7,
            details={"requests_a_second": rates, "bare_requests_a_second": bare_rates},
        )
    ]


def polling(stage: Stage) -> list[Figure]:
    """What Redis reads when 1,000 clients ask for a job that has ended, less what it does by itself."""
    driver = stage.driver()
    job_id = learn(driver, stage.session(0, laps=LAPS))["id"]
    call = Call(f"{stage.api}/jobs/{job_id}", token=driver.token, method="GET")
    stage.clients.poll(call, connections=CLIENTS, times=1)
    reads, commands = [], []
    for _ in range(stage.rounds):
        idle = _commands_a_second(stage)
        before, started = _commands(stage), time.perf_counter()
        asked = stage.clients.poll(call, connections=CLIENTS, times=POLLS)
        seconds = time.perf_counter() - started
        found = _commands(stage) - before
        made = {name: (count - seconds * idle[name]) / asked for name, count in found.items()}
        reads.append(sum(made.get(name, 0.0) for name in READS))
        commands.append({name: round(count, 2) for name, count in made.items() if count > 0.01})
    return [
        Figure(
            what=f"Redis reads of one GET /jobs/{{id}}, {CLIENTS} clients asking",
            against="–",
            values=reads,
            bar=1.05,  # what it does by itself is known to so much
            at_most=True,
            unit="reads",
            details={"commands_a_request": commands},
        )
    ]


def _training(stage: Stage, driver: Driver) -> Call:
    """A request that trains a model of the driver's session from scratch."""
    session = driver.client.upload(stage.session(0, laps=LAPS), TRACK, auto_train=False)["session"]
    body = {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": [session["id"]]}
    return Call(f"{stage.api}/model/train", json.dumps(body).encode(), driver.token, status=202)


def _offered(stage: Stage, calls: list[Call]) -> Load:
    """A load of requests; after it no job waits, so that the next round begins as this one did."""
    load = stage.crowd.offer(calls, stage.seconds)
    database = stage.container.mongo_client[stage.container.settings.database]
    database["jobs"].delete_many({"status": "queued"})
    stage.container.redis.delete(QUEUE)
    return load


def _commands(stage: Stage) -> Counter[str]:
    """What Redis has been told to do so far, by command."""
    told = stage.container.redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in told.items()})


def _commands_a_second(stage: Stage) -> Counter[str]:
    before = _commands(stage)
    time.sleep(SETTLE_SECONDS)
    return Counter({name: count / SETTLE_SECONDS for name, count in (_commands(stage) - before).items()})
