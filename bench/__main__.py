"""`make bench`: every claim of speed, each measured against what it is compared with, in one run.

`python -m bench ROW…` measures some rows alone; `--markdown` prints the figures of the last runs as the table
of docs/performance.md.
"""

import argparse
import sys
import time
from collections.abc import Callable

from rich.console import Console

from bench import report
from bench.figures import Figure, Skipped
from bench.rows import asking, footprint, learning, peers, predicting, queueing, sizes, starting, storing
from bench.stage import Stage

Row = Callable[[Stage], list[Figure]]
ROWS: dict[str, Row] = {
    "predict": predicting.predict,
    "hundred-rows": predicting.hundred_rows,
    "peers": peers.peers,
    "upload": learning.upload,
    "history": learning.history,
    "submit": asking.submit,
    "polling": asking.polling,
    "lineages": storing.lineages,
    "models-cache": storing.models_cache,
    "queue": queueing.queue,
    "workers": queueing.workers,
    "start": starting.start,
    "worker-memory": starting.worker_memory,
    "storage": sizes.storage,
    "footprint": footprint.footprint,
}
ROUNDS, SECONDS = 5, 2.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.5


def main() -> None:
    """Prints the figures and keeps them in `bench/results.json`; fails when a bar is missed."""
    options = _options()
    if options.markdown:
        print(report.markdown(report.load(), list(ROWS)))
        return
    console = Console(width=150)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    with Stage(rounds=rounds, seconds=seconds, is_quick=options.quick) as stage:
        figures = [one for name in options.rows or ROWS for one in _measured(console, stage, name)]
    console.print(report.table("The bench", figures))
    missed = sum(figure.is_reached is False for figure in figures)
    if missed and not options.quick:
        sys.exit(f"{missed} of {len(figures)} figures miss their bar")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, help=f"of each row; {ROUNDS} unless told")
    parser.add_argument(
        "--quick", action="store_true", help="only to see that all rows work; bars say little"
    )
    parser.add_argument("--markdown", action="store_true", help="print the figures kept from former runs")
    return parser.parse_args()


def _measured(console: Console, stage: Stage, name: str) -> list[Figure]:
    started, load = time.monotonic(), report.load_average()
    try:
        figures = ROWS[name](stage)
    except Skipped as exc:
        console.print(f"{name} was not measured: {exc}", style="bold red")
        return []
    seconds = round(time.monotonic() - started, 1)
    told = {
        "command": f"python -m bench {name}",
        "seconds": seconds,
        "rounds": stage.rounds,
        "load_average": [load, report.load_average()],
        "figures": [figure.as_dict() for figure in figures],
    }
    report.save(name, told, report.QUICK_RESULTS if stage.is_quick else report.RESULTS)
    console.print(report.table(f"{name}, {seconds:.0f} s", figures))
    return figures


if __name__ == "__main__":
    main()
