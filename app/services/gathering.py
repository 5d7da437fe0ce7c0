"""Gathers from a car's frames, one by one, what a lap-time model asks of a lap and of the laps before it."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learning.laps import SPLITS
from learning.telemetry.cutting import CLOCK_TOLERANCE, CONTEXT, LONGEST, POSITION_JITTER, SHORTEST
from learning.telemetry.line import CLOCK_JITTER, END, START, WRAP

RECENT_LAPS = 40  # as many as the models listen to
GAP = 1 / SPLITS  # of a lap; what was passed in a longer one is not known
LAST_MARK = (SPLITS - 1) / SPLITS
HELD_AT_BEGIN = (*CONTEXT, "compound")

Frame = Mapping[str, Any]  # canonical channels and input fields, see `app.services.frames`


@dataclass
class _Lap:
    """A lap being driven, as far as its frames came.

    `whole` says that it was followed from the line without a gap. While `stale` is set the clock still shows
    the lap before, which ended at that time. `zero` is what the session's clock showed at the line. At
    `timed_at` the lap's clock was last seen running.
    """

    began: Frame
    whole: bool
    stale: float | None = None
    zero: float | None = None
    position: float = 0.0
    time: float | None = 0.0
    timed_at: float = 0.0
    speed: float | None = None
    splits: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    in_pit: bool = False
    cut: bool = False
    session_time: float | None = None
    counter: float | None = None

    def spoil(self) -> None:
        """From here on nothing is known of what was passed."""
        self.whole = False
        self.splits, self.speeds = [], []

    def clock(self, x: Frame, position: float) -> float | None:
        """Seconds since this lap began; recorders reset their clock some frames before or after the line."""
        now = _number(x, "current_lap_time")
        if now is None:
            session = _number(x, "session_time")
            return None if session is None or self.zero is None else session - self.zero
        if self.stale is not None and now < self.stale - CLOCK_JITTER:
            self.stale = None
        if self.stale is not None and position <= START:
            return None
        if position >= END and self.time is not None:
            return max(now, self.time)
        return now

    def add(self, x: Frame, position: float) -> None:
        """The next frame, at a position that does not lie before the last."""
        now, speed = self.clock(x, position), _number(x, "speed")
        if position - self.position > GAP or (position > START and now is None):
            self.spoil()
        elif now is not None and self.time is not None:
            now = max(now, self.time)
        if now is not None and (self.time is None or now > self.time):
            self.timed_at = position
        if self.whole:
            self._pass_marks(position, now, speed)
        self.position, self.time, self.speed = position, now, speed
        self.in_pit = (_number(x, "in_pit") or 0) > 0
        self.cut = self.cut or (position >= START and x.get("lap_valid") == 0)
        self.session_time, self.counter = _number(x, "session_time"), _number(x, "lap")

    def _pass_marks(self, position: float, now: float | None, speed: float | None) -> None:
        for mark in range(len(self.splits) + 1, min(int(position * SPLITS + 1e-9), SPLITS - 1) + 1):
            if now is None or self.time is None:
                return self.spoil()
            share = (mark / SPLITS - self.position) / (position - self.position)
            split = self.time + share * (now - self.time)
            if split <= (self.splits[-1] if self.splits else 0.0):
                return self.spoil()  # the car moved and its clock did not
            self.splits.append(split)
            if speed is not None and self.speed is not None and len(self.speeds) == mark:
                self.speeds.append(self.speed + share * (speed - self.speed))

    def lap_time(self) -> float | None:
        """Of a lap that was followed to the line, at the pace of its last stretch."""
        if not self.whole or self.position < END or self.time is None or self.timed_at <= LAST_MARK:
            return None
        pace = (self.time - self.splits[-1]) / (self.timed_at - LAST_MARK)
        lap_time = self.time + (1 - self.timed_at) * pace
        return lap_time if SHORTEST <= lap_time <= LONGEST else None


class Gatherer:
    """What one car has driven, as far as its next prediction depends on it.

    Frames must have passed the model's own check, so that their numbers are in range.

    Laps are cut, judged and put into outings as in an uploaded session (`learning.telemetry`), but with the
    frames up to now alone.

    Attributes
    ----------
    laps
        How many laps were begun, the present one among them.
    last_lap
        The time of the last lap that was timed, in seconds; the official one as soon as it is shown.
    """

    def __init__(self) -> None:
        self.laps = 0
        self.last_lap: float | None = None
        self._lap: _Lap | None = None
        self._recent: deque[float] = deque(maxlen=RECENT_LAPS)
        self._outing_lap: int | None = None
        self._is_timed = False  # whether this outing has a timed lap
        self._shown: float | None = None  # the lap time that the frames show as the last one
        self._awaits_official = False

    @property
    def _last_is_timed(self) -> bool:
        return self.last_lap is not None or self._awaits_official

    @property
    def is_whole(self) -> bool:
        """Whether the present lap was followed from the line."""
        return self._lap is not None and self._lap.whole

    def update(self, x: Frame) -> dict[str, Any]:
        """The frame with what was gathered; what the frame says itself of that counts more."""
        position = _number(x, "track_position")
        if position is None:
            return dict(x)
        lap, position = self._on_lap(x, position)
        lap.add(x, position)
        self._heed_official(x)
        return self._gathered(lap) | _without_clock(x) | self._known(lap)

    def _on_lap(self, x: Frame, position: float) -> tuple[_Lap, float]:
        """The lap that a frame belongs to, and where on it the car is."""
        lap = self._lap
        if lap is None:
            return self._begin(x, position, None), position
        fell = lap.position - position
        if fell < -WRAP and lap.position <= START:
            return lap, lap.position  # back and forth over the line
        if fell > WRAP or (fell > POSITION_JITTER and position <= START) or _is_reset(lap, x, position):
            self._end(lap)
            return self._begin(x, position, lap), position
        if fell > POSITION_JITTER:
            lap.spoil()
            return lap, position
        return lap, max(position, lap.position)

    def _begin(self, x: Frame, position: float, before: _Lap | None) -> _Lap:
        self._count_in_outing(x, before)
        self.laps += 1
        speed, clock = _number(x, "speed"), _number(x, "current_lap_time")
        ended = before.time if before else None
        lap = self._lap = _Lap(
            began=x,
            whole=position <= START,
            stale=ended if clock is not None and ended is not None and clock >= ended else None,
            zero=_session_time_at_line(x, position, before),
            position=0.0 if position <= START else position,
            time=0.0 if position <= START else clock,
            speed=speed,
            speeds=[] if speed is None or position > START else [speed],
        )
        return lap

    def _count_in_outing(self, x: Frame, before: _Lap | None) -> None:
        if before is None:
            begins = (_number(x, "in_pit") or 0) > 0 or (_number(x, "lap") or 0) <= 1
            self._outing_lap = 0 if begins else None
        elif self._is_timed and _leaves_pits(x, before, timed=self._last_is_timed):
            self._outing_lap, self._is_timed = 0, False
            self._recent.clear()
            self._awaits_official = False
        elif self._outing_lap is not None:
            self._outing_lap += 1

    def _end(self, lap: _Lap) -> None:
        """Takes the lap's time down, if it is one to go by; an official one may follow."""
        in_or_out = lap.in_pit or (_number(lap.began, "in_pit") or 0) > 0
        lap_time = self.last_lap = lap.lap_time()
        self._awaits_official = lap.position >= END and not in_or_out and not lap.cut
        self._is_timed = self._is_timed or lap_time is not None
        if self._awaits_official and lap_time is not None:
            self._recent.append(lap_time)

    def _heed_official(self, x: Frame) -> None:
        """Puts the official time of the lap before, as soon as it is shown, in the place of our own."""
        official, shown, own = _number(x, "last_lap_time"), self._shown, self.last_lap
        self._shown = official
        if official is None or official == shown or not self._awaits_official:
            return
        self._awaits_official = False
        if not SHORTEST <= official <= LONGEST or (own and abs(official - own) > CLOCK_TOLERANCE):
            return
        if own:
            self._recent.pop()
        self._recent.append(official)
        self.last_lap, self._is_timed = official, True

    def _gathered(self, lap: _Lap) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._recent:
            found["recent_laps"] = list(self._recent)
        if self._outing_lap is not None:
            found["outing_lap"] = self._outing_lap
        if lap.splits:
            found["splits"] = list(lap.splits)
        if lap.speeds and len(lap.speeds) == len(lap.splits) + 1:
            found["speeds"] = list(lap.speeds)
        return found

    @staticmethod
    def _known(lap: _Lap) -> dict[str, Any]:
        """Where and when the car is; models have learned what held when a lap began, such as its fuel."""
        known: dict[str, Any] = {"track_position": lap.position}
        if lap.time is not None:
            known["current_lap_time"] = lap.time
        if lap.whole:
            known |= {name: lap.began[name] for name in HELD_AT_BEGIN if name in lap.began}
        return known


def _without_clock(x: Frame) -> dict[str, Any]:
    """The clock is that of the lap where it is known at all."""
    return {name: value for name, value in x.items() if name != "current_lap_time"}


def _is_reset(lap: _Lap, x: Frame, position: float) -> bool:
    """Whether the clock began anew in the midst of a lap: the car or the whole session was put back."""
    now = _number(x, "current_lap_time")
    if now is None or lap.time is None or position >= END:
        return False
    return now < lap.time - CLOCK_TOLERANCE


def _leaves_pits(x: Frame, before: _Lap, *, timed: bool) -> bool:
    """Whether the car was in the pits between two laps, as `learning.telemetry.cutting` judges it."""
    counter, number = before.counter, _number(x, "lap")
    if before.in_pit or (_number(x, "in_pit") or 0) > 0 or not timed:
        return True
    if counter is not None and number is not None and number - counter not in (0, 1):
        return True
    life, life_before = _number(x, "tyre_life"), _number(before.began, "tyre_life")
    if life is not None and life_before is not None and life < life_before:
        return True
    return bool(x.get("compound") != before.began.get("compound"))


def _session_time_at_line(x: Frame, position: float, before: _Lap | None) -> float | None:
    """What the session's clock showed when the line was crossed between two frames."""
    now = _number(x, "session_time")
    if now is None or before is None or before.session_time is None or before.position < END:
        return None
    ahead, behind = 1 - before.position, position
    share = ahead / (ahead + behind) if ahead + behind > 0 else 1.0
    return before.session_time + share * (now - before.session_time)


def _number(x: Frame, name: str) -> float | None:
    value = x.get(name)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
