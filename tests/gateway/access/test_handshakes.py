"""The beginning of TLS on real sockets: whoever does not end it holds a place among strangers, and not for long."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.gateway.access.conftest import Locked

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = TypeVar("T")
HERE, MOST = 4, 6
HELLO_BEGUN = b"\x16\x03\x01\x02\x00\x01"


@pytest_asyncio.fixture(loop_scope="session")
async def secure(locked: Locked, pem_files: tuple[Path, Path]) -> AsyncIterator[str]:
    """A gateway that speaks TLS, with a small lobby, over the same home."""
    cert, key = pem_files
    changed = {
        "max_unauthenticated": MOST,
        "max_unauthenticated_per_address": HERE,
        "gateway_certfile": cert,
        "gateway_keyfile": key,
    }
    async with locked.house.running(locked.house.settings.model_copy(update=changed)) as url:
        yield url


@pytest.fixture
def trust(pem_files: tuple[Path, Path]) -> ssl.SSLContext:
    """What a client of that gateway trusts."""
    return ssl.create_default_context(cafile=str(pem_files[0]))


async def half_open(url: str, source: str, stack: AsyncExitStack) -> asyncio.StreamReader:
    """Begin a handshake and do not end it."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port, local_addr=(source, 0))
    stack.callback(writer.close)
    writer.write(HELLO_BEGUN)
    return reader


async def end(reader: asyncio.StreamReader) -> None:
    """Wait until the gateway has closed the connection."""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""


async def test_unfinished_handshakes_push_out_each_other(
    locked: Locked, secure: str, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go, of the same address first; who ends the handshake is heard, with a token and without."""
    monkeypatch.setattr("cryomamba_gateway.connections.HANDSHAKE_S", 600.0)
    bearer = {"Authorization": f"Bearer {locked.token('ada')}"}
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(base_url=secure, verify=trust, trust_env=False, timeout=20) as client,
    ):
        crowd = [await half_open(secure, "127.0.0.1", stack) for _ in range(3 * HERE)]
        for reader in crowd[:-HERE]:
            await end(reader)
        assert (await client.get("/v1/jobs", headers=bearer)).status_code == 200
        for number in range(2, 2 + MOST):
            await half_open(secure, f"127.0.0.{number}", stack)
        for reader in crowd[-HERE:]:
            await end(reader)
        assert (await client.get("/v1/jobs", headers=bearer)).status_code == 200
        async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=20) as newcomer:
            assert (await newcomer.get(f"{secure}/v1/jobs")).status_code == 401


async def test_a_handshake_that_does_not_end_is_given_up(secure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody else comes."""
    monkeypatch.setattr("cryomamba_gateway.connections.HANDSHAKE_S", 0.05)
    async with AsyncExitStack() as stack:
        await end(await half_open(secure, "127.0.0.1", stack))


async def test_what_is_no_tls_is_closed(secure: str) -> None:
    """HTTP in the clear gets no answer but the protocol's alert."""
    address = httpx.URL(secure)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(20):
        assert b"HTTP" not in await reader.read()
    writer.close()


class Raw:
    """A client of TLS that says only what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trust: ssl.SSLContext) -> None:
        self.reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    @classmethod
    async def connect(cls, url: str, trust: ssl.SSLContext, stack: AsyncExitStack) -> Raw:
        """Connect, and do the handshake but for its last word, which goes with what is said next."""
        address = httpx.URL(url)
        raw = cls(*await asyncio.open_connection(address.host, address.port), trust)
        stack.callback(raw._writer.close)
        await raw.done(raw.tls.do_handshake)
        return raw

    async def done(self, step: Callable[[], T]) -> T:
        """Take a step, with as many words to and fro as it takes."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    self.flush()
                    self._incoming.write(await self.reader.read(2**16))

    def flush(self) -> None:
        """Send what is to be sent."""
        self._writer.write(self._outgoing.read())


async def test_a_request_right_behind_the_handshake_is_heard(secure: str, trust: ssl.SSLContext) -> None:
    """The client's last word of the handshake and its request come in one piece."""
    async with AsyncExitStack() as stack:
        raw = await Raw.connect(secure, trust, stack)
        raw.tls.write(b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await raw.done(raw.tls.read)).startswith(b"HTTP/1.1 200")


async def test_who_is_shown_out_is_not_waited_for(
    secure: str, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS asks both sides to say that they end; a stranger who does not say it holds no place either."""
    monkeypatch.setattr("cryomamba_gateway.connections.TLS_END_S", 600.0)
    async with AsyncExitStack() as stack:
        crowd = []
        for _ in range(2 * HERE):
            raw = await Raw.connect(secure, trust, stack)
            raw.tls.write(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await raw.done(raw.tls.read)).startswith(b"HTTP/1.1 401")
            crowd.append(raw)
        for raw in crowd[:HERE]:
            await ended(raw.reader)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the connection, whatever comes before it."""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(2**16):
                pass
