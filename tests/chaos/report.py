"""What a run counts, from many threads, and how it tells it at the end."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from threading import Lock

from tests.chaos.plan import Kind, Plan

RECOVERY_SECONDS = 30.0  # from the end of a fault until the platform answers again
HANGING_SECONDS = 30.0  # no request may take as long


@dataclass
class Report:
    """Counts and violations; all methods may be called by any thread."""

    plan: Plan
    violations: list[str] = field(default_factory=list)
    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    happened: Counter[Kind] = field(default_factory=Counter)
    missed: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))
    recoveries: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    slowest: dict[str, tuple[float, str]] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def violation(self, text: str) -> None:
        with self._lock:
            self.violations.append(text)

    def answered(self, who: str, what: str, outcome: str, seconds: float) -> None:
        """Counts an answer, or what came in the place of one."""
        with self._lock:
            self.answers[who][outcome] += 1
            if seconds > self.slowest.get(who, (0.0, ""))[0]:
                self.slowest[who] = seconds, what

    def count(self, figure: str, by: int = 1) -> None:
        with self._lock:
            self.figures[figure] += by

    def recovered(self, kind: Kind, seconds: float) -> None:
        self.recoveries[kind].append(seconds)
        if seconds > RECOVERY_SECONDS:
            self.violation(f"after {kind} the platform answered again only after {seconds:.1f} s")

    def conclude(self) -> None:
        """What the counts themselves tell against the platform, or against the run."""
        for who, (seconds, what) in self.slowest.items():
            if seconds > HANGING_SECONDS:
                self.violation(f"{who} waited {seconds:.1f} s for {what}")
        for kind, reasons in self.missed.items():
            if not self.happened[kind]:
                self.violation(f"{kind} never really happened: {reasons[-1]}")

    def lines(self) -> Iterator[str]:
        """The report as it is printed."""
        for name, number in sorted(self.figures.items()):
            yield f"{name}: {number}"
        for who, counter in sorted(self.answers.items()):
            said = ", ".join(f"{number} x {outcome}" for outcome, number in sorted(counter.items()))
            seconds, what = self.slowest[who]
            yield f"answers to {who}: {said}; the slowest took {seconds:.1f} s ({what})"
        yield f"faults: {self.happened.total()} of {len(self.plan.faults)}"
        for kind in Kind:
            yield from self._of_kind(kind)
        for violation in self.violations:
            yield f"VIOLATED {violation}"
        verdict = f"{len(self.violations)} violations" if self.violations else "nothing lost, nothing twice"
        yield f"{verdict}; SEED={self.plan.seed} repeats this plan"

    def _of_kind(self, kind: Kind) -> Iterator[str]:
        if self.happened[kind]:
            times = self.recoveries[kind] or [0.0]
            yield (
                f"  {self.happened[kind]} x {kind}: answered again after "
                f"{median(times):.1f} s (p50), {max(times):.1f} s (max)"
            )
        for reason in self.missed[kind]:
            yield f"  MISSED {kind}: {reason}"
        for reason, number in Counter(self.skipped[kind]).items():
            yield f"  SKIPPED {number} x {kind}: {reason}"
