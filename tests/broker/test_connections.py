"""Connections of strangers to the bus: how many are open, and that honest peers are not among those that are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack

import pytest
import zmq.asyncio
from tests.broker.locked_bus import LockedBus

from cryomamba.client import calls
from cryomamba.client.bus_requester import BusRequester
from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S, wait_until_async
from cryomamba.wire.requests import Empty
from cryomamba_broker.connections import BusConnection
from cryomamba_broker.server import Broker

LIMIT, PER_ADDRESS = 6, 4
# Of ZMTP 3.1: signature, version, and the mechanism CURVE of a client; then its HELLO, of which the last 64 bytes lack.
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(128)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few connections without a key."""
    limits = {"max_unauthenticated": LIMIT, "max_unauthenticated_per_address": PER_ADDRESS}
    return settings.model_copy(update=limits)


class Stranger:
    """A TCP connection that sends the given bytes and then nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, endpoint: str, stack: AsyncExitStack, sent: bytes = b"", *, source: int = 1) -> Stranger:
        host, _, port = endpoint.removeprefix("tcp://").partition(":")
        one = cls(*await asyncio.open_connection(host, int(port), local_addr=(f"127.0.0.{source}", 0)))
        stack.callback(one.writer.close)
        one.writer.write(sent)
        return one

    async def closed(self) -> None:
        """Wait until the broker has closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                await self._reader.read()
            except ConnectionResetError:
                return


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake must go on at once."""
    monkeypatch.setattr("cryomamba_broker.connections.SILENT_S", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine, a handshake is under way as long as ZeroMQ waits for it."""
    monkeypatch.setattr("cryomamba_broker.connections.SILENT_S", DEADLINE_S)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", b"\xff", GREETING, GREETING + HELLO], ids=["", "byte", "greeting", "hello"])
async def test_strangers_evict_one_another(bus: LockedBus, sent: bytes) -> None:
    """Of connections without a complete handshake the oldest are closed, on every socket; peers with a key stay."""
    ends = bus.broker.endpoints
    subscription = await bus.ada.subscribe("00000000-0000-4000-8000-000000000000", previews=False)
    await bus.ada.call(calls.server_info())
    async with AsyncExitStack() as stack:
        for endpoint in (ends.jobs, ends.preview_in, ends.preview_out, ends.events):
            silent = [await Stranger.connect(endpoint, stack, sent) for _ in range(3 * PER_ADDRESS)]
            for one in silent[: 2 * PER_ADDRESS]:
                await one.closed()
        assert bus.broker.counters.evicted >= 2 * PER_ADDRESS
        others = [await Stranger.connect(ends.jobs, stack, sent, source=n) for n in range(2, 3 + LIMIT)]
        await others[0].closed()
        # Neither a peer of before nor a new one is taken for a stranger.
        assert (await bus.ada.call(calls.server_info())).engines
        assert (await bus.transport(bus.files["bob"]).call(calls.server_info())).engines
    subscription.close()


@pytest.mark.usefixtures("patient")
async def test_a_crowd_from_one_address_is_let_in(bus: LockedBus) -> None:
    """Peers with a key that connect at once, many more than may be without one, all get through at the first try."""
    with zmq.asyncio.Context() as context, ExitStack() as stack:
        peers = []
        for _ in range(25 * PER_ADDRESS):
            peer = context.socket(zmq.DEALER)
            stack.callback(peer.close, linger=0)
            bus.files["ada"].secure(peer)
            peer.connect(bus.broker.endpoints.jobs)
            peers.append(peer)

        async def admitted() -> bool:
            return len(complete(bus.broker)) >= len(peers)

        await wait_until_async(admitted, what="the crowd")
        assert bus.broker.counters.evicted == 0


@pytest.mark.usefixtures("patient")
async def test_handshakes_under_way_are_bounded(bus: LockedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that have just sent something are closed, too, if there are more than the bound for one address."""
    monkeypatch.setattr("cryomamba_broker.connections.UNFINISHED_MAX", 4 * PER_ADDRESS)
    async with AsyncExitStack() as stack:
        many = [await Stranger.connect(bus.broker.endpoints.jobs, stack, GREETING) for _ in range(8 * PER_ADDRESS)]
        for one in many[: 4 * PER_ADDRESS]:
            await one.closed()
        assert (await bus.transport(bus.files["bob"]).call(calls.server_info())).engines


def complete(broker: Broker) -> list[BusConnection]:
    """Return the broker's connections whose handshake is complete."""
    return [one for one in broker.connections if one.complete]


@pytest.mark.usefixtures("impatient")
async def test_an_open_bus_bounds_silent_connections(
    broker: Broker, client: BusRequester, connect: Callable[..., BusRequester]
) -> None:
    """Without keys a peer that greets is none of them, and one that sends nothing is."""
    await client.request("ping", Empty())
    async with AsyncExitStack() as stack:
        silent = [await Stranger.connect(broker.endpoints.jobs, stack) for _ in range(5 * PER_ADDRESS)]
        for one in silent[: 4 * PER_ADDRESS]:
            await one.closed()
        peers = [connect(f"peer-{number}") for number in range(2 * LIMIT)]
        for peer in (client, *peers, client, *peers):
            assert (await peer.request("ping", Empty())).body["epoch"] == broker.envelopes.epoch
        for one in silent:
            one.writer.close()

        async def counted() -> bool:
            return len(broker.connections) == 1 + len(peers)

        await wait_until_async(counted, what="the closed connections to be forgotten")


async def test_descriptors_are_kept_for_files(
    start_broker: Callable[..., Awaitable[Broker]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections beyond the limit on open files are closed, so that a submit can still read; one line tells it."""
    broker = await start_broker(max_unauthenticated=10_000, max_unauthenticated_per_address=10_000)
    client = BusRequester(broker.endpoints.jobs, src="client")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await client.request("ping", Empty())
        with monkeypatch.context() as patched:
            patched.setattr("cryomamba_broker.connections.connections_max", lambda: 20)
            silent = [await Stranger.connect(broker.endpoints.jobs, stack) for _ in range(40)]
            for one in silent[:10]:
                await one.closed()
            assert (await client.request("ping", Empty())).body["epoch"] == broker.envelopes.epoch
    told = [record for record in caplog.records if "limit on open files" in record.message]
    assert len(told) == 1
