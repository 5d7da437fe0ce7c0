"""A driver's server for tests: answers as it is told and remembers what it got."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Answer = tuple[int, dict[str, str]]


@dataclass
class Receiver:
    """What is answered in turn, the last one for ever; and what has come."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [(200, {})])
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)  # answers wait for it


@contextmanager
def receiving(*answers: Answer, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, dict(self.headers), body))
            receiver.go_on.wait(20)
            status, headers = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer((host, 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        receiver.answers = list(answers) or receiver.answers
        receiver.go_on.set()
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield receiver
        receiver.go_on.set()
        server.shutdown()
        thread.join()
