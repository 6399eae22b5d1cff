"""Nothing listens or connects where others could reach it, and the connection file is private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cryomamba.endpoints import (
    BusEndpoints,
    ConnectionFile,
    check_bus_url,
    check_http_url,
    is_local_endpoint,
    require_loopback,
)
from cryomamba.errors import InvalidRequestError, UnavailableError

ENDPOINTS = BusEndpoints(jobs="tcp://127.0.0.1:1", preview_in="ipc:///x", preview_out="ipc:///y", events="ipc:///z")


@pytest.mark.parametrize(
    "where",
    ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "tcp://127.0.0.1:5560", "tcp://[::1]:0", "ipc:///a/b"],
)
def test_loopback_is_allowed(where: str) -> None:
    """Loopback of either family and ipc stay on this machine."""
    require_loopback(where, variable="X")


@pytest.mark.parametrize(
    "where",
    [
        "0.0.0.0",
        "::",
        "192.168.1.5",
        "example.org",
        "localhost.example.org",
        "tcp://*:5560",
        "tcp://0.0.0.0:1",
        "tcp://eth0:1",
        "",
        "tcp://",
    ],
)
def test_anything_else_is_refused_by_name(where: str) -> None:
    """Any other address, wildcard, interface or name is refused, and the message names the setting."""
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_X") as caught:
        require_loopback(where, variable="CRYOMAMBA_X")
    assert "127.0.0.1" in caught.value.hint


def test_local_endpoints() -> None:
    """What has no scheme is not an endpoint."""
    assert not is_local_endpoint("127.0.0.1:5560")


@pytest.mark.parametrize("url", ["", "tcp://", "tcp://host", "tcp://host:99999", "http://h:1", "ipc://", "nonsense"])
def test_a_bus_address_that_is_none_is_refused(url: str) -> None:
    """The error for a mistyped address shows the right form."""
    with pytest.raises(InvalidRequestError, match="not an address"):
        check_bus_url(url)


def test_the_connection_file_is_private_and_whole(tmp_path: Path) -> None:
    """It is readable by its owner alone, and comes back as written; nothing else is left in the folder."""
    path = tmp_path / "home" / "bus.json"
    written = ConnectionFile(epoch=5, pid=1, endpoints=ENDPOINTS)
    written.write(path)
    assert ConnectionFile.read(path) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_or_damaged_connection_file_says_what_to_do(tmp_path: Path) -> None:
    """No broker, or half a file, is an error with a hint."""
    path = tmp_path / "bus.json"
    with pytest.raises(UnavailableError, match="no connection file"):
        ConnectionFile.read(path)
    path.write_text('{"epoch":')
    with pytest.raises(UnavailableError, match="cannot be read"):
        ConnectionFile.read(path)


@pytest.mark.parametrize("url", ["http://", "ftp://a", "http://a:x", "http://a:0", "a:8000", "http://a:99999"])
def test_http_addresses_that_are_refused(url: str) -> None:
    """Each is refused with an example of one."""
    with pytest.raises(InvalidRequestError, match="not an address"):
        check_http_url(url)


def test_an_http_address_keeps_its_path() -> None:
    """A path stays, a slash at the end goes."""
    assert check_http_url("https://lab.example/cryo/") == "https://lab.example/cryo"
