"""supervisord as our child, asked over its socket what the programs are doing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, ServerProxy

from supervisor.states import ProcessStates
from supervisor.xmlrpc import SupervisorTransport

from app.errors import StartFailed
from app.local.files import is_alive
from app.local.servers import tethered

_SILENT = (OSError, HTTPException, Error)  # not listening yet, gone, or refusing as it stops


@dataclass(frozen=True, kw_only=True)
class ProgramState:
    """What supervisord knows of a program: `pid` is 0 while it does not run, `spawned` when it last began."""

    name: str
    pid: int
    spawned: int
    gave_up: bool


class Supervisor:
    """One run of supervisord, in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Parameters
    ----------
    config
        The configuration file.
    socket
        Where it answers, as that file says.
    log
        Where it writes what goes wrong before it has its own log.
    """

    def __init__(self, config: Path, socket: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self._transport = SupervisorTransport(None, None, f"unix://{socket}")
        self._rpc = ServerProxy("http://supervisor", transport=self._transport)
        self._process: subprocess.Popen[bytes] | None = None
        self._states: dict[str, ProgramState] = {}

    def start(self, environment: Mapping[str, str], lock: int) -> None:
        """Starts it with the servers; `lock` is a descriptor it keeps open as long as it lives."""
        command = [sys.executable, "-m", "app.local.supervisord", "-n", "-s", "-c", str(self._config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                tethered(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )

    def states(self) -> dict[str, ProgramState]:
        """Every program by name; empty while supervisord itself still starts.

        Raises
        ------
        StartFailed
            supervisord has ended.
        """
        if self._process is None or self._process.poll() is not None:
            raise StartFailed(f"supervisord has ended: {self._log.read_text().strip()}")
        with suppress(*_SILENT):
            self._states = {info["name"]: _state(info) for info in self._ask("getAllProcessInfo")}
        return self._states

    def run(self, names: Iterable[str]) -> None:
        """Starts programs that have waited.

        Raises
        ------
        StartFailed
            There is nothing to run.
        """
        for name in names:
            try:
                self._ask("startProcess", name, False)
            except _SILENT as exc:
                raise StartFailed(f"{name} cannot start: {exc}") from exc

    def begin_stop(self) -> None:
        """Asks it to stop the programs, the last started first, and to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_stopped(self) -> bool:
        """Whether nothing is left. Asking also hurries supervisord, which else looks about once a second."""
        if self._process is not None and self._process.poll() is None:
            with suppress(*_SILENT):
                self._ask("getState")
            return False
        return not any(is_alive(state.pid) for state in self._states.values())

    def kill(self, *spared: str) -> None:
        """Ends the programs without mercy and with their children, but for the spared."""
        for state in self._states.values():
            if state.pid and state.name not in spared:
                with suppress(ProcessLookupError):
                    os.killpg(state.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Ends supervisord itself and everything it started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.kill()

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._rpc.supervisor, method)(*arguments)
        except _SILENT:
            self._transport.close()  # a connection that failed once answers nothing more
            raise


def _state(info: Mapping[str, Any]) -> ProgramState:
    return ProgramState(
        name=info["name"],
        pid=info["pid"],
        spawned=info["start"],
        gave_up=info["state"] == ProcessStates.FATAL,
    )
