"""Ties a program to its parent: `python tether.py COMMAND…` becomes COMMAND and ends with its parent.

A parent that is killed with -9 cannot stop its children, so the kernel does: they get SIGTERM. It is run as a
file and imports nothing of ours, for every program starts by it. Only Linux has this; elsewhere the command
runs untied.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(how: signal.Signals) -> None:
    """A signal comes when the parent of this process ends; its own children do not inherit that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def main() -> None:
    end_with_parent(signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # the command is the caller's own


if __name__ == "__main__":
    main()
