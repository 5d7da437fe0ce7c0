"""Taking in what game backends tell of sessions: recorded durably and once, then answered."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import BoundedSemaphore
from types import MappingProxyType
from typing import Any

from pymongo.client_session import ClientSession

from app.batches import Batches
from app.domain import Job, ModelType, NewSession, Session, utc_now
from app.errors import (
    EventIdReused,
    Invalid,
    LapwiseError,
    Overloaded,
    SessionExists,
    SessionNotFound,
    SetupMissing,
    UserNotFound,
)
from app.logs import request_ids
from app.mongo import Client, in_transaction
from app.services.accounts import normalised
from app.services.admission import Admission, one_of_few
from app.services.automatic import AutomaticJobs, Wish
from app.services.jobs import Jobs
from app.services.sessions import Draft, Sessions
from app.services.uploads import json_lines
from app.stores.accounts import Users
from app.stores.events import EventStore, TakenEvent
from app.stores.sessions import SessionStore
from learning.setups import parameters_of

APART = 0.02  # seconds that a batch waits at most while events come faster than one by one
READ_AT_ONCE = 4  # events with telemetry in them, which a process reads one after the other
NOTHING: Mapping[str, TakenEvent] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class SessionEvent:
    """A session of a driver, named by id or address, that is here already or comes along as rows."""

    event_id: str
    track_name: str
    user_id: str | None = None
    user_email: str | None = None
    session_id: str | None = None
    telemetry: tuple[Mapping[str, Any], ...] | None = field(default=None, repr=False)
    model_types: tuple[ModelType, ...] | None = None
    car_model: str | None = None
    setup: Mapping[str, float] = field(default_factory=dict)

    @property
    def driver(self) -> str:
        """By what the driver is named."""
        return self.user_id or normalised(self.user_email or "")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """An event whose session is here or prepared, and the digest of all that was sent."""

    event: SessionEvent
    digest: str
    request_ids: tuple[str, ...] = field(default_factory=request_ids)  # another request works the batch off
    draft: Draft | None = None

    @property
    def id(self) -> str:
        return self.event.event_id


class Events:
    """Use cases of incoming webhooks."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        session_store: SessionStore,
        events: EventStore,
        sessions: Sessions,
        automatic: AutomaticJobs,
        jobs: Jobs,
        admission: Admission,
    ) -> None:
        self._client = client
        self._users = users
        self._session_store = session_store
        self._events = events
        self._sessions = sessions
        self._automatic = automatic
        self._jobs = jobs
        self._admission = admission
        self._batches = Batches(self._take_all, apart=APART)
        self._reading = BoundedSemaphore(READ_AT_ONCE)

    def take(self, event: SessionEvent) -> TakenEvent:
        """The event's session and the jobs that learn it, durable; a repeat gets what the first call got.

        Raises
        ------
        UserNotFound, SessionNotFound, Invalid, SetupMissing, EventIdReused, Overloaded
        learning.errors.LearningError
            The rows are not usable telemetry.
        """
        asked = _Asked(event=event, digest=_digest(event))
        is_full = self._admission.is_full()
        if (is_full or event.telemetry is not None) and (taken := self._repeated(asked)):
            return taken
        if is_full:
            raise Overloaded
        if event.telemetry is not None:
            return self._take_with(self._prepared(event, event.telemetry), asked)
        return self._batches.do(asked)

    def _repeated(self, asked: _Asked) -> TakenEvent | None:
        known = self._events.find_all([asked.id])
        return _same(known[asked.id], asked) if known else None

    def _take_with(self, draft: Draft, asked: _Asked) -> TakenEvent:
        """Takes an event with the session of its rows: both are recorded by one transaction, or neither.

        Whatever else goes wrong leaves open what was recorded; files that turn out to be nobody's are tidied.
        """
        event = replace(asked.event, telemetry=None, session_id=draft.session.id)
        try:
            taken = self._batches.do(replace(asked, event=event, draft=draft))
        except EventIdReused:
            self._sessions.discard(draft)
            raise
        if taken.session.id != draft.session.id:
            self._sessions.discard(draft)
        return taken

    def _prepared(self, event: SessionEvent, rows: Iterable[Mapping[str, Any]]) -> Draft:
        """The session of an event's rows; sent again, they are the same session."""
        _check_setup(event.model_types, event.setup)
        found = self._users.ids_of([event.user_id or ""], [normalised(event.user_email or "")])
        user_id = found.get(event.driver)
        if user_id is None:
            raise UserNotFound
        with one_of_few(self._reading), NamedTemporaryFile(prefix="lapwise-", suffix=".jsonl") as file:
            file.write(json_lines(rows))
            file.flush()
            new = NewSession(
                path=Path(file.name),
                track_name=event.track_name,
                car_model=event.car_model,
                setup=event.setup,
            )
            return self._sessions.prepare(user_id, new)

    def _take_all(
        self, batch: Sequence[_Asked], taken: Mapping[str, TakenEvent] = NOTHING
    ) -> Sequence[TakenEvent | Exception]:
        """What becomes of each event; `taken` are those of which it is known that they are repeats."""
        try:
            outcomes, new, joined = in_transaction(self._client, lambda tx: self._record(batch, taken, tx))
        except SessionExists:  # the same rows have come another way this moment
            return self._take_all(batch, taken)
        except EventIdReused:  # there are more; they are rare, so they are not asked for beforehand
            known = self._events.find_all({asked.id for asked in batch})
            if known.keys() == taken.keys():
                raise
            return self._take_all(batch, known)
        self._jobs.announce(*new)
        self._jobs.show(*joined)
        return outcomes

    def _record(
        self, batch: Sequence[_Asked], taken: Mapping[str, TakenEvent], tx: ClientSession
    ) -> tuple[list[TakenEvent | Exception], tuple[Job, ...], tuple[Job, ...]]:
        """What becomes of each event, the jobs that are new, and those that took a session along.

        Raises
        ------
        EventIdReused
            There are more repeats in the batch than the `taken` ones.
        SessionExists
            A session that was prepared has come another way meanwhile.
        """
        fresh = {asked.id: asked for asked in reversed(batch) if asked.id not in taken}
        wishes, refused = self._checked(tuple(fresh.values()), tx)
        jobs, new, joined = self._automatic.record(tuple(wishes.values()), tx=tx)
        added = {
            event_id: _taken(fresh[event_id], wish.session, learning)
            for (event_id, wish), learning in zip(wishes.items(), jobs, strict=True)
        }
        self._events.add(added.values(), tx=tx)
        # a repeat is one also when what it names has been removed since
        repeated = self._events.find_all(refused, tx=tx) if refused else {}
        known = {**taken, **added, **repeated}
        outcomes = [
            _outcome(known[asked.id], asked) if asked.id in known else refused[asked.id] for asked in batch
        ]
        return outcomes, new, joined

    def _checked(
        self, batch: Sequence[_Asked], tx: ClientSession
    ) -> tuple[dict[str, Wish], dict[str, LapwiseError]]:
        """What the events ask for, and why some cannot have it, each by event id."""
        if not batch:
            return {}, {}
        events = [asked.event for asked in batch]
        emails = [normalised(event.user_email) for event in events if event.user_email]
        users = self._users.ids_of([event.user_id for event in events if event.user_id], emails, tx=tx)
        sessions = self._session_store.find_of_any(
            set(users.values()), {event.session_id for event in events if event.session_id}, tx=tx
        )
        wishes: dict[str, Wish] = {}
        refused: dict[str, LapwiseError] = {}
        for asked in batch:
            try:
                draft = asked.draft
                if draft and not draft.is_known and asked.event.driver in users:
                    sessions[draft.session.id] = self._sessions.record(draft, tx=tx)
                wishes[asked.id] = _wish(asked, users, sessions)
            except SessionExists:
                raise
            except LapwiseError as exc:
                refused[asked.id] = exc
        return wishes, refused


def _wish(asked: _Asked, users: Mapping[str, str], sessions: Mapping[str, Session]) -> Wish:
    event = asked.event
    user_id, session = users.get(event.driver), sessions.get(event.session_id or "")
    if user_id is None:
        raise UserNotFound
    if session is None or session.user_id != user_id:
        raise SessionNotFound(sessionIds=[event.session_id])
    if session.track_name != event.track_name:
        raise Invalid(trackName=[f"the session was driven on {session.track_name!r}"])
    _check_setup(event.model_types, session.setup)
    return Wish(session=session, model_types=event.model_types, request_ids=asked.request_ids)


def _check_setup(model_types: tuple[ModelType, ...] | None, setup: Mapping[str, float]) -> None:
    if ModelType.SETUP_OPTIMIZATION in (model_types or ()) and not parameters_of(setup):
        raise SetupMissing("the session has no setup to learn from", modelTypes=["the session has no setup"])


def _taken(asked: _Asked, session: Session, jobs: tuple[Job, ...]) -> TakenEvent:
    return TakenEvent(
        id=asked.id,
        user_id=session.user_id,
        digest=asked.digest,
        session=session,
        jobs=jobs,
        created_at=utc_now(),
    )


def _outcome(known: TakenEvent, asked: _Asked) -> TakenEvent | Exception:
    return known if known.digest == asked.digest else EventIdReused()


def _same(known: TakenEvent, asked: _Asked) -> TakenEvent:
    outcome = _outcome(known, asked)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _digest(event: SessionEvent) -> str:
    return hashlib.sha256(json.dumps(vars(event), sort_keys=True).encode()).hexdigest()
