"""The driver in whose name the API is fuzzed: has one of everything, and puts it in place of made-up ids."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

from schemathesis import Case, GenerationMode

from app.api.fields import ID
from app.api.tokens import token_pair
from app.container import Container
from app.domain import ModelType, TrainRequest, UploadStart, User, new_id, utc_now
from app.experiment import ExperimentRequest
from app.services.accounts import Grant
from tests.factories import TRACK, new_session, session_file
from tests.integration.walking import FRAME, KIND_OF_ID, KIND_OF_SLOT

SPARES = 12  # of what the fuzzing removes
LAP_TIME = ModelType.LAP_TIME_PREDICTION
# Calls after which a token is no good any more: each gets an account or a sign-in of its own.
ENDING = {"POST /auth/logout", "DELETE /auth/me", "POST /auth/refresh"}
_ID = re.compile(ID)


_OWN_PATH = {
    "session": "/racing-session/{id}",
    "model": "/ai-model/{id}",
    "job": "/jobs/{id}",
    "webhook": "/webhooks/{id}",
}


@dataclass
class Driver:
    """Signs requests, and fills own ids in where an id is asked for: mostly, for unknown ids matter too."""

    container: Container
    user: User
    things: dict[str, list[str]]
    spares: dict[str, list[str]]
    files: tuple[bytes, ...]  # that can be uploaded or imported
    numbers: Iterator[int] = field(default_factory=count)
    told: set[str] = field(default_factory=set)

    def token(self, label: str) -> str:
        """A good one for an operation."""
        if label not in ENDING:
            return self._pair(self.user)["access_token"]
        passing = replace(self.user, id=new_id(), email=f"{new_id()}@example.com")
        self.container.accounts._users.add(passing)
        return self._pair(passing)["refresh_token" if label == "POST /auth/refresh" else "access_token"]

    def fill(self, case: Case) -> None:
        """Puts own ids in; values that are wrong on purpose stay as they are, and so do forms."""
        case.freeze_metadata()  # what is put in fits as well as what was there
        number = next(self.numbers)
        body = case.body if case.media_type == "application/json" else None
        for where in (case.path_parameters, case.query, body):
            if isinstance(where, dict):
                self._fill(case, where, number)
        if isinstance(body, dict) and "inputData" in body and _is_meant_well(case) and number % 4:
            body["inputData"] = [FRAME, FRAME] if number % 3 else FRAME

    def _fill(self, case: Case, place: dict[str, Any], number: int) -> None:
        for name, value in place.items():
            kind = _kind(case.operation.path, name)
            if kind and isinstance(value, str) and _ID.fullmatch(value):
                place[name] = self._own(case, kind, value, number)
            elif kind and isinstance(value, list) and value and all(map(_is_id, value)):
                place[name] = [self._own(case, kind, one, number + index) for index, one in enumerate(value)]
            elif (
                name in ("trackName", "mapName")
                and isinstance(value, str)
                and _is_meant_well(case)
                and number % 2
            ):
                place[name] = TRACK

    def heed(self, answer: str) -> None:
        """Remembers the ids that an answer tells, which a chain of calls goes on with."""
        self.told.update(_ID.findall(answer))

    def _own(self, case: Case, kind: str, given: str, number: int) -> str:
        if given in self.told:
            return given
        if case.operation.label == f"DELETE {_OWN_PATH.get(kind)}":  # one in eight, while there are some
            return self.spares[kind].pop() if number % 8 == 0 and self.spares[kind] else given
        owned = self.things.get(kind)
        return owned[number // 4 % len(owned)] if owned and number % 4 else given

    def _pair(self, user: User) -> dict[str, Any]:
        accounts = self.container.accounts
        grant = Grant(user=user, family_id=new_id(), refresh_jti=token_hex(16))
        accounts._families.add(grant.family_id, user.id, grant.refresh_jti, utc_now() + timedelta(days=1))
        return token_pair(grant)


def equipped(container: Container, folder: Path) -> Driver:
    """A new driver with sessions, versions of one lineage, jobs that have ended, and an upload on its way."""
    user = container.accounts.register("fuzz@example.com", "a long pass phrase")
    path = session_file(folder)
    news = [new_session(folder, index=index, setup={"rear_wing": 5.0}) for index in range(1, 4 + SPARES)]
    sessions = [container.sessions.add(user.id, new, False)[0].id for new in news]
    request = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(sessions[0],))
    jobs = [container.training.train(user.id, request).id for _ in range(3 + SPARES)]
    for job_id in jobs:
        container.runs.run(job_id)
    models = [version.id for version in container.models.history(user.id, TRACK, LAP_TIME)]
    start = UploadStart(session_name="on its way", track_name=TRACK)
    things = {
        "session": sessions[:3],
        "model": models[-3:],
        "job": jobs[:3],
        "upload": [container.uploads.start(user.id, start)],
    }
    hooks = [container.webhooks.register(user.id, f"https://example.org/{one}").id for one in range(6)]
    things["webhook"], spare_hooks = hooks[:2], hooks[2:]
    spares = {"webhook": spare_hooks, "session": sessions[3:], "model": models[:-3], "job": jobs[3:]}
    container.experiments.start(
        user.id, models[-1], ExperimentRequest(challenger_id=models[-2], share=0.5, auto_promote=False)
    )
    bundle = BytesIO()
    container.exchange.export_bundle(user.id, models[-1], bundle)
    return Driver(container, user, things, spares, (path.read_bytes(), bundle.getvalue()))


def _is_meant_well(case: Case) -> bool:
    """Whether all of it fits the schema; what does not must stay as it is, to be refused."""
    meta = case.meta
    if meta is None:
        return True
    modes = {meta.generation.mode, *(part.mode for part in meta.components.values())}
    return modes == {GenerationMode.POSITIVE}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def _kind(path: str, name: str) -> str | None:
    return KIND_OF_ID.get(path.split("/")[1]) if name == "id" else KIND_OF_SLOT.get(name)
