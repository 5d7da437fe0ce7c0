"""Taking in sessions: read, checked and stored as one, with the jobs that learn them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from pymongo.client_session import ClientSession

from app.domain import Job, LapSummary, NewSession, Page, Session, SessionTimes, TrackSummary, new_id, utc_now
from app.errors import Invalid, LapNotFound, SessionExists, TraceNotFound
from app.mongo import Client, in_transaction
from app.services.admission import Admission
from app.services.jobs import Jobs
from app.services.training import Training
from app.stores.accounts import Users
from app.stores.changes import Changes, Remembered
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning import laps as lap_files
from learning.laps import Floats, Lap, SessionLaps
from learning.telemetry import Limits, Recording, read_session

DECIMALS, DECIMALS_OF_DEGREES = 5, 7  # a degree's fifth is a metre
TRACES_KEPT, TRACES_SECONDS = 16, 30.0  # pairs of laps, about 1 MB each: a page asks, then its charts do
STEPPED = ("gear", "sector_index", "in_pit", "lap_valid", "tyre_life")  # channels that jump, not flow
Trace = dict[str, Any]
Added = tuple[Session, tuple[Job, ...]]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A session that was read; `is_known` says that the same bytes had made it before."""

    session: Session
    laps: tuple[LapSummary, ...] = ()
    is_known: bool = False


class Sessions:
    """Use cases of racing sessions."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        job_store: JobStore,
        jobs: Jobs,
        training: Training,
        admission: Admission,
        limits: Limits,
        changes: Changes,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._job_store = job_store
        self._jobs = jobs
        self._training = training
        self._admission = admission
        self._limits = limits
        self._traces: Remembered[list[Trace]] = Remembered(changes, seconds=TRACES_SECONDS, most=TRACES_KEPT)
        self._reading = Lock()  # one at a time in a process: memory for a large file, not for many

    def add(self, user_id: str, new: NewSession, auto_train: bool) -> Added:
        """The session and the jobs that learn it; of bytes that came before, the session they made.

        Once this returns, both are durable. Track and car are the file's where the upload does not name them.

        Raises
        ------
        Invalid
            Neither the upload nor the file names the track.
        TooMuchWaiting, Overloaded
        learning.errors.LearningError
            The file is not usable telemetry; nothing is stored.
        """
        draft = self.prepare(user_id, new, auto_train)
        if draft.is_known:
            return self._again(draft.session, auto_train)
        try:
            jobs = in_transaction(self._client, lambda tx: self._record(draft, auto_train, tx))
        except SessionExists:
            self.discard(draft)
            known = replace(new, track_name=draft.session.track_name, driver=draft.session.driver)
            return self.add(user_id, known, auto_train)
        self._jobs.show(*jobs)  # one that waits may have taken the session along
        self._jobs.announce(*jobs)
        return draft.session, jobs

    def prepare(self, user_id: str, new: NewSession, auto_train: bool = False) -> Draft:
        """The session of a file, its files written and nothing recorded: `record` it, or `discard` it.

        Raises
        ------
        Invalid, learning.errors.LearningError
            As `add` does.
        """
        digest = _sha256(new.path)
        same = new.track_name and self._sessions.find_same(user_id, new.track_name, digest, new.driver)
        if same:
            return Draft(session=same, is_known=True)
        if auto_train:
            self._admission.check_jobs(user_id)
        with self._admission.reading(), self._reading:
            recording = read_session(
                new.path, limits=self._limits, car_model=new.car_model, setup=new.setup, driver=new.driver
            )
        track_name = new.track_name or recording.track_name
        if track_name is None:
            raise Invalid(trackName=["Missing: the file does not name its track."])
        new = replace(new, track_name=track_name, driver=recording.driver)
        session = _session(user_id, new, track_name, digest, recording)
        self._sessions.write_files(session, new.path, lap_files.encode(recording.session))
        return Draft(session=session, laps=tuple(_summary(lap) for lap in recording.session.laps))

    def record(self, draft: Draft, *, tx: ClientSession) -> Session:
        """Adds a prepared session, unless the same is there by now; the one that is there.

        Raises
        ------
        SessionExists
            It came this moment; in another transaction it can be seen.
        Unauthorized
            The account is gone.
        """
        new = draft.session
        same = self._sessions.find_same(new.user_id, new.track_name, new.sha256, new.driver, tx=tx)
        if same:
            return same
        self._users.hold(new.user_id, tx=tx)
        self._sessions.add(new, draft.laps, tx=tx)
        return new

    def discard(self, draft: Draft) -> None:
        """Removes the files of a session that was prepared and not recorded."""
        if not draft.is_known:
            self._sessions.remove_files(draft.session.id)

    def page(
        self, user_id: str, track_name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Session]:
        return self._sessions.page(user_id, track_name, limit, cursor)

    def tracks(self, user_id: str) -> tuple[TrackSummary, ...]:
        """The driver's tracks, the one driven last first."""
        return self._sessions.tracks(user_id)

    def lap_times(self, user_id: str, track_name: str, *, limit: int = 20) -> tuple[SessionTimes, ...]:
        """The times of the laps that count, of a track's newest sessions, oldest first."""
        return self._sessions.lap_times(user_id, track_name, limit)

    def learn(self, user_id: str, session_id: str) -> Added:
        """A session with the jobs that learn it, as an upload with `autoTrain` has; repeated, the same."""
        return self._again(self._sessions.get(user_id, session_id), auto_train=True)

    def get(self, user_id: str, session_id: str) -> Session:
        return self._sessions.get(user_id, session_id)

    def remove(self, user_id: str, session_id: str) -> None:
        """Removes a session; versions that learned it keep what they learned."""
        self._sessions.remove(user_id, session_id)

    def laps(self, user_id: str, session_id: str) -> tuple[LapSummary, ...]:
        return self._sessions.laps(user_id, session_id)

    def trace(self, user_id: str, session_id: str, lap_number: int, points: int) -> Trace:
        """A lap's channels at `points` evenly spaced places of the lap; None where there was no value.

        Returns
        -------
        dict
            `lap`, `lapTime` in s, `position` (points,) 0..1 and `channels` by name, each (points,).

        Raises
        ------
        LapNotFound, TraceNotFound
        """
        (trace,) = self._read_traces(self._sessions.get(user_id, session_id), [lap_number], points)
        return trace

    def traces(self, user_id: str, session_id: str, lap_numbers: Sequence[int], points: int) -> list[Trace]:
        """As `trace`, of several laps, which are read once, also for who asks this process again soon."""
        session = self._sessions.get(user_id, session_id)  # it may be gone, or another driver's
        return self._traces.get(
            (session_id, *lap_numbers, points),
            lambda: self._read_traces(session, lap_numbers, points),
            lambda _: (user_id,),
        )

    def _read_traces(self, session: Session, lap_numbers: Sequence[int], points: int) -> list[Trace]:
        laps = {lap.number: lap for lap in self._sessions.decoded_laps(session).laps}
        return [_trace(laps.get(number), points) for number in lap_numbers]

    def _record(self, draft: Draft, auto_train: bool, tx: ClientSession) -> tuple[Job, ...]:
        self._users.hold(draft.session.user_id, tx=tx)
        self._sessions.add(draft.session, draft.laps, tx=tx)
        return self._record_jobs(draft.session, tx) if auto_train else ()

    def _record_jobs(self, session: Session, tx: ClientSession) -> tuple[Job, ...]:
        self._users.hold(session.user_id, tx=tx)
        return self._training.record_automatic(session, tx=tx)

    def _again(self, session: Session, auto_train: bool) -> Added:
        jobs = self._job_store.automatic_for(session.user_id, session.id)
        if not jobs and auto_train:
            self._admission.check_jobs(session.user_id)
            jobs = in_transaction(self._client, lambda tx: self._record_jobs(session, tx))
            self._jobs.show(*jobs)
            self._jobs.announce(*jobs)
        return session, jobs


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _session(user_id: str, new: NewSession, track_name: str, digest: str, recording: Recording) -> Session:
    laps: SessionLaps = recording.session
    times = [lap.lap_time for lap in laps.valid_laps if lap.lap_time is not None]
    now = utc_now()
    return Session(
        id=new_id(),
        user_id=user_id,
        track_name=track_name,
        session_name=new.session_name or f"{track_name} {now:%Y-%m-%d %H:%M}",
        car_model=laps.car_model,
        driver=recording.driver,
        setup=dict(new.setup),
        format=recording.format,
        size=new.path.stat().st_size,
        sha256=digest,
        laps_count=len(laps.laps),
        valid_laps_count=len(times),
        best_lap_time=min(times, default=None),
        created_at=now,
    )


def _summary(lap: Lap) -> LapSummary:
    compound = lap.context.get("compound")
    tyre_life, wetness = lap.context.get("tyre_life"), lap.context.get("wetness")
    return LapSummary(
        lap=lap.number,
        lap_time=lap.lap_time,
        sector_times=lap.sector_times,
        valid=lap.valid,
        reason=lap.reason,
        outing=lap.outing,
        compound=compound if isinstance(compound, str) else None,
        tyre_life=tyre_life if isinstance(tyre_life, float) else None,
        wetness=wetness if isinstance(wetness, float) else None,
    )


def _trace(lap: Lap | None, points: int) -> Trace:
    if lap is None:
        raise LapNotFound
    if not len(lap.position):
        raise TraceNotFound
    shares = np.linspace(0.0, 1.0, points)
    channels = {"current_lap_time": _rounded(lap.elapsed(shares))}
    for name in lap.channels:
        decimals = DECIMALS_OF_DEGREES if name in ("latitude", "longitude") else DECIMALS
        channels[name] = _rounded(_resampled(lap, name, shares), decimals)
    return {
        "lap": lap.number,
        "lapTime": lap.lap_time,
        "position": _rounded(shares),
        "channels": channels,
    }


def _resampled(lap: Lap, name: str, shares: Floats) -> Floats:
    """A channel at shares of the lap: steps where it has steps, and to the end where the lap has one."""
    known = ~np.isnan(lap.channels[name])
    position, values = lap.position[known], lap.channels[name][known]
    if not len(values):
        return np.full(len(shares), np.nan)
    if name in STEPPED:
        resampled = values[np.maximum(np.searchsorted(position, shares, side="right") - 1, 0)].astype(float)
    else:
        resampled = np.interp(shares, position, values)
    beyond = (shares < position[0]) | ((shares > position[-1]) & (lap.lap_time is None))
    return np.where(beyond, np.nan, resampled)


def _rounded(values: Any, decimals: int = DECIMALS) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), decimals) for value in values]
