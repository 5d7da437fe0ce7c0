"""How versions differ: what changed from one to the next, and two of them side by side, in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import Version
from app.web.words import gap, moment, percent, seconds, size

LEVEL = 0.9  # of the intervals whose coverage versions tell
MID_LAP = "50"
NORMAL_95 = 1.96  # standard errors on either side of a mean


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is new in a version against the one `before` it: its parent, or else the number before.

    `session_ids` and `laps` are what it learned itself, without what it grew from; `error` is the
    difference of the mean errors in seconds, below 0 the newer one errs less; `settings` are what the
    training was told otherwise, in words.
    """

    before: Version | None
    origin: str
    session_ids: tuple[str, ...]
    laps: int
    error: float | None
    settings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure of two versions; `better` is `a` or `b` where one is, `difference` is how b differs from a."""

    what: str
    a: Any
    b: Any
    difference: str = ""
    better: str = ""


def change_of(version: Version, before: Version | None) -> Change:
    """What is new in a version."""
    grown = before if before and before.id == version.parent_id else None
    known = set(grown.training_session_ids) if grown else set()
    return Change(
        before=before,
        origin=_origin(version),
        session_ids=tuple(one for one in version.training_session_ids if one not in known),
        laps=version.model_metadata["lapsLearned"] - (grown.model_metadata["lapsLearned"] if grown else 0),
        error=_less(version, before),
        settings=tuple(_settings(version, before)) if before else (),
    )


def error_interval(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """Where the mean error lies with 95 % certainty, were laps independent; None for too few laps.

    >>> error_interval({"mae": 0.3, "mse": 0.13, "scored": 64})
    (0.251, 0.349)
    """
    mae, mse, laps = metrics.get("mae"), metrics.get("mse"), metrics.get("scored", 0)
    if mae is None or mse is None or laps < 2:
        return None
    half = NORMAL_95 * math.sqrt(max(mse - mae**2, 0.0) / laps)
    return round(max(mae - half, 0.0), 6), round(mae + half, 6)


def coverage(version: Version) -> float | None:
    """The share of laps inside the 90 % interval: in mid-lap, where that is told, else over all parts."""
    parts = parts_of(version)
    chosen = [parts[MID_LAP]] if MID_LAP in parts else list(parts.values())
    laps = sum(part["laps"] for part in chosen)
    return sum(part["coverage"] * part["laps"] for part in chosen) / laps if laps else None


def parts_of(version: Version) -> Mapping[str, Mapping[str, Any]]:
    """How well each point of the lap, or each sector, was predicted."""
    metrics = version.model_metadata["performanceMetrics"]
    found: Mapping[str, Mapping[str, Any]] = metrics.get("positions") or metrics.get("sectors") or {}
    return found


def side_by_side(a: Version, b: Version) -> list[Row]:
    """The figures that both versions were made with."""
    return [*_errors(a, b), *_parts(a, b), *_learned(a, b), *_told(a, b)]


def _origin(version: Version) -> str:
    told = version.model_metadata
    if "importedFrom" in told:
        return f"imported; it was version {told['importedFrom']['modelVersion']}"
    if "retraining" in told:
        return "retrained after drift"
    if "rebuilt" in told:
        return f"trained again, for {told['rebuilt']['modelVersion']} could not be read"
    return "went on learning" if version.parent_id else "trained from scratch"


def _less(version: Version, before: Version | None) -> float | None:
    if before is None:
        return None
    new, old = version.model_metadata["mae"], before.model_metadata["mae"]
    return None if new is None or old is None else new - old


def _settings(version: Version, before: Version) -> Iterator[str]:
    if version.algorithm != before.algorithm:
        yield f"algorithm {version.algorithm}, was {before.algorithm}"
        return  # another algorithm has other hyperparameters
    new, old = (one.model_metadata["hyperparameters"] for one in (version, before))
    yield from (
        f"{name} {told(new[name])}, was {told(old.get(name))}" for name in new if new[name] != old.get(name)
    )


def told(value: Any) -> str:
    """A hyperparameter's value.

    >>> told(0.40), told(None), told({"rear_wing": [1.0, 9.0]}), told({})
    ('0.4', '–', 'rear_wing 1 to 9', '–')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in value.items()) or "–"
    if isinstance(value, int | float):
        return f"{value:g}"
    return "–" if value is None else str(value)


def _errors(a: Version, b: Version) -> Iterator[Row]:
    one, other = (version.model_metadata["performanceMetrics"] for version in (a, b))
    yield _smaller("Mean error", one["mae"], other["mae"])
    yield Row(what="… with 95 % certainty within", a=_within(one), b=_within(other))
    yield _smaller("Root mean square error", one["rmse"], other["rmse"])
    yield _share("Within 0.5 % of the lap", one["accuracy"], other["accuracy"], wanted=1.0)
    yield _share("Inside the 90 % interval", coverage(a), coverage(b), wanted=LEVEL)


def _parts(a: Version, b: Version) -> Iterator[Row]:
    one, other = parts_of(a), parts_of(b)
    what = (
        "Error in sector {}"
        if "sectors" in a.model_metadata["performanceMetrics"]
        else "Error at {} % of the lap"
    )
    if max(len(one), len(other)) < 2:
        return
    for name in sorted({*one, *other}, key=float):
        yield _smaller(what.format(name), one.get(name, {}).get("mae"), other.get(name, {}).get("mae"))


def _learned(a: Version, b: Version) -> Iterator[Row]:
    for what, name in (("Laps learned", "lapsLearned"), ("Sessions", "trainingSessionsCount")):
        one, other = a.model_metadata[name], b.model_metadata[name]
        yield Row(
            what=what,
            a=one,
            b=other,
            difference=f"{other - one:+d}".replace("-", "−") if one != other else "",
        )


def _told(a: Version, b: Version) -> Iterator[Row]:
    one, other = (version.model_metadata["hyperparameters"] for version in (a, b))
    yield _same("Algorithm", a.algorithm.replace("_", " "), b.algorithm.replace("_", " "))
    for name in dict.fromkeys((*one, *other)):
        yield _same(name.replace("_", " "), told(one.get(name)), told(other.get(name)))
    yield Row(what="Size", a=size(a.compressed_size), b=size(b.compressed_size))
    yield Row(what="Training took", a=_took(a), b=_took(b))
    yield Row(what="Made", a=moment(a.created_at), b=moment(b.created_at))


def _took(version: Version) -> str:
    return f"{version.training_duration:.1f} s"


def _within(metrics: Mapping[str, Any]) -> str:
    found = error_interval(metrics)
    return f"{found[0]:.3f} to {found[1]:.3f} s" if found else "–"


def _smaller(what: str, a: float | None, b: float | None) -> Row:
    """An error, of which the smaller is better."""
    if a is None or b is None:
        return Row(what=what, a=seconds(a), b=seconds(b))
    better = "" if round(a, 3) == round(b, 3) else "a" if a < b else "b"
    return Row(
        what=what, a=seconds(a), b=seconds(b), difference=f"{gap(b - a)} s" if better else "", better=better
    )


def _share(what: str, a: float | None, b: float | None, *, wanted: float) -> Row:
    """A share, of which the one closer to what is wanted is better."""
    if a is None or b is None:
        return Row(what=what, a=percent(a), b=percent(b))
    off = abs(round(a, 2) - wanted), abs(round(b, 2) - wanted)
    better = "" if math.isclose(*off) else "a" if off[0] < off[1] else "b"
    points = round(100 * b) - round(100 * a)
    difference = f"{points:+d} points".replace("-", "−") if points else ""
    return Row(what=what, a=percent(a), b=percent(b), difference=difference, better=better)


def _same(what: str, a: str, b: str) -> Row:
    return Row(what=what, a=a, b=b, difference="" if a == b else "differs")


def before_each(newest_first: Sequence[Version], parents: dict[str, Version]) -> list[Change]:
    """What is new in each version of a list, newest first; `parents` are those that are not in it, by id."""
    by_id = {version.id: version for version in newest_first} | parents
    next_older: list[Version | None] = [*newest_first[1:], None]
    return [
        change_of(version, by_id.get(version.parent_id or "") or older)
        for version, older in zip(newest_first, next_older, strict=True)
    ]
