"""Notifications go to the public internet only, however an address is written."""

import pytest

from app.destinations import URL_LENGTH, check_address, checked_url
from app.errors import DestinationRefused


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?key=1",
        "http://example.org:8080/",
        "https://hooks.example.org:8443",
        "HTTPS://EXAMPLE.ORG/",
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]/hook",
        "https://xn--mnchen-3ya.example/",
        "https://3com.example/",
    ],
)
def test_public_addresses_are_taken(url: str) -> None:
    assert checked_url(url, allow_private=False).host


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://10.0.0.7/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/",
        "http://192.0.0.192/",
        "http://198.18.0.1/",
        "http://192.88.99.1/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::]/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:8.8.8.8]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::1]/",
        "http://[2001::1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:db8::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://metadata.google.internal/",
        "http://printer.local/",
        "http://intranet/",
        "http://1.0.0.127.in-addr.arpa/",
        "http://example.org:22/",
        "http://example.org:6379/",
        "http://1.2.3.4.5.6/",
    ],
)
def test_addresses_of_the_inside_are_refused_unless_they_are_allowed(url: str) -> None:
    with pytest.raises(DestinationRefused):
        checked_url(url, allow_private=False)
    assert checked_url(url, allow_private=True).host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "javascript:alert(1)",
        "https://",
        "https:///hook",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://:@example.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:port/",
        "https://exa mple.org/",
        "https://example.org/\r\nHost: inside",
        "https://example.org\\@127.0.0.1/",
        "https://münchen.example/",
        "https://xn--/",
        "https://xn--a.example/",
        "https://[::1/",
        f"https://example.org/{'x' * URL_LENGTH}",
    ],
)
def test_what_is_no_plain_address_of_the_web_is_always_refused(url: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(DestinationRefused):
            checked_url(url, allow_private=allow_private)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "nonsense", "/run/docker.sock", ""])
def test_what_a_look_up_should_not_give_is_refused(address: str) -> None:
    with pytest.raises(DestinationRefused):
        check_address(address)


def test_a_refused_host_does_not_tell_where_it_is() -> None:
    with pytest.raises(DestinationRefused) as refused:
        check_address("10.11.12.13")
    assert "10.11" not in f"{refused.value} {refused.value.details}"
