"""TLS handshakes that do not end: they count as unauthenticated connections, and for a limited time."""

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

from cryomamba.testing import DEADLINE_S

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = TypeVar("T")
PER_ADDRESS, LIMIT = 4, 6
PARTIAL_HELLO = b"\x16\x03\x01\x02\x00\x01"


@pytest_asyncio.fixture(loop_scope="session")
async def secure(secured: SecuredServices, pem_files: tuple[Path, Path]) -> AsyncIterator[str]:
    """A gateway that speaks TLS, that allows few unauthenticated connections."""
    cert, key = pem_files
    changed = {
        "max_unauthenticated": LIMIT,
        "max_unauthenticated_per_address": PER_ADDRESS,
        "gateway_certfile": cert,
        "gateway_keyfile": key,
    }
    async with secured.services.running(secured.services.settings.model_copy(update=changed)) as url:
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
    writer.write(PARTIAL_HELLO)
    return reader


async def end(reader: asyncio.StreamReader) -> None:
    """Wait until the gateway has closed the connection."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""


async def test_unfinished_handshakes_evict_one_another(
    secured: SecuredServices, secure: str, trust: ssl.SSLContext
) -> None:
    """The oldest are closed, of the same address first; a client that completes its handshake is answered."""
    bearer = {"Authorization": f"Bearer {secured.token('ada')}"}
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(base_url=secure, verify=trust, trust_env=False, timeout=DEADLINE_S) as client,
    ):
        clients = [await half_open(secure, "127.0.0.1", stack) for _ in range(3 * PER_ADDRESS)]
        for reader in clients[:-PER_ADDRESS]:
            await end(reader)
        assert (await client.get("/v1/jobs", headers=bearer)).status_code == 200
        for number in range(2, 2 + LIMIT):
            await half_open(secure, f"127.0.0.{number}", stack)
        for reader in clients[-PER_ADDRESS:]:
            await end(reader)
        assert (await client.get("/v1/jobs", headers=bearer)).status_code == 200
        async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=DEADLINE_S) as newcomer:
            assert (await newcomer.get(f"{secure}/v1/jobs")).status_code == 401


async def test_an_unfinished_handshake_times_out(secure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without other connections."""
    monkeypatch.setattr("cryomamba_gateway.access.connections.REQUEST_S", 0.05)
    async with AsyncExitStack() as stack:
        await end(await half_open(secure, "127.0.0.1", stack))


async def test_unencrypted_requests_are_closed(secure: str) -> None:
    """HTTP without TLS gets no response but the protocol's alert."""
    address = httpx.URL(secure)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        assert b"HTTP" not in await reader.read()
    writer.close()


class TlsClient:
    """A TLS client that sends only what a test asks for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trust: ssl.SSLContext) -> None:
        self.reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    @classmethod
    async def connect(cls, url: str, trust: ssl.SSLContext, stack: AsyncExitStack) -> TlsClient:
        """Connect and do the handshake but for its last message, which goes with the next data."""
        address = httpx.URL(url)
        raw = cls(*await asyncio.open_connection(address.host, address.port), trust)
        stack.callback(raw._writer.close)
        await raw.done(raw.tls.do_handshake)
        return raw

    async def done(self, step: Callable[[], T]) -> T:
        """Run a step, exchanging as many messages as it needs."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    self.flush()
                    self._incoming.write(await self.reader.read(2**16))

    def flush(self) -> None:
        """Send the pending data."""
        self._writer.write(self._outgoing.read())


async def test_a_request_right_behind_the_handshake_is_answered(secure: str, trust: ssl.SSLContext) -> None:
    """The client's last message of the handshake and its request arrive together."""
    async with AsyncExitStack() as stack:
        raw = await TlsClient.connect(secure, trust, stack)
        raw.tls.write(b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await raw.done(raw.tls.read)).startswith(b"HTTP/1.1 200")


async def test_an_evicted_connection_is_not_waited_for(secure: str, trust: ssl.SSLContext) -> None:
    """TLS asks both sides for a closing message; a client that does not send one is ended all the same."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2 * PER_ADDRESS):
            raw = await TlsClient.connect(secure, trust, stack)
            raw.tls.write(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await raw.done(raw.tls.read)).startswith(b"HTTP/1.1 401")
            clients.append(raw)
        for raw in clients[:PER_ADDRESS]:
            await ended(raw.reader)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the connection, whatever comes before it."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(2**16):
                pass
