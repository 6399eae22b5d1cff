"""What is decided without a socket: statuses, origins, colours, parameters."""

from __future__ import annotations

import pytest

from cryomamba.errors import ErrorCode
from cryomamba_gateway.errors import STATUS
from cryomamba_gateway.origins import is_encrypted, origin_allowed
from cryomamba_gateway.png import palette


def test_every_code_has_a_status() -> None:
    """The closed list of codes is mapped as a whole, to errors."""
    assert set(STATUS) == set(ErrorCode)
    assert all(400 <= status < 600 for status in STATUS.values())


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
    ],
)
def test_which_origins_are_allowed(headers: dict[str, str], allowed: bool) -> None:
    """The gateway's own, those of the list, and programs."""
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
def test_a_page_in_the_clear_is_foreign_to_a_gateway_that_is_not(origin: str, tls: bool, allowed: bool) -> None:
    """The same host without TLS is not the same page; a name in the list is taken as it is written."""
    headers = {"host": "em.example", "origin": origin}
    assert origin_allowed(headers, {"http://lab.example"}, tls=tls) is allowed


@pytest.mark.parametrize(
    ("scheme", "forwarded", "tls"),
    [("https", "", True), ("wss", "", True), ("http", "https", True), ("ws", "HTTPS", True), ("http", "http", False)],
)
def test_how_a_request_came(scheme: str, forwarded: str, tls: bool) -> None:
    """By the connection itself, or by what the proxy says of its own."""
    assert is_encrypted(scheme, {"x-forwarded-proto": forwarded}) is tls


def test_labels_keep_their_colours_and_differ() -> None:
    """256 colours, none twice, the same on every machine."""
    colours = [palette()[place : place + 3] for place in range(0, 768, 3)]
    assert colours[0] == b"\0\0\0"
    assert len(set(colours)) == 256
    assert colours[1] == bytes([238, 136, 43])
