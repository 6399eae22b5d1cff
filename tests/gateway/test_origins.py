"""Which web pages may use the gateway."""

from __future__ import annotations

import pytest

from cryomamba_gateway.origins import is_encrypted, origin_allowed


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "a:1"}, True),
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "A:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "http://a:2"}, False),
        ({"host": "a:1", "origin": "null"}, False),
        ({"host": "", "origin": "null"}, False),
        ({"host": "a:1", "origin": "https://lab.example"}, True),
        ({"host": "a:1", "origin": "https://lab.example.evil"}, False),
        ({"host": "a:1", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a:1", "sec-fetch-site": "none"}, True),
        ({"host": "a:1", "sec-fetch-site": "same-site"}, False),
        ({"host": "a:1", "sec-fetch-site": "Cross-Site"}, False),
        ({"host": "a:1", "sec-fetch-site": "cross-site", "origin": "https://lab.example"}, True),
    ],
)
def test_which_origins_are_allowed(headers: dict[str, str], allowed: bool) -> None:
    """The gateway's own, the configured ones, and programs."""
    assert origin_allowed(headers, {"https://lab.example"}) is allowed


@pytest.mark.parametrize(
    ("origin", "tls", "allowed"),
    [
        ("https://em.example", True, True),
        ("http://em.example", True, False),
        ("http://em.example", False, True),
        ("https://em.example", False, True),
        ("http://lab.example", True, True),
    ],
)
def test_an_unencrypted_page_is_foreign_to_an_encrypted_gateway(origin: str, tls: bool, allowed: bool) -> None:
    """The same host without TLS is another origin; configured origins are taken literally."""
    headers = {"host": "em.example", "origin": origin}
    assert origin_allowed(headers, {"http://lab.example"}, tls=tls) is allowed


@pytest.mark.parametrize(
    ("scheme", "forwarded", "tls"),
    [("https", "", True), ("wss", "", True), ("http", "https", True), ("ws", "HTTPS", True), ("http", "http", False)],
)
def test_whether_a_request_is_encrypted(scheme: str, forwarded: str, tls: bool) -> None:
    """By the connection itself, or by the proxy's header."""
    assert is_encrypted(scheme, {"x-forwarded-proto": forwarded}) is tls
