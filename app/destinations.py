"""Where notifications may be sent: rules for a driver's URL, and for the addresses of its host.

Without them the platform would make requests for strangers inside the network it runs in.
"""

import socket
from ipaddress import IPv6Address, ip_address, ip_network
from string import hexdigits

import httpx

from app.errors import DestinationRefused

URL_LENGTH = 2_000
PORTS = (80, 443, 8080, 8443)  # others serve no web hook, but much that should not be talked to
# What `is_global` takes for global, or took in some releases of Python: ranges that carry an IPv4 address
# inside, relays, documentation, and the one public address at which a cloud (Azure) serves its secrets.
_IPV6_UNICAST = ip_network("2000::/3")
_SPECIAL = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "240.0.0.0/4", "2001::/23"))
) + tuple(map(ip_network, ("2001:db8::/32", "2002::/16", "3fff::/20")))
_PRIVATE_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "arpa")


def checked_url(text: str, *, allow_private: bool) -> httpx.URL:
    """The URL, if notifications may go there as far as can be told without looking up its host.

    Raises
    ------
    DestinationRefused
    """
    if len(text) > URL_LENGTH or not (text.isascii() and text.isprintable()) or set(text) & set(' \\"<>'):
        raise DestinationRefused(f"an address has at most {URL_LENGTH} ASCII characters, the others escaped")
    try:
        url = httpx.URL(text)
        port, host = url.port, url.host  # which decodes an internationalised name
    except (httpx.InvalidURL, ValueError) as exc:
        raise DestinationRefused("this is not an address of the web") from exc
    if url.scheme not in ("https", "http") or not host:
        raise DestinationRefused("notifications go to https:// and http:// addresses")
    if url.userinfo:
        raise DestinationRefused("the address must not carry a user name or a password")
    if port is not None and not 0 < port < 2**16:
        raise DestinationRefused(f"there is no port {port}")
    if not allow_private:
        _check_public(url)
    return url


def check_address(address: str) -> None:
    """Nothing, for an address of the public internet.

    Raises
    ------
    DestinationRefused
    """
    try:
        parsed = ip_address(address)
    except ValueError as exc:
        raise DestinationRefused("the host has no address of the internet") from exc
    special = parsed.is_multicast or any(parsed in network for network in _SPECIAL)
    outside = isinstance(parsed, IPv6Address) and parsed not in _IPV6_UNICAST  # mapped IPv4, NAT64 …
    if special or outside or not parsed.is_global:
        raise DestinationRefused("the host is not at a public address")  # at which is not told


def _check_public(url: httpx.URL) -> None:
    if url.port is not None and url.port not in PORTS:
        raise DestinationRefused(f"notifications go to the ports {', '.join(map(str, PORTS))}")
    labels = url.raw_host.decode().lower().rstrip(".").split(".")
    if ":" in url.host or (set(labels[-1]) <= set(hexdigits + "x") and labels[-1][:1].isdigit()):
        check_address(_numeric(url.raw_host.decode()))
    elif len(labels) < 2 or labels[-1] in _PRIVATE_NAMES:
        raise DestinationRefused(f"{url.host} is a name of a private network")


def _numeric(host: str) -> str:
    """The address that an IP literal stands for, in whatever way it is written: 127.1 and 0x7f000001 too."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise DestinationRefused("the host is neither a name nor an address") from exc
    return str(found[0][4][0])
