"""A queue's URL says where it is and how its server proves who it is; by default it must."""

from ssl import CERT_NONE, CERT_REQUIRED
from typing import Any

import pytest

from app.stores.queue import JobQueue, broker_answers, broker_options


@pytest.mark.parametrize(
    ("url", "stripped", "tls"),
    [
        ("redis://:p@host:1/0", "redis://:p@host:1/0", False),
        ("amqp://u:p@host//", "amqp://u:p@host//", False),
        ("rediss://:p@host/0", "rediss://:p@host/0", {"ssl_cert_reqs": CERT_REQUIRED}),
        (
            "rediss://:p@host/0?ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem&x=1",
            "rediss://:p@host/0?x=1",
            {"ssl_cert_reqs": CERT_REQUIRED, "ssl_ca_certs": "/ca.pem", "ssl_certfile": "/me.pem"},
        ),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0", {"ssl_cert_reqs": CERT_NONE}),
        ("amqps://u:p@host//", "amqps://u:p@host//", {"cert_reqs": CERT_REQUIRED, "server_hostname": "host"}),
        (
            "amqps://u:p@host:5/v?ssl_ca_certs=/ca.pem",
            "amqps://u:p@host:5/v",
            {"cert_reqs": CERT_REQUIRED, "server_hostname": "host", "ca_certs": "/ca.pem"},
        ),
    ],
)
def test_the_server_of_a_queue_must_prove_who_it_is_unless_told_otherwise(
    url: str, stripped: str, tls: Any
) -> None:
    options = broker_options(url)
    assert (options["broker_url"], options["broker_use_ssl"]) == (stripped, tls)


def test_only_redis_is_told_of_the_visibility_timeout() -> None:
    assert broker_options("rediss://h/0")["broker_transport_options"]["visibility_timeout"] == 3600
    assert "visibility_timeout" not in broker_options("amqp://h//")["broker_transport_options"]


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "amqp://u:p@127.0.0.1:1//", "rediss://127.0.0.1:1/0"]
)
def test_a_queue_that_is_not_there_does_not_answer_and_takes_no_message(url: str) -> None:
    assert not broker_answers(url)
    assert not JobQueue(url).send_all({"a" * 24: ("request",), "b" * 24: ()})
