"""What a comparison says: the same laps for all versions, verdicts, and what they must not be taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.domain import Version
from learning.compare import MIN_LAPS, Pair, Verdict, compare
from learning.laps import Floats, SessionLaps
from learning.model import OnLap, RacingModel, Report
from learning.scores import Score

LAPS_SHOWN = 500  # of the differences lap by lap, so that a job stays small
_SEED = 0  # the same laps always give the same verdict
WARNINGS = {
    "learned": "sessions that one of the versions has learned were left out of the verdicts, for there it "
    "looks better than it is",
    "sessions_learned": "no verdict: each session was learned by one of the versions, which there looks "
    "better than it is; give sessions that none of them has learned",
    "too_few_laps": f"no verdict: fewer than {MIN_LAPS} laps that all versions could predict",
    "unbounded": "so few independent laps cannot give an interval at this level",
}


@dataclass(frozen=True, kw_only=True)
class ScoredLap:
    """A lap and by how much a model's mid-lap prediction missed it, in seconds; None for no prediction."""

    number: int
    lap_time: float
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A version on some sessions: `laps` by session id, `unusable` with the reason by session id."""

    version: Version
    report: Report
    laps: Mapping[str, Sequence[ScoredLap]]
    unusable: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Common:
    """The laps that all versions could predict: by session, with errors of shape (laps, versions)."""

    session_id: str
    laps: tuple[ScoredLap, ...]
    errors: Floats
    left_out: int


def scored(
    model: RacingModel[Any], session: SessionLaps, *, on_lap: OnLap | None = None
) -> tuple[list[ScoredLap], Report]:
    """A model on the laps of a session, without learning them.

    Raises
    ------
    NothingToLearn
        No lap fits.
    """
    score, laps = Score(model.part), []
    for lap, test in model.test_session(session, on_lap=on_lap):
        score.add(test)
        error = None if test is None else abs(test.truth - test.predicted)
        laps.append(ScoredLap(number=lap.number, lap_time=lap.lap_time or 0.0, error=error))
    return laps, score.report()


def comparison(measured: Sequence[Measured], *, level: float) -> dict[str, Any]:
    """The result of a comparison, in the words of the API.

    Verdicts are of sessions that none of the versions has learned. Where there is none, the differences are
    of all sessions, and the verdicts are withheld.
    """
    learned = {one for side in measured for one in side.version.training_session_ids}
    session_ids = list(measured[0].laps)
    fresh = [session_id for session_id in session_ids if session_id not in learned]
    judged = [_common(measured, session_id) for session_id in fresh or session_ids]
    laps = sum(len(one.laps) for one in judged)
    pairs = compare([one.errors for one in judged], level=level, seed=_SEED) if laps else ()
    withheld = "too_few_laps" if laps < MIN_LAPS else None if fresh else "sessions_learned"
    ids = [side.version.id for side in measured]
    return {
        "level": level,
        "models": [_model(side, index, judged, session_ids) for index, side in enumerate(measured)],
        "judgedOn": {
            "sessionIds": [one.session_id for one in judged],
            "learned": not fresh,
            "laps": laps,
            "lapsLeftOut": sum(one.left_out for one in judged),
        },
        "pairs": [_pair(pair, ids, withheld) for pair in pairs],
        "verdict": str(pairs[0].verdict) if len(pairs) == 1 and not withheld else None,
        "withheld": withheld,
        **_ranked(pairs, ids, withheld),
        "warnings": _warnings(pairs, withheld, excluded=bool(fresh) and len(fresh) < len(session_ids)),
        "laps": _rows(judged)[:LAPS_SHOWN],
        "lapsNotShown": max(0, laps - LAPS_SHOWN),
        "unusableSessions": dict(measured[0].unusable),
    }


def _common(measured: Sequence[Measured], session_id: str) -> _Common:
    """All versions are of one type, so the laps that fit them are the same, in the same order."""
    rows = list(zip(*(side.laps[session_id] for side in measured), strict=True))
    predicted = [row for row in rows if all(lap.error is not None for lap in row)]
    errors = np.array([[lap.error for lap in row] for row in predicted], dtype=float)
    return _Common(
        session_id=session_id,
        laps=tuple(row[0] for row in predicted),
        errors=errors.reshape(len(predicted), len(measured)),
        left_out=len(rows) - len(predicted),
    )


def _model(
    side: Measured, index: int, judged: Sequence[_Common], session_ids: Sequence[str]
) -> dict[str, Any]:
    errors = np.concatenate([one.errors[:, index] for one in judged])
    known = set(side.version.training_session_ids)
    return {
        "modelId": side.version.id,
        "modelVersion": side.version.model_version,
        "algorithm": side.version.algorithm,
        "mae": float(errors.mean()) if len(errors) else None,
        "metrics": side.report.as_dict(),
        "learnedSessionIds": [session_id for session_id in session_ids if session_id in known],
    }


def _pair(pair: Pair, ids: Sequence[str], withheld: str | None) -> dict[str, Any]:
    found = pair.difference
    return {
        "a": ids[pair.a],
        "b": ids[pair.b],
        "verdict": None if withheld else str(pair.verdict),
        "meanDifference": found.mean,
        "interval": {"lower": found.lower, "upper": found.upper, "level": found.level},
        "p": found.p,
        "pAdjusted": pair.p_adjusted,
    }


def _ranked(pairs: Sequence[Pair], ids: Sequence[str], withheld: str | None) -> dict[str, Any]:
    """`best` is better than every other; `notBeaten` are those that no other is better than."""
    if withheld:
        return {"best": None, "notBeaten": []}
    decided = [pair for pair in pairs if pair.verdict is not Verdict.NO_DIFFERENCE]
    better = [(pair.a, pair.b) if pair.verdict is Verdict.A_BETTER else (pair.b, pair.a) for pair in decided]
    wins = [sum(winner == index for winner, _ in better) for index in range(len(ids))]
    beaten = {loser for _, loser in better}
    best = next((ids[index] for index, count in enumerate(wins) if count == len(ids) - 1), None)
    return {"best": best, "notBeaten": [one for index, one in enumerate(ids) if index not in beaten]}


def _warnings(pairs: Sequence[Pair], withheld: str | None, *, excluded: bool) -> list[str]:
    unbounded = any(pair.difference.lower is None for pair in pairs)
    given = (withheld, "learned" if excluded else None, "unbounded" if unbounded else None)
    return [WARNINGS[name] for name in given if name]


def _rows(judged: Sequence[_Common]) -> list[dict[str, Any]]:
    return [
        {
            "sessionId": one.session_id,
            "lap": lap.number,
            "lapTime": lap.lap_time,
            "errors": [round(float(error), 6) for error in errors],
        }
        for one in judged
        for lap, errors in zip(one.laps, one.errors, strict=True)
    ]
