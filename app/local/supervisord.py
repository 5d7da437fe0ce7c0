"""supervisord, but for one thing: a log line that finds no room on the disk is dropped, and all goes on.

By itself it tells of the lost line on its standard error, and where that finds no room either it ends, and
every program with it.
"""

from supervisor.loggers import Handler
from supervisor.supervisord import main


def _drop(_handler: Handler) -> None:
    """In the place of `Handler.handleError`."""


if __name__ == "__main__":
    Handler.handleError = _drop
    main()
