"""The locked bus: who is let in, what each role may ask, and keys that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio

from cryomamba.access.keys import KeyFile, key_for
from cryomamba.access.roles import Role
from cryomamba.client import calls
from cryomamba.client.bus_requester import BusRequester
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import ConnectionFile
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import AccessError, ErrorCode, InvalidRequestError, UnavailableError
from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.settings import Settings
from cryomamba.testing import wait_until_async
from cryomamba.wire.requests import Empty, WorkerHello
from cryomamba.wire.topics import ALL_EVENTS
from cryomamba_broker.server import Broker
from cryomamba_server.bus_keys import BusKeys

Join = Callable[[KeyFile | None], BusTransport]
DEMO = SubmitRequest(volume=VolumeSource(shape=(8, 8, 8)))
ENGINE = EngineInfo(name="demo", summary="Nothing.", parameters={"type": "object"}, needs_volume=False)


@pytest.fixture
def keys(settings: Settings) -> BusKeys:
    """The keys in the broker's data directory."""
    made = BusKeys(settings.keys)
    made.init()
    return made


@pytest.fixture
def pair(keys: BusKeys, tmp_path: Path) -> Callable[[str, Role], KeyFile]:
    """Create keys for clients."""
    return lambda name, role: keys.add(name, role, file=tmp_path / f"{name}.key")


@pytest_asyncio.fixture
async def locked(keys: BusKeys, start_broker: Callable[..., Awaitable[Broker]]) -> Broker:
    """A broker with keys."""
    return await start_broker()


@pytest_asyncio.fixture
async def join(locked: Broker) -> AsyncIterator[Join]:
    """Connect transports with keys."""
    async with AsyncExitStack() as stack:

        def make(key: KeyFile | None) -> BusTransport:
            transport = BusTransport(locked.endpoints.jobs, endpoints=locked.endpoints, key=key)
            stack.push_async_callback(transport.close)
            return transport

        yield make


@pytest_asyncio.fixture
async def engines(join: Join, settings: Settings) -> None:
    """Register the worker whose key is in the data directory."""
    worker = join(key_for(settings, Role.WORKER))
    await worker.requester.request(
        "worker.hello", WorkerHello(worker="w", host="h", pid=1, version="0", engines=(ENGINE,))
    )


async def silent(transport: BusTransport) -> str:
    """Expect that the broker does not answer, and return the hint."""
    with pytest.raises(UnavailableError) as caught:
        await transport.requester.request("ping", Empty(), timeout=0.5)
    return caught.value.hint


async def test_the_keys_in_the_data_directory_work(join: Join, settings: Settings, engines: None) -> None:
    """A worker and a gateway with the same data directory need no further configuration."""
    client = join(key_for(settings, Role.ADMIN))
    record = await client.call(calls.submit_job(DEMO))
    assert (await client.call(calls.get_job(record.job_id))).state == "pending"


async def test_a_peer_without_a_valid_key_gets_no_reply(
    join: Join, locked: Broker, keys: BusKeys, tmp_path: Path
) -> None:
    """Without a key, with an unknown key or that of another broker: no reply, and the hint names the key as a cause."""
    public, secret = (part.decode() for part in zmq.curve_keypair())
    server = keys.server().public_key
    unknown = KeyFile(name="x", role=Role.CLIENT, public_key=public, secret_key=secret, server_key=server)
    known = keys.add("ada", Role.CLIENT, file=tmp_path / "ada.key")
    for key in (None, unknown, known.model_copy(update={"server_key": public})):
        hint = await silent(join(key))
        assert all(word in hint for word in ("key", "port", "broker"))
    assert (await join(known).requester.request("ping", Empty())).body["epoch"] == locked.envelopes.epoch


async def test_a_viewer_cannot_submit(
    join: Join, engines: None, keys: BusKeys, pair: Callable[[str, Role], KeyFile], tmp_path: Path
) -> None:
    """A viewer may read what belongs to its owner; requests that change something or are for workers are refused."""
    record = await join(pair("ada", Role.CLIENT)).call(calls.submit_job(DEMO))
    viewer = join(keys.add("vera", Role.VIEWER, file=tmp_path / "vera.key", owner="ada"))
    assert (await viewer.call(calls.get_job(record.job_id))).job_id == record.job_id
    for question in (
        viewer.call(calls.submit_job(DEMO)),
        viewer.call(calls.cancel_job(record.job_id)),
        viewer.call(calls.focus_job(record.job_id, (1, 1, 1))),
    ):
        with pytest.raises(AccessError) as caught:
            await question
        assert caught.value.code is ErrorCode.FORBIDDEN
    with pytest.raises(AccessError):
        await viewer.requester.request("job.claim", {"worker": "w", "engines": ["demo"]})
    assert (await viewer.call(calls.get_job(record.job_id))).state == "pending"


async def test_a_client_is_no_worker_and_a_worker_no_client(
    join: Join, engines: None, pair: Callable[[str, Role], KeyFile]
) -> None:
    """Each role may send only its own requests."""
    with pytest.raises(AccessError):
        await join(pair("ada", Role.CLIENT)).requester.request("job.claim", {"worker": "w", "engines": ["demo"]})
    with pytest.raises(AccessError):
        await join(pair("node1", Role.WORKER)).call(calls.submit_job(DEMO))


async def test_keys_come_and_go_without_a_restart(
    join: Join, keys: BusKeys, pair: Callable[[str, Role], KeyFile]
) -> None:
    """An added key works at once; a revoked one is refused on its present connection and on a new one."""
    ada = pair("ada", Role.CLIENT)
    transport = join(ada)
    await transport.requester.request("ping", Empty())
    keys.revoke("ada")
    with pytest.raises(AccessError) as caught:
        await transport.requester.request("ping", Empty())
    assert caught.value.code is ErrorCode.UNAUTHORIZED
    await silent(join(ada))


@pytest.fixture
def raw_context() -> Iterator[zmq.asyncio.Context]:
    """A context for the sockets of an attacker."""
    context = zmq.asyncio.Context()
    yield context
    context.destroy(linger=0)


async def test_an_eavesdropper_reads_nothing(
    join: Join, locked: Broker, engines: None, settings: Settings, raw_context: zmq.asyncio.Context
) -> None:
    """A subscriber without a key receives no event, while one with a key receives it."""
    spy = raw_context.socket(zmq.SUB)
    spy.connect(locked.endpoints.events)
    spy.subscribe(b"")
    client = join(key_for(settings, Role.ADMIN))
    async with contextlib.aclosing(client.watch_all()) as events:
        following = asyncio.ensure_future(anext(aiter(_states(events))))
        while not following.done():
            await client.call(calls.submit_job(DEMO))
            await asyncio.wait({following}, timeout=0.05)
        assert following.result().event.type == "job_created"
    with pytest.raises(zmq.Again):
        await spy.recv(flags=zmq.NOBLOCK)
    spy.close(linger=0)


async def _states(events: AsyncIterator[object]) -> AsyncIterator[StateEvent]:
    async for event in events:
        if isinstance(event, StateEvent):
            yield event


async def test_a_revoked_subscriber_reads_no_more(
    join: Join,
    locked: Broker,
    engines: None,
    settings: Settings,
    keys: BusKeys,
    pair: Callable[[str, Role], KeyFile],
    raw_context: zmq.asyncio.Context,
) -> None:
    """Revoking a key ends its subscriptions, while other subscribers reconnect."""
    spy = raw_context.socket(zmq.SUB)
    pair("vera", Role.ADMIN).secure(spy)
    monitor = spy.get_monitor_socket(zmq.Event.DISCONNECTED)
    spy.connect(locked.endpoints.events)
    spy.subscribe(ALL_EVENTS)
    client = join(key_for(settings, Role.ADMIN))

    async def received() -> bool:
        await client.call(calls.submit_job(DEMO))
        return bool(await spy.poll(50))

    await wait_until_async(received, what="the other to get the event")
    keys.revoke("vera")
    async with asyncio.timeout(20):
        await monitor.recv_multipart()
    spy.disable_monitor()
    monitor.close(linger=0)
    while await spy.poll(0):
        await spy.recv_multipart()
    async with contextlib.aclosing(client.watch_all()) as events:
        following = asyncio.ensure_future(anext(aiter(_states(events))))
        while not following.done():
            await client.call(calls.submit_job(DEMO))
            await asyncio.wait({following}, timeout=0.05)
    assert not await spy.poll(0)
    spy.close(linger=0)


async def test_only_workers_publish_frames(
    locked: Broker, pair: Callable[[str, Role], KeyFile], settings: Settings, raw_context: zmq.asyncio.Context
) -> None:
    """The socket for frames admits the key of a worker, and that of no client."""
    worker = key_for(settings, Role.WORKER)
    assert worker is not None
    for key, allowed in ((worker, True), (pair("ada", Role.CLIENT), False), (pair("vera", Role.VIEWER), False)):
        publisher = raw_context.socket(zmq.XPUB)
        key.secure(publisher)
        monitor = publisher.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.HANDSHAKE_FAILED_AUTH)
        publisher.connect(locked.endpoints.preview_in)
        event = zmq.utils.monitor.parse_monitor_message(await monitor.recv_multipart())["event"]
        assert (event == zmq.Event.HANDSHAKE_SUCCEEDED) is allowed
        publisher.disable_monitor()
        monitor.close(linger=0)
        publisher.close(linger=0)


async def test_the_connection_file_tells_the_public_key_alone(
    locked: Broker, settings: Settings, keys: BusKeys
) -> None:
    """The file is enough to authenticate the broker, and contains no secret."""
    assert ConnectionFile.read(settings.connection_file).public_key == keys.server().public_key
    assert keys.server().secret_key not in settings.connection_file.read_text()


async def test_a_public_address_wants_keys(start_broker: Callable[..., Awaitable[Broker]], settings: Settings) -> None:
    """Without keys the broker refuses to listen beyond loopback; with keys it listens at the given address."""
    with pytest.raises(InvalidRequestError) as caught:
        await start_broker(bus_events="tcp://0.0.0.0:0")
    assert "cryomamba keys init" in caught.value.hint
    BusKeys(settings.keys).init()
    broker = await start_broker(bus_events="tcp://0.0.0.0:0")
    assert broker.endpoints.events.startswith("tcp://0.0.0.0:")


async def test_a_key_file_that_others_can_read_is_refused(keys: BusKeys, settings: Settings) -> None:
    """The broker does not start with a secret that other users can read."""
    (settings.keys / "bus" / "server.key").chmod(0o644)
    with pytest.raises(InvalidRequestError) as caught:
        Broker(settings)
    assert "chmod 600" in caught.value.hint
    with contextlib.suppress(InvalidRequestError):
        keys.server()


async def test_a_channel_of_an_open_bus_needs_no_key(broker: Broker) -> None:
    """Without 'keys init', connections need no key."""
    channel = BusRequester(broker.endpoints.jobs, src="x")
    assert (await channel.request("ping", Empty())).body["epoch"] == broker.envelopes.epoch
    await channel.close()
