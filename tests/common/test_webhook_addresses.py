"""Where webhooks may go: public addresses, and what the operator allows."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_server.webhook_addresses import WebhookPolicy, is_public, parse_webhook_url

STRICT = WebhookPolicy()
LOCAL = WebhookPolicy((ip_network("127.0.0.0/8"), ip_network("10.1.0.0/16"), ip_network("fd00::/8")))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:82f::200e"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """They are no secret of the server's network."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "233.252.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_all_others_are_not(address: str) -> None:
    """Loopback, private, link-local with the metadata of clouds, multicast, reserved, and what carries one of these."""
    found = ip_address(address)
    assert not is_public(found)
    with pytest.raises(InvalidRequestError) as caught:
        STRICT.check_resolved(parse_webhook_url("https://example.org/"), [ip_address("1.1.1.1"), found])
    assert caught.value.code is ErrorCode.URL_FORBIDDEN
    assert address.partition("%")[0] not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "https://example.org:8443/hook?key=1",
        "https://example.org:1024",
        "https://1.1.1.1/",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_https_at_a_public_host_is_accepted(url: str) -> None:
    """By name or address, on the port of https or one that no service of the system has."""
    assert STRICT.check_url(url).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://example.org:25/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://@example.org/",
        "https://example.org/#part",
        "https://example.org\\@127.0.0.1/",
        "https:///path",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    """Plain http, other ports, names and passwords, fragments, other schemes, and addresses that are not public."""
    with pytest.raises(InvalidRequestError) as caught:
        STRICT.check_url(url)
    assert caught.value.code is ErrorCode.URL_FORBIDDEN


def test_the_operator_allows_networks() -> None:
    """In these http and every port are allowed; elsewhere nothing changes, whatever the name of the host."""
    for host in ("127.0.0.1", "10.1.2.3", "[fd00::1]", "[::ffff:10.1.2.3]"):
        LOCAL.check_url(f"http://{host}:25/")
    for url in ("https://10.2.0.1/", "https://[::1]/", "http://1.1.1.1/", "https://1.1.1.1:25/"):
        with pytest.raises(InvalidRequestError):
            LOCAL.check_url(url)
    named = LOCAL.check_url("http://intranet:25/")
    LOCAL.check_resolved(named, [ip_address("10.1.2.3")])
    for found in (["1.1.1.1"], ["10.1.2.3", "1.1.1.1"], ["10.2.0.1"]):
        with pytest.raises(InvalidRequestError):
            LOCAL.check_resolved(named, [ip_address(one) for one in found])
    LOCAL.check_resolved(LOCAL.check_url("https://example.org/"), [ip_address("10.1.2.3"), ip_address("1.1.1.1")])


def test_host_and_port_as_in_the_header() -> None:
    """The default port is left out, and an IPv6 address has brackets."""
    cases = {
        "https://Example.org/a": "example.org",
        "https://example.org:443": "example.org",
        "http://example.org:443": "example.org:443",
        "https://[fd00::1]:8443/": "[fd00::1]:8443",
    }
    for url, netloc in cases.items():
        assert parse_webhook_url(url).netloc == netloc
