"""What the bench says of its figures is right: medians, bars, turns, tables, answers read from sockets."""

import json
import socket
from pathlib import Path
from threading import Thread

import pytest

from bench import report
from bench.__main__ import ROWS
from bench.figures import Figure, interleaved, ratios
from bench.load import Call, Load, _answer, _send

DOCS = Path(__file__).parents[3] / "docs" / "performance.md"


def figure(*values: float, bar: float | None, at_most: bool = False) -> Figure:
    return Figure(what="speed", against="bare", values=values, bar=bar, at_most=at_most)


def test_the_median_decides_whether_a_bar_is_reached() -> None:
    assert figure(0.1, 0.6, 0.9, bar=0.6).is_reached is True
    assert figure(0.1, 0.59, 0.9, bar=0.6).is_reached is False
    assert figure(1.0, 2.0, 9.0, bar=2, at_most=True).is_reached is True
    assert figure(1.0, 2.1, 9.0, bar=2, at_most=True).is_reached is False
    assert figure(1.0, bar=None).is_reached is None


def test_works_take_turns_and_each_round_goes_the_other_way_round() -> None:
    order: list[str] = []

    def work(name: str) -> str:
        order.append(name)
        return name

    found = interleaved(3, lambda: work("a"), lambda: work("b"), lambda: work("c"))
    assert found == [("a", "b", "c")] * 3
    assert order == ["a", "b", "c", "c", "b", "a", "a", "b", "c"]


def test_rounds_are_compared_with_their_own_partner_only() -> None:
    assert ratios([1.0, 4.0], [2.0, 2.0]) == [0.5, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_figures_are_kept_row_by_row_and_come_back_as_a_table(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for value in (0.1, 0.7):
        report.save("predict", {"figures": [figure(value, 0.65, 0.9, bar=0.6).as_dict()]}, file)
    report.save("queue", {"figures": [figure(0.2, bar=0.3).as_dict()]}, file)
    assert set(json.loads(file.read_text())["machine"]) >= {"cores", "python", "versions"}
    assert report.markdown(report.load(file), ["predict", "queue", "never"]).splitlines()[2:] == [
        "| `predict` | speed | bare | 0.7 [0.65 .. 0.9] | ≥ 0.6 | yes |",
        "| `queue` | speed | bare | 0.2 [0.2 .. 0.2] | ≥ 0.3 | NO |",
    ]


def test_every_row_is_explained_with_what_limits_it() -> None:
    told = DOCS.read_text()
    assert [name for name in ROWS if f"**`{name}`**" not in told] == []


def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 202 ACCEPTED\r\nContent-Le")
        Thread(target=theirs.sendall, args=(b"ngth: 5\r\n\r\n12345",)).start()
        assert _answer(ours) == (202, b"12345")


def test_a_load_stops_at_an_answer_it_did_not_expect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 429 TOO MANY\r\ncontent-length: 2\r\n\r\n{}")

        thread = Thread(target=refuse)
        thread.start()
        with pytest.raises(RuntimeError, match="429 in the place of 200"):
            _send([Call(f"http://127.0.0.1:{server.getsockname()[1]}/")], 5.0)
        thread.join()


def test_quantiles_are_of_the_ordered_times() -> None:
    load = Load(times=[float(number) for number in range(1, 101)], seconds=10.0)
    assert (load.rate, load.quantile(0.5), load.quantile(0.99)) == (10.0, 51.0, 100.0)
