"""`lapwise up` as a child process, for what needs a whole platform: demo, bench and end-to-end tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import LapwiseError

READY_SECONDS = 90.0
STOP_SECONDS = 60.0


class NotReady(LapwiseError):
    """The platform did not start."""

    code = "not_ready"


class ChildPlatform:
    """A platform on a data directory, started when the context is entered and stopped when it is left.

    Parameters
    ----------
    data_dir
        Made where it is missing; everything of the platform is in it.
    environment
        Variables set besides those of this process.
    """

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.environment = dict(environment or {}) | {"LAPWISE_DATA_DIR": str(data_dir)}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What `lapwise up` has printed."""
        return (self.data_dir / "up.log").read_text()

    def endpoints(self) -> dict[str, Any]:
        """`endpoints.json` as it is now."""
        found: dict[str, Any] = json.loads((self.data_dir / "endpoints.json").read_text())
        return found

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def servers(self) -> dict[str, str]:
        """The variables that name its MongoDB and Redis, with the credentials that it was given."""
        endpoints = self.endpoints()
        found = {"LAPWISE_MONGO_URL": endpoints["mongo"], "LAPWISE_REDIS_URL": endpoints["redis"]}
        return {name: self.environment.get(name, url) for name, url in found.items()}

    def start(self) -> None:
        """Returns once the platform is ready.

        Raises
        ------
        NotReady
            With what it printed last.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "up.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up"],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a Ctrl-C for the caller is not one for the platform
            )
        end = time.monotonic() + READY_SECONDS
        while "ready http" not in self.output:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise NotReady(f"the platform did not start:\n{self.output.strip()}")
            time.sleep(0.05)

    def leave_running(self) -> int:
        """Lets it outlive this process and the context; its process id."""
        if self._process is None:
            raise NotReady
        process, self._process = self._process, None
        return process.pid

    def wait(self) -> int:
        """Its exit code, once it ends by itself."""
        return 0 if self._process is None else self._process.wait(STOP_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
