"""What the chaos suite plans and how it judges what it sees; faults themselves need a platform."""

from collections import Counter

import httpx
import pytest

from tests.chaos.load import Observed
from tests.chaos.plan import IN_TRAINING, LONG_LAPS, Kind, make_plan
from tests.chaos.report import Report

CI = {"seed": 48, "sessions": 100, "faults": 24}  # as .ci/run has it


@pytest.fixture
def report() -> Report:
    return Report(make_plan(**CI))


def test_a_seed_repeats_its_plan_and_another_has_another() -> None:
    assert make_plan(**CI) == make_plan(**CI)
    assert make_plan(**CI) != make_plan(**CI | {"seed": 49})


def test_ci_meets_each_kind_of_fault_and_twice_those_that_may_come_too_late() -> None:
    counts = Counter(fault.kind for fault in make_plan(**CI).faults)
    assert counts.keys() == set(Kind)
    late = (*IN_TRAINING, Kind.NO_WORKER, Kind.DROP_CONNECTIONS, Kind.FULL_DISK)
    assert {counts[kind] for kind in late} == {2}


def test_sessions_come_with_the_faults_and_all_of_them_come() -> None:
    plan = make_plan(**CI)
    assert [plan.sessions_until(number) for number in (0, 1, 23)] == [5, 9, 100]


def test_a_fault_that_is_to_meet_a_training_comes_at_once_with_a_long_session() -> None:
    plan = make_plan(**CI)
    met = [number for number, fault in enumerate(plan.faults) if fault.kind in IN_TRAINING]
    assert {plan.sessions[plan.sessions_until(number) - 1].laps for number in met} == {LONG_LAPS}
    assert {plan.faults[number].after for number in met} == {0.0}


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (httpx.Response(500, text="oh"), ["readers got 500 from GET /jobs: oh"]),
        (httpx.Response(503, text="later"), ["readers got 503 from GET /jobs: later"]),
        (httpx.Response(404, text="none"), ["readers got 404 from GET /jobs: none"]),
        (httpx.Response(503, headers={"Retry-After": "1"}), []),
        (httpx.Response(429, headers={"Retry-After": "1"}), []),
        (httpx.Response(200), []),
    ],
)
def test_an_answer_that_must_not_be_is_a_violation(
    report: Report, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, named: list[str]
) -> None:
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *_: answer)
    with Observed(report, "readers") as transport:
        transport.handle_request(httpx.Request("GET", "http://here/jobs"))
    assert report.violations == named
    assert report.answers["readers"] == {str(answer.status_code): 1}


def test_a_connection_that_broke_is_counted_but_no_answer(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", broken)
    with Observed(report, "readers") as transport, pytest.raises(httpx.ConnectError):
        transport.handle_request(httpx.Request("GET", "http://here/jobs"))
    assert (report.violations, report.answers["readers"]) == ([], {"ConnectError": 1})


def test_answers_that_come_late_and_faults_that_never_came_are_violations(report: Report) -> None:
    report.recovered(Kind.KILL_WEB, 29.0)
    report.recovered(Kind.KILL_WEB, 31.0)
    report.answered("drivers", "GET /jobs", "200", 32.0)
    report.missed[Kind.RUN_TWICE].append("too late")
    report.missed[Kind.FULL_DISK].append("too late")
    report.happened[Kind.FULL_DISK] += 1
    report.conclude()
    assert report.violations == [
        "after kill -9 the gunicorn master the platform answered again only after 31.0 s",
        "drivers waited 32.0 s for GET /jobs",
        "a worker child stopped past its lease never really happened: too late",
    ]
    assert list(report.lines())[-1] == "3 violations; SEED=48 repeats this plan"
