"""Analyses of laps: one lap explained against another of the same driver and track."""

from dataclasses import dataclass

from app.domain import LapSummary, Session
from app.errors import Invalid, LapNotFound, ReferenceNotFound
from app.stores.sessions import SessionStore
from learning.explain import Explanation, explain
from learning.laps import Lap
from learning.moments import is_wet


@dataclass(frozen=True, kw_only=True)
class ReferenceQuery:
    """Which lap to compare with: that one, the session's best, or what fits best of all driven so far."""

    session_id: str | None = None
    lap: int | None = None


@dataclass(frozen=True, kw_only=True)
class LapAnalysis:
    """A lap of one session explained against a lap of the same or another."""

    session: Session
    lap: int
    reference_session: Session
    reference_lap: int
    explanation: Explanation


class Analyses:
    """Use cases of comparing laps."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    def explain(self, user_id: str, session_id: str, lap_number: int, query: ReferenceQuery) -> LapAnalysis:
        """The lap against its reference.

        Raises
        ------
        SessionNotFound, LapNotFound
            Of the lap or of the reference that was named.
        ReferenceNotFound
            None was named, and no other lap was driven with the same car in the same conditions.
        Invalid
            The laps cannot be compared; the details name the one to blame.
        """
        session = self._sessions.get(user_id, session_id)
        summary = self._summary(session, lap_number)
        if summary.lap_time is None:
            raise Invalid(
                lap=[f"Lap {lap_number} was not timed ({summary.reason}), so nothing can be compared."]
            )
        reference_session, reference_number = self._reference(session, summary, query)
        return LapAnalysis(
            session=session,
            lap=lap_number,
            reference_session=reference_session,
            reference_lap=reference_number,
            explanation=explain(
                self._lap(session, lap_number), self._lap(reference_session, reference_number)
            ),
        )

    def _reference(self, session: Session, lap: LapSummary, query: ReferenceQuery) -> tuple[Session, int]:
        if query.session_id is None and query.lap is None:
            return self._fastest_like(session, lap)
        named = session
        if query.session_id is not None:
            named = self._sessions.get(session.user_id, query.session_id)
        if named.track_name != session.track_name:
            raise Invalid(referenceSessionId=[f"It was driven on another track, {named.track_name}."])
        if query.lap is None:
            return self._fastest(named, without=lap.lap if named.id == session.id else None)
        if self._summary(named, query.lap).lap_time is None:
            raise Invalid(referenceLap=[f"Lap {query.lap} was not timed, so nothing can be compared."])
        return named, query.lap

    def _fastest_like(self, session: Session, lap: LapSummary) -> tuple[Session, int]:
        """The driver's best lap with that car, on a track as dry or wet, in that session or before it."""
        for session_id, other in self._sessions.fastest_laps(session):
            if (session_id, other.lap) != (session.id, lap.lap) and _is_wet(other) == _is_wet(lap):
                return self._sessions.get(session.user_id, session_id), other.lap
        raise ReferenceNotFound

    def _fastest(self, session: Session, *, without: int | None) -> tuple[Session, int]:
        laps = [lap.lap for _, lap in self._sessions.fastest_laps(session, alone=True) if lap.lap != without]
        if not laps:
            raise ReferenceNotFound
        return session, laps[0]

    def _summary(self, session: Session, lap_number: int) -> LapSummary:
        laps = self._sessions.laps(session.user_id, session.id)
        found = next((lap for lap in laps if lap.lap == lap_number), None)
        if found is None:
            raise LapNotFound
        return found

    def _lap(self, session: Session, lap_number: int) -> Lap:
        laps = self._sessions.decoded_laps(session).laps
        return next(lap for lap in laps if lap.number == lap_number)


def _is_wet(lap: LapSummary) -> bool:
    known = {"compound": lap.compound, "wetness": lap.wetness}
    return is_wet({name: value for name, value in known.items() if value is not None})
