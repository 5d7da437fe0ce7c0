"""`make chaos`: drives a whole platform by HTTP while its parts are killed, emptied, stopped and cut off."""

import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

import click

from app.container import build_container
from tests.chaos import faults, verify
from tests.chaos.disk import Disk, NoDisk
from tests.chaos.load import Driver, Gate, Reader, started
from tests.chaos.plan import DRIVERS, Kind, Plan, PlannedFault, make_plan
from tests.chaos.report import Report
from tests.chaos.target import DidNotHappen, Target, wait_for

SETTLE_SECONDS = 300.0  # until everything sent is taken and learned, once there are no more faults
GIVE_UP_SECONDS = 180.0  # without an answer after a fault: the run ends
READERS = 3


class Run:
    """One run of a plan on a platform."""

    def __init__(self, plan: Plan, target: Target, no_disk: str, report: Report, folder: Path) -> None:
        self._began = time.monotonic()
        self._plan = plan
        self._target = target
        self._no_disk = no_disk
        self._report = report
        secret = target.settings().webhook_secret
        self._drivers = [
            Driver(target.url, f"DRV{number}", report, folder, secret) for number in range(DRIVERS)
        ]

    def go(self) -> None:
        """Load and faults together, then rest, then the look inside."""
        gate, give_up, stop = Gate(), Event(), Event()
        sending = started(*(partial(self._send, number, gate, give_up) for number in range(DRIVERS)))
        readers = [
            Reader(self._target.url, self._drivers[number % DRIVERS], self._report, number)
            for number in range(READERS)
        ]
        reading = started(*(partial(reader.look_until, stop) for reader in readers))
        for number, fault in enumerate(self._plan.faults):
            let_go = partial(gate.open_to, self._plan.sessions_until(number))
            if fault.kind is not Kind.NO_WORKER:
                let_go()
            self._hurt(number, fault, let_go)
        gate.open_to(len(self._plan.sessions))
        ends = time.monotonic() + SETTLE_SECONDS
        for thread in sending:
            thread.join(max(0.0, ends - time.monotonic()))
        self._rest(ends)
        give_up.set()
        stop.set()
        for thread in (*sending, *reading):
            thread.join(120)
        self._verify()

    def _send(self, number: int, gate: Gate, give_up: Event) -> None:
        mine = [session for session in self._plan.sessions if session.driver == number]
        self._drivers[number].send_all(mine, gate, give_up)

    def _hurt(self, number: int, fault: PlannedFault, let_go: Callable[[], None]) -> None:
        if fault.kind is Kind.FULL_DISK and self._no_disk:
            self._report.skipped[fault.kind].append(self._no_disk)
            return
        time.sleep(fault.after)
        try:
            ended = faults.begin_and_end(self._target, fault, let_go)
        except DidNotHappen as exc:
            self._report.missed[fault.kind].append(str(exc))
            self._say(f"{number + 1:3} {fault.kind}: missed, {exc}")
            ended = time.monotonic()
        else:
            self._report.happened[fault.kind] += 1
        at = self._target.recovered_at(self._drivers[0].client, GIVE_UP_SECONDS)
        if at is None:
            raise click.ClickException(f"{fault.kind}: no answer for {GIVE_UP_SECONDS:.0f} s after it")
        self._report.recovered(fault.kind, max(0.0, at - ended))
        self._say(f"{number + 1:3} {fault.kind}: answers again after {max(0.0, at - ended):.1f} s")

    def _say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:4.0f} s  {text}")

    def _rest(self, ends: float) -> None:
        unfinished = {"status": {"$nin": verify.FINAL}}
        began = time.monotonic()
        jobs = self._target.database["jobs"]
        wait_for(lambda: jobs.find_one(unfinished) is None, max(1.0, ends - began))
        self._say(f"at rest after {time.monotonic() - began:.0f} s")

    def _verify(self) -> None:
        answered = [one for driver in self._drivers for one in driver.answered]
        if len(answered) != len(self._plan.sessions):
            self._report.violation(f"{len(answered)} of {len(self._plan.sessions)} sessions were taken")
        with build_container(self._target.settings()) as container:
            for violation in verify.violations(container, answered):
                self._report.violation(violation)
        for driver in self._drivers:
            for violation in verify.seen_by(driver):
                self._report.violation(violation)
        self._report.count("sessions verified", len(answered))
        self._report.count("versions verified", self._target.database["aimodels"].count_documents({}))
        again = self._target.database["jobs"].count_documents({"attempts": {"$gt": 1}})
        self._report.count("jobs that took several attempts", again)
        self._report.count("tasks that found their job taken over", self._target.log.count("job_taken_over"))


@contextmanager
def _disk(folder: Path) -> Iterator[tuple[Disk | None, str]]:
    """A disk to fill, or why there is none."""
    with ExitStack() as stack:
        try:
            disk, why = stack.enter_context(Disk(folder / "disk")), ""
        except NoDisk as exc:
            disk, why = None, str(exc)
        yield disk, why


@click.command()
@click.option("--sessions", default=300, show_default=True)
@click.option("--faults", "fault_count", default=72, show_default=True)
@click.option("--seed", type=int, default=lambda: secrets.randbelow(2**31), show_default="another each time")
@click.option(
    "--only", multiple=True, type=click.Choice([kind.name for kind in Kind]), help="Of these kinds."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Copy the platform's logs to this folder.")
def main(sessions: int, fault_count: int, seed: int, only: tuple[str, ...], keep: Path | None) -> None:
    """Hurt a platform in every way it must stand, and find what was lost; the seed repeats the plan."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to stop"))  # as by Ctrl-C, everything is stopped
    plan = make_plan(seed, sessions, fault_count, [Kind[name] for name in only] or list(Kind))
    report = Report(plan)
    click.echo(f"seed {seed}: {sessions} sessions, {fault_count} faults")
    with tempfile.TemporaryDirectory(prefix="lapwise-chaos-") as name, _disk(Path(name)) as (disk, why):
        target = Target(Path(name), disk)
        files = Path(name) / "files"
        files.mkdir()
        began = time.monotonic()
        with target.platform_running():
            try:
                Run(plan, target, why, report, files).go()
            finally:
                if keep:
                    target.copy_logs(keep)
        for command in target.processes_left():
            report.violation(f"a process was left behind: {command}")
        report.conclude()
        for line in report.lines():
            click.echo(line)
        click.echo(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if report.violations else 0)


if __name__ == "__main__":
    main()
