"""`make fuzz`: schemathesis against every operation of the OpenAPI document.

The application runs in this process on a real MongoDB and a real Redis; a driver with one of everything is
signed in. Whatever is asked, no answer may be a 5xx, an undocumented status, or a body outside its schema.
"""

import secrets
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import click
import schemathesis
from flask import Flask
from hypothesis import strategies
from schemathesis import AuthContext, Case, HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.transport.serialization import Binary
from schemathesis.transport.wsgi import WSGI_TRANSPORT, WSGITransport

from app import create_app, logs
from app.container import Container, build_container
from app.local.servers import start_mongod, start_redis
from app.settings import Settings
from app.signatures import HEADER, sign
from app.stores.migrating import migrate
from tests.conftest import MEMORY
from tests.fuzz.driving import Driver, equipped

SECONDS = 170  # of fuzzing, at most
EXAMPLES = 110  # of each operation, after the examples and the edges of its schema
FEWEST_CASES = 5_000
SIGNATURE = "HTTP_" + HEADER.upper().replace("-", "_")
OF_SOCKETS = ("max_redirects", "verify", "cert", "proxies")
AT_WORST = "1000000 per minute"


def config(seconds: int, examples: int, seed: int) -> SchemathesisConfig:
    """All checks, on the document's examples, the edges of every schema, random cases and chains of calls.

    What a call can be followed by, schemathesis infers: GET and DELETE of what a POST has made, for one.
    """
    # what no schema can say: names, sizes, states, and that the example's account is signed in to too often
    refused = ["2xx", "302", "401", "404", "409", "413", "415", "422", "426", "429"]
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "max-time": seconds,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": refused}},
            "warnings": False,
        }
    )


@contextmanager
def platform() -> Iterator[Container]:
    """The services on servers of their own, with limits out of the way."""
    with ExitStack() as stack:
        mongod = start_mongod(Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))))
        stack.callback(mongod.stop)
        redis = start_redis(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(redis.stop)
        settings = Settings(
            mongo_url=mongod.url,
            redis_url=redis.url,
            database="fuzz",
            secret_key=secrets.token_hex(),
            model_key=secrets.token_hex(),
            webhook_secret=secrets.token_hex(),
            rate_limit=AT_WORST,
            login_rate_limit=AT_WORST,
            register_rate_limit=AT_WORST,
        )
        migrate(settings.mongo_url, settings.database)
        yield stack.enter_context(build_container(settings))


class Transport(WSGITransport):
    """Leaves out settings of sockets, which schemathesis 4.32 gives werkzeug too when it probes for auth."""

    def send(self, case: Case, **kwargs: Any) -> Response:
        if kwargs.get("session") is None:
            kwargs = {name: value for name, value in kwargs.items() if name not in OF_SOCKETS}
        return super().send(case, **kwargs)


class Signing:
    """Signs the events of a game backend on their way in, but for one in four, whose signature is made up."""

    def __init__(self, app: WSGIApplication, secret: str) -> None:
        self._app = app
        self._secret = secret
        self._numbers = count()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_event = environ["PATH_INFO"] == "/webhooks/session-uploaded"
        if is_event and SIGNATURE in environ and next(self._numbers) % 4:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            environ[SIGNATURE] = sign(self._secret, body, int(time.time()))
        return self._app(environ, start_response)


class Findings:
    """What was asked, what was answered, and what was wrong with it."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.failures: dict[tuple[str, str, str], str] = {}
        self.errors: list[str] = []

    @property
    def cases(self) -> int:
        return sum(counter.total() for counter in self.statuses.values())

    def take(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._take_scenario(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            self.errors.append(str(getattr(event, "info", None) or event))

    def _take_scenario(self, event: events.ScenarioFinished) -> None:
        recorder = event.recorder
        for interaction in recorder.interactions.values():
            if interaction.response is not None:
                self.statuses[recorder.label][interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None and not _is_text(check.name, recorder.cases[case_id].value):
                    failure = check.failure_info.failure
                    key = (recorder.label, check.name, str(failure).splitlines()[0])
                    self.failures.setdefault(key, told(recorder, case_id, str(failure)))


def _is_text(check: str, case: Case) -> bool:
    """Whether what was taken for invalid is a value in a form, where `false` is a text like any other."""
    return check == "negative_data_rejection" and (case.media_type or "").startswith("multipart/")


def told(recorder: Any, case_id: str, message: str) -> str:
    """A failure with the request that led to it and the answer."""
    case, interaction = recorder.cases[case_id].value, recorder.interactions.get(case_id)
    lines = [
        message,
        f"  request: {case.method} {case.formatted_path} query={case.query} body={case.body!r:.600}",
    ]
    if interaction is not None and interaction.response is not None:
        lines.append(f"  answer: {interaction.response.status_code} {interaction.response.content!r:.600}")
    return "\n".join(lines)


def fuzzed(app: Flask, driver: Driver, seconds: int, examples: int, seed: int) -> Findings:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config(seconds, examples, seed))

    WSGI_TRANSPORT.__class__ = Transport
    files = strategies.sampled_from(driver.files) | strategies.binary(max_size=2_000)
    schemathesis.openapi.format("binary", files.map(Binary))

    @schemathesis.hook
    def before_call(context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
        driver.fill(case)
        driver.container.jobs._status.worker_seen()  # there is none, but /readyz asks for one

    @schemathesis.hook
    def after_call(context: HookContext, case: Case, response: Response) -> None:
        driver.heed(response.content.decode("latin-1"))

    @schema.auth(refresh_interval=None)  # a token for each case
    class Auth:
        def get(self, case: Case, _context: AuthContext) -> str:
            with app.app_context():
                return driver.token(case.operation.label)

        def set(self, case: Case, data: str, _context: AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {data}"

    findings = Findings()
    for event in from_schema(schema).execute():
        findings.take(event)
    return findings


def report(findings: Findings, seconds: float) -> None:
    for label, counter in sorted(findings.statuses.items()):
        click.echo(
            f"{label}: {', '.join(f'{count} x {status}' for status, count in sorted(counter.items()))}"
        )
    for (label, check, _), text in findings.failures.items():
        click.echo(f"\nFAILED {label}: {check}\n{text}")
    for error in findings.errors:
        click.echo(f"\nERROR {error}")
    failed = len(findings.failures) + len(findings.errors)
    click.echo(f"\n{findings.cases} cases in {seconds:.0f} s")
    click.echo(f"{findings.cases - failed} passed, {failed} failed")


@click.command()
@click.option("--seconds", default=SECONDS, show_default=True)
@click.option("--examples", default=EXAMPLES, show_default=True)
@click.option("--seed", type=int, default=lambda: secrets.randbelow(2**31), show_default="another each time")
@click.option("--fewest", default=FEWEST_CASES, show_default=True, help="Cases a good run has at least.")
def main(seconds: int, examples: int, seed: int, fewest: int) -> None:
    """Fuzz the API; the seed that is printed repeats a run."""
    logs.configure("CRITICAL")
    click.echo(f"seed {seed}")
    with platform() as container, tempfile.TemporaryDirectory() as folder:
        app = create_app(container=container)
        app.wsgi_app = Signing(app.wsgi_app, container.settings.webhook_secret)  # type: ignore[method-assign]
        driver = equipped(container, Path(folder))
        started = time.monotonic()
        findings = fuzzed(app, driver, seconds, examples, seed)
        report(findings, time.monotonic() - started)
    sys.exit(1 if findings.failures or findings.errors or findings.cases < fewest else 0)


if __name__ == "__main__":
    main()
