"""Pages to train a model by hand, to compare two versions, and to bring a model in from a file."""

from collections.abc import Sequence

from flask import g, render_template, request

from app.api.context import services
from app.domain import ModelType, Session, Version, key_of
from app.errors import ModelNotFound
from app.web.blueprint import page
from app.web.differences import side_by_side
from app.web.records import own_version
from app.web.words import lap_time

SESSIONS_OFFERED = 200  # the newest of the track
VERSIONS_OFFERED = 100  # the newest of the lineage


@page("/train/<path:track>")
def train(track: str) -> str:
    """Trains from scratch; at first the form has the type, algorithm and values of the version `from`."""
    pattern = _asked("from")
    known = services().models.algorithms()
    model_type = pattern.model_type if pattern else _asked_type()
    return render_template(
        "pages/train.html",
        track=track,
        sessions=_sessions(track),
        most=SESSIONS_OFFERED,
        algorithms={kind: [one for one in known if one.model_type == kind] for kind in ModelType},
        model_type=model_type,
        algorithm=pattern.algorithm if pattern else None,
        values=pattern.model_metadata["hyperparameters"] if pattern else {},
        said=_said,
    )


@page("/compare")
def compare() -> str:
    """Two versions of a lineage, `a` and `b`; without `a` the parent of `b`, else its neighbour."""
    b = own_version(request.args.get("b") or "")
    newest = services().models.page(g.user.id, b.track_name, b.model_type, limit=VERSIONS_OFFERED).items
    a = _asked("a") or _neighbour(b, newest)
    if a and key_of(a) != key_of(b):
        raise ModelNotFound("Only versions of one track and type can be compared.")
    pair = [a, b] if a else [b]
    sessions = _sessions(b.track_name)
    known = _learned_by(pair, sessions)
    return render_template(
        "pages/compare.html",
        a=a,
        b=b,
        offered=[*newest, *(one for one in pair if one not in newest)],
        rows=side_by_side(a, b) if a else (),
        sessions=sessions,
        most=SESSIONS_OFFERED,
        marks=known,
        new=[session.id for session in sessions if session.id not in known],
        said=_said,
    )


@page("/import")
def bring_in() -> str:
    return render_template("pages/import.html", most_bytes=services().settings.max_upload_bytes)


def _asked(name: str) -> Version | None:
    id = request.args.get(name)
    return own_version(id) if id else None


def _asked_type() -> ModelType:
    asked = request.args.get("type")
    return ModelType(asked) if asked in list(ModelType) else ModelType.LAP_TIME_PREDICTION


def _neighbour(version: Version, offered: Sequence[Version]) -> Version | None:
    others = [one for one in offered if one.id != version.id]
    parent = next((one for one in others if one.id == version.parent_id), None)
    return parent or (others[0] if others else None)


def _learned_by(pair: Sequence[Version], sessions: Sequence[Session]) -> dict[str, str]:
    """By whom the sessions were learned, in words, of those that were."""
    numbers = {
        session.id: [one.model_version for one in pair if session.id in one.training_session_ids]
        for session in sessions
    }
    return {id: f"learned by {' and '.join(told)}" for id, told in numbers.items() if told}


def _sessions(track: str) -> list[Session]:
    """The track's newest sessions that have a lap to learn, newest first."""
    found = services().sessions.page(g.user.id, track, limit=SESSIONS_OFFERED).items
    return [session for session in found if session.valid_laps_count]


def _said(session: Session) -> str:
    """A session in one line."""
    laps = f"{session.valid_laps_count} {'lap' if session.valid_laps_count == 1 else 'laps'}"
    car = f"{session.car_model} · " if session.car_model else ""
    return f"{car}{laps} · best {lap_time(session.best_lap_time)}"
