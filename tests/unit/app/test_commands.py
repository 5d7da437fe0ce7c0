"""The commands find their platform, keep tokens private, and say what to do about an error."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.client import ApiError, Client, Pair
from app.commands.platform import FileKeeper, Platform, find_platform
from app.settings import ClientSettings

REMOTE = Platform("https://laps.example", "https://laps.example")
USER = {"id": "6655f0c2a4b1c2d3e4f50617", "email": "ann@example.com", "displayName": None, "createdAt": "…"}


def pair(number: int, seconds: float = 900.0) -> Pair:
    return Pair(access=f"a{number}", refresh=f"r{number}", renew_at=time.time() + seconds, email="ann")


def running(folder: Path, *, pid: int) -> ClientSettings:
    """Settings of a data directory whose platform has the process id given."""
    folder.mkdir()
    endpoints = {"api": "http://127.0.0.1:4000", "pids": {"web": pid}}
    (folder / "endpoints.json").write_text(json.dumps(endpoints))
    return ClientSettings(data_dir=folder)


def test_the_platform_named_counts_before_the_variable_and_that_before_the_one_running_here(
    tmp_path: Path,
) -> None:
    settings, tokens = running(tmp_path / "data", pid=os.getpid()), tmp_path / "tokens.json"
    here = find_platform(None, settings, tokens)
    assert (here.url, here.name) == ("http://127.0.0.1:4000", str(tmp_path / "data"))
    named = ClientSettings(url="https://variable.example/", data_dir=settings.data_dir)
    assert find_platform(None, named, tokens).url == "https://variable.example"
    assert find_platform("https://option.example", named, tokens).url == "https://option.example"


def test_a_platform_that_was_killed_does_not_run(tmp_path: Path) -> None:
    settings = running(tmp_path / "data", pid=0)
    with pytest.raises(ApiError) as missing:
        find_platform(None, settings, tmp_path / "tokens.json")
    assert missing.value.code == "unreachable"


def test_with_none_here_the_one_signed_in_to_last_is_meant(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    FileKeeper(tokens, REMOTE).put(pair(1))
    FileKeeper(tokens, Platform("https://old.example", "https://old.example")).put(pair(2))
    FileKeeper(tokens, REMOTE).put(pair(3))
    assert find_platform(None, ClientSettings(data_dir=tmp_path), tokens) == REMOTE


def test_tokens_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "lapwise" / "tokens.json", REMOTE)
    with keeper.alone():
        keeper.put(pair(1))
    assert (tmp_path / "lapwise" / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "lapwise").stat().st_mode & 0o777 == 0o700
    kept = keeper.get()
    assert kept is not None
    assert kept.refresh == "r1"
    keeper.put(None)
    assert keeper.get() is None


def test_commands_that_run_at_once_spend_a_refresh_token_once(tmp_path: Path) -> None:
    spent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/auth/refresh":
            return httpx.Response(200, json=USER)
        spent.append(request.headers["Authorization"])
        return httpx.Response(
            200, json={"accessToken": "a2", "refreshToken": "r2", "expiresIn": 900, "user": USER}
        )

    def command(_number: int) -> str:
        keeper = FileKeeper(tmp_path / "tokens.json", REMOTE)
        with Client(REMOTE.url, keeper=keeper, transport=httpx.MockTransport(answer)) as client:
            return client.me()["email"]

    FileKeeper(tmp_path / "tokens.json", REMOTE).put(pair(1, seconds=-1.0))
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(command, range(12))) == {"ann@example.com"}
    assert spent == ["Bearer r1"]


def test_a_damaged_file_of_tokens_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(ApiError, match=r"tokens\.json is damaged; remove it"):
        FileKeeper(tmp_path / "tokens.json", REMOTE).get()


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, httpx.Response]:
    """Answers by path, given to commands that are signed in already."""
    given: dict[str, httpx.Response] = {}

    def open_client(_url: str | None) -> Client:
        keeper = FileKeeper(tmp_path / "tokens.json", REMOTE)
        transport = httpx.MockTransport(lambda request: given[request.url.path])
        return Client(REMOTE.url, keeper=keeper, transport=transport)

    FileKeeper(tmp_path / "tokens.json", REMOTE).put(pair(1))
    monkeypatch.setattr("app.commands.platform.open_client", open_client)
    return given


def lapwise(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def refusal(status: int, code: str, **details: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "No.", "details": details}})


def test_a_refusal_names_each_field_and_exits_with_1(platform: dict[str, httpx.Response]) -> None:
    platform["/ai-model/predict"] = refusal(422, "invalid", speeds=["row 0: is not known"] * 7)
    result = lapwise("predict", "--track", "spa", "speeds=3")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "error: No."
    assert lines[1].startswith("  speeds: row 0: is not known; ")
    assert lines[1].endswith("; and 2 more")


def test_who_is_not_signed_in_is_told_how_and_exits_with_3(platform: dict[str, httpx.Response]) -> None:
    platform["/jobs"] = refusal(401, "token_revoked")
    result = lapwise("jobs")
    assert (result.exit_code, result.stderr) == (3, "error: No.\n  sign in with `lapwise login`\n")


def test_an_unreachable_platform_exits_with_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LAPWISE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("LAPWISE_URL", raising=False)
    result = lapwise("models")
    assert result.exit_code == 4
    assert "start it with `make up`, or name another with --url or LAPWISE_URL" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--track", "spa"), "--sessions ID… (see `lapwise sessions`), or --all"),
        (("train", "--track", "spa", "--all", "--sessions", "x"), "--sessions ID…"),
        (("predict", "speed=3"), "name either --track, or --model"),
        (("predict", "--track", "spa", "speed"), "written name=value, not 'speed'"),
        (("upload", __file__, "--setup", "wing=high"), "--setup needs a number for 'wing'"),
        (("upload", __file__, "--chunks"), "--chunks needs --track"),
        (("upload", "missing.csv"), "'missing.csv' does not exist"),
    ],
)
def test_a_mistake_in_a_command_is_explained_and_exits_with_2(
    platform: dict[str, httpx.Response], arguments: tuple[str, ...], said: str
) -> None:
    result = lapwise(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_with_json_answers_come_as_they_are_and_errors_too(platform: dict[str, httpx.Response]) -> None:
    said = {"kind": "train", "trackName": "spa", "modelType": "sector_analysis", "progress": None}
    when = {"modelVersion": None, "error": None, "queuedAt": "2026-02-11T09:30:00.000Z"}
    jobs = [{"id": "j", "status": "queued"} | said | when]
    platform["/jobs"] = httpx.Response(200, json={"items": jobs, "nextCursor": None})
    assert json.loads(lapwise("jobs", "--json").stdout) == jobs
    platform["/jobs"] = refusal(422, "invalid", limit=["Too many."])
    failed = json.loads(lapwise("jobs", "--json").stderr)
    assert failed == {"error": {"code": "invalid", "message": "No.", "details": {"limit": ["Too many."]}}}


def test_rows_of_a_file_keep_what_the_model_knows(
    platform: dict[str, httpx.Response], tmp_path: Path
) -> None:
    path = tmp_path / "frames.csv"
    path.write_text("lap,speed,trackPosition\n1,200,0.5\n1,210,0.6\n")
    version = {"modelMetadata": {"features": ["speed", "track_position"]}}
    platform["/ai-model/m"] = httpx.Response(200, json=version)
    answer = {
        "modelId": "m",
        "modelVersion": "1.0.0",
        "predictions": [{"lap_time": 92.4168}, {"lap_time": 58.2}],
    }
    platform["/ai-model/predict"] = httpx.Response(200, json=answer)
    result = lapwise("predict", "--model", "m", "--file", str(path))
    assert result.stderr == "left out, for the model does not know them: lap\n"
    assert result.stdout == "#\tlap time\tlow\thigh\n1\t1:32.417\t\t\n2\t58.200\t\t\n"


def test_the_password_is_never_an_argument(platform: dict[str, httpx.Response]) -> None:
    result = lapwise("login", "--email", "ann@example.com", "--password", "secret")
    assert result.exit_code == 2
    result = CliRunner().invoke(cli, ["login", "--email", "ann@example.com"], input="secret\n")
    assert result.exit_code == 2
    assert "--password-stdin" in result.stderr


def test_a_retry_shows_the_new_job_and_a_refused_one_is_told(platform: dict[str, httpx.Response]) -> None:
    job = {"id": "new", "status": "queued", "trackName": "spa", "modelVersion": None}
    platform["/jobs/old/retry"] = httpx.Response(202, json=job)
    assert json.loads(lapwise("retry", "old", "--no-wait", "--json").stdout) == [job]
    platform["/jobs/old/retry"] = refusal(409, "job_not_failed")
    assert (lapwise("retry", "old").exit_code, lapwise("retry", "old").stderr) == (1, "error: No.\n")
