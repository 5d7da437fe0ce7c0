"""Whether a full store is as quick as an empty one, and how much memory the models in use may take."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil

from app.container import build_container
from app.domain import ModelType, PredictRequest, new_id
from app.local.child import ChildPlatform
from app.settings import Settings
from app.stores.migrating import migrate
from bench.figures import Figure, interleaved, ratios
from bench.planting import Seed, plant
from bench.stage import ENVIRONMENT, FRAME, LAP_TIME, TRACK, Driver, Stage, environment_of, learn, new_driver

FEW, MANY, VERSIONS = 10, 10_000, 20
TYPE = ModelType(LAP_TIME)
MODELS = 1_000
CACHE_BYTES = 128 << 20
LAST = 100  # models asked for once more
LAPS = 20
MEBIBYTE = 1 << 20


def lineages(stage: Stage) -> list[Figure]:
    """An uncached prediction and a list with 10,000 lineages in the store, against 10; 20 versions each."""
    driver = stage.driver()
    seed = _linear(stage, driver)
    few = _planted(stage, seed, "bench_few", FEW)
    many = _planted(stage, seed, "bench_many", stage.many(MANY))
    found = interleaved(4 * stage.rounds, lambda: _asked(stage, few), lambda: _asked(stage, many))
    stage.container.mongo_client.drop_database("bench_many")
    here, there = zip(*found, strict=True)
    told = f"{stage.many(MANY):,} lineages of {VERSIONS} versions in the store"
    return [
        Figure(
            what=f"{name} with {told}",
            against=f"with {FEW}",
            values=ratios([getattr(one, part) for one in there], [getattr(one, part) for one in here]),
            bar=1.3,
            at_most=True,
            details={
                "many_s": [getattr(one, part) for one in there],
                "few_s": [getattr(one, part) for one in here],
            },
        )
        for name, part in (
            ("a prediction by a model not in memory", "predict"),
            ("a page of versions", "page"),
        )
    ]


def models_cache(stage: Stage) -> list[Figure]:
    """What a web process has grown by when it has served 1,000 active models, and which it then still has."""
    limits = {"LAPWISE_WEB_PROCESSES": "1", "LAPWISE_MODEL_CACHE_BYTES": str(CACHE_BYTES)}
    with ChildPlatform(stage.folder / "cache", ENVIRONMENT | limits) as platform:
        asking = _Asking.on(platform, stage)
        before = asking.unique_bytes()
        grown = []
        for _ in range(stage.rounds):
            asking.predict(asking.model_ids)
            grown.append((asking.unique_bytes() - before) / MEBIBYTE)
        last = min(LAST, len(asking.model_ids) // 2)
        kept = asking.loads(asking.model_ids[-last:])
        gone = asking.loads(asking.model_ids[:last])
    return [
        Figure(
            what=f"memory of a web process grown by {len(asking.model_ids):,} models in use",
            against=f"its LAPWISE_MODEL_CACHE_BYTES of {CACHE_BYTES // MEBIBYTE} MiB",
            values=[one * MEBIBYTE / CACHE_BYTES for one in grown],
            bar=1,
            at_most=True,
            details={"grown_mib": grown, "pickle_bytes": asking.pickle_bytes},
        ),
        Figure(
            what=f"of the {last} models used last, read anew when asked for again",
            against="–",
            values=[kept],
            bar=0,
            at_most=True,
            unit="models",
        ),
        Figure(
            what=f"of the {last} models used first, read anew",
            against="–",
            values=[gone],
            bar=last,
            unit="models",
        ),
    ]


@dataclass(frozen=True)
class _Times:
    """Medians of one round, in seconds."""

    predict: float
    page: float


@dataclass(frozen=True)
class _Planted:
    settings: Settings
    lineages: Sequence[tuple[str, str]]


def _linear(stage: Stage, driver: Driver) -> Seed:
    """The smallest model there is, so that 200,000 of them fit on any disk."""
    session = driver.client.upload(stage.session(0, laps=5), TRACK, auto_train=False)["session"]
    job = driver.client.wait(driver.client.train(TRACK, [session["id"]], algorithm="linear")["id"])
    return Seed.of(_database(stage), str(job["modelId"]))


def _database(stage: Stage) -> Any:
    return stage.container.mongo_client[stage.container.settings.database]


def _planted(stage: Stage, seed: Seed, name: str, count: int) -> _Planted:
    settings = replace(stage.container.settings, database=name)
    migrate(settings.mongo_url, name, settings.model_keys)
    made = [(new_id(), TRACK) for _ in range(count)]
    database = stage.container.mongo_client[name]
    plant(database, seed, made, versions=VERSIONS, key=settings.model_keys.current)
    return _Planted(settings, made)


def _asked(stage: Stage, planted: _Planted) -> _Times:
    """Asks lineages that this container has never heard of."""
    asked = PredictRequest(rows=(FRAME,), is_list=False, track_name=TRACK, model_type=TYPE)
    predicted, paged = [], []
    with build_container(planted.settings) as container:
        container.models.page(new_id(), TRACK)  # connected
        for user_id, track_name in random.sample(planted.lineages, min(FEW, len(planted.lineages))):
            started = time.perf_counter()
            container.models.predict(user_id, asked)
            predicted.append(time.perf_counter() - started)
            started = time.perf_counter()
            container.models.page(user_id, track_name)
            paged.append(time.perf_counter() - started)
    return _Times(sorted(predicted)[len(predicted) // 2], sorted(paged)[len(paged) // 2])


@dataclass(frozen=True)
class _Asking:
    """A driver with many active models, and the one web process that predicts by them."""

    driver: Driver
    web: psutil.Process
    client: Any
    model_ids: Sequence[str]
    pickle_bytes: int

    @classmethod
    def on(cls, platform: ChildPlatform, stage: Stage) -> "_Asking":
        driver = new_driver(platform.endpoints()["api"])
        job = learn(driver, stage.session(0, laps=LAPS))
        settings = Settings.from_environment(environment_of(platform))
        container = build_container(settings)
        database = container.mongo_client[settings.database]
        seed = Seed.of(database, job["modelId"])
        tracks = [(driver.user_id, f"track {number}") for number in range(stage.many(MODELS))]
        model_ids = plant(database, seed, tracks, versions=1, key=settings.model_keys.current)
        (web,) = psutil.Process(platform.endpoints()["pids"]["web"]).children()
        asking = cls(driver, web, container.mongo_client, model_ids, seed.document["modelSize"])
        asking.predict([job["modelId"]] * 300)  # what answering needs besides models
        return asking

    def predict(self, model_ids: Sequence[str]) -> None:
        for model_id in model_ids:
            self.driver.client.predict_by(model_id, FRAME)

    def unique_bytes(self) -> int:
        """What would be free if the process ended."""
        return int(self.web.memory_full_info().uss)

    def loads(self, model_ids: Sequence[str]) -> int:
        """How many of the models web has to read from the store when they are asked for."""
        before = self._reads()
        self.predict(model_ids)
        return self._reads() - before

    def _reads(self) -> int:
        totals = self.client.admin.command("top")["totals"]
        return int(totals["lapwise.models.chunks"]["queries"]["count"])
