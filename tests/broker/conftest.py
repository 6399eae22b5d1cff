"""A broker in this process, on free ports with its own data directory, and peers that connect to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio
from tests.broker.frame_publisher import FramePublisher
from tests.broker.locked_bus import ENGINES, LockedBus

from cryomamba.client.bus_requester import BusRequester
from cryomamba.engines.info import EngineInfo
from cryomamba.settings import Settings
from cryomamba.wire.requests import WorkerHello
from cryomamba_broker.server import Broker
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_server.bus_keys import BusKeys

StartBroker = Callable[..., Awaitable[Broker]]
Connect = Callable[..., BusRequester]
Subscribe = Callable[..., zmq.asyncio.Socket]

FREE = "tcp://127.0.0.1:0"
DEMO = EngineInfo(
    name="demo",
    summary="Shows a moving mask.",
    parameters={
        "type": "object",
        "properties": {"seconds": {"type": "number", "minimum": 0}, "strokes": {"type": "object"}},
        "additionalProperties": False,
    },
    needs_volume=False,
)
THRESHOLD = EngineInfo(name="threshold", summary="Cuts.", parameters={"type": "object"}, default=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with free ports, and the test's folder as the only allowed input directory."""
    return Settings(
        home=tmp_path / "home",
        bus_jobs=FREE,
        bus_preview_in=FREE,
        bus_preview_out=FREE,
        bus_events=FREE,
        roots=(tmp_path,),
    )


@pytest_asyncio.fixture
async def start_broker(settings: Settings) -> AsyncIterator[StartBroker]:
    """Start brokers that end with the test."""
    async with AsyncExitStack() as stack:

        async def start(**fields: object) -> Broker:
            policy = LeasePolicy(lease_s=settings.lease_s, pause_s=0.0)
            changed = settings.model_copy(update=fields)
            return await stack.enter_async_context(Broker(changed, policy=policy))

        yield start


@pytest_asyncio.fixture
async def broker(start_broker: StartBroker) -> Broker:
    """A running broker."""
    return await start_broker()


@pytest_asyncio.fixture
async def bus(settings: Settings, start_broker: StartBroker, tmp_path: Path) -> AsyncIterator[LockedBus]:
    """A locked broker with Ada, Bob, an administrator, and a registered worker."""
    keys = BusKeys(settings.keys)
    keys.init()
    broker = await start_broker()
    async with AsyncExitStack() as stack:
        made = LockedBus(broker, keys, tmp_path, stack)
        hello = WorkerHello(worker="w", host="h", pid=1, version="0", engines=ENGINES)
        await made.worker.requester.request("worker.hello", hello)
        yield made


@pytest_asyncio.fixture
async def connect(broker: Broker) -> AsyncIterator[Connect]:
    """Connect peers to the broker's requests."""
    async with AsyncExitStack() as stack:

        def make(src: str = "client") -> BusRequester:
            channel = BusRequester(broker.endpoints.jobs, src=src)
            stack.push_async_callback(channel.close)
            return channel

        yield make


@pytest_asyncio.fixture
async def client(connect: Connect) -> BusRequester:
    """A client."""
    return connect()


@pytest_asyncio.fixture
async def worker(connect: Connect) -> BusRequester:
    """A registered worker 'w' that offers 'demo' and 'threshold'."""
    channel = connect("w")
    hello = WorkerHello(worker="w", host="here", pid=1, version="0", engines=(DEMO, THRESHOLD))
    await channel.request("worker.hello", hello)
    return channel


@pytest_asyncio.fixture
async def subscribe() -> AsyncIterator[Subscribe]:
    """Subscribe to topics, or make another raw socket, without the SDK's own reader."""
    context = zmq.asyncio.Context()
    made: list[zmq.asyncio.Socket] = []

    def make(endpoint: str, *topics: bytes, kind: int = zmq.SUB, hwm: int = 1000) -> zmq.asyncio.Socket:
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.connect(endpoint)
        for topic in topics:
            socket.subscribe(topic)
        made.append(socket)
        return socket

    yield make
    for socket in made:
        socket.close(linger=0)
    # Monitors that a failed test left open are closed too: term() would wait for them for ever.
    context.destroy(linger=0)


@pytest.fixture
def frames(broker: Broker, subscribe: Subscribe) -> FramePublisher:
    """Publish frames to the broker."""
    return FramePublisher(subscribe(broker.endpoints.preview_in, kind=zmq.PUB))
