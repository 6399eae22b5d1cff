"""Attacks on the bus: what is too large, and what would run if it were loaded."""

from __future__ import annotations

import ast
import asyncio
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import zmq
import zmq.asyncio
import zmq.utils.monitor
from tests.broker.frame_publisher import FramePublisher

from cryomamba.client.bus_requester import BusRequester
from cryomamba.testing import wait_until_async
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.requests import Empty
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]
CODE = Path(__file__).parents[2]


async def cut_off(socket: zmq.asyncio.Socket, parts: list[bytes]) -> None:
    """Send a message, and wait until the other side has closed the connection because of it."""
    monitor = socket.get_monitor_socket(zmq.Event.DISCONNECTED)
    try:
        async with asyncio.timeout(20):
            await socket.send_multipart(parts)
            assert zmq.utils.monitor.parse_monitor_message(await monitor.recv_multipart())["event"]
    finally:
        socket.disable_monitor()
        monitor.close(linger=0)


async def test_what_is_far_too_large_ends_its_connection(
    broker: Broker, client: BusRequester, subscribe: Subscribe
) -> None:
    """A message, a frame and a subscription beyond the limits are not read, and other peers are not affected."""
    ends = broker.endpoints
    await client.request("ping", Empty())
    await cut_off(subscribe(ends.jobs, kind=zmq.DEALER), [b"x" * 2**20])
    publisher = subscribe(ends.preview_in, kind=zmq.XPUB)
    async with asyncio.timeout(20):
        # Before the broker has subscribed, nothing would be sent.
        assert (await publisher.recv())[:1] == b"\x01"
    await cut_off(publisher, [b"v1/preview/x/", b"", b"x" * 3 * PREVIEW_WIRE_MAX_BYTES])
    for end in (ends.preview_out, ends.events):
        await cut_off(subscribe(end, kind=zmq.XSUB), [b"\x01" + b"x" * 10_000])
    assert (await client.request("ping", Empty())).body["epoch"] == broker.envelopes.epoch


async def test_a_topic_that_is_too_long_is_answered_by_nothing(
    broker: Broker, client: BusRequester, subscribe: Subscribe
) -> None:
    """A subscription of 300 characters fits into a message but is not a topic."""
    spy = subscribe(broker.endpoints.events, b"sync/" + b"n" * 300 + b"/v1/event/", b"sync/n/v1/event/")
    async with asyncio.timeout(20):
        topic, _ = await spy.recv_multipart()
    assert topic == b"sync/n/v1/event/"
    await client.request("ping", Empty())


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


async def test_a_pickle_is_only_bytes(
    broker: Broker, client: BusRequester, subscribe: Subscribe, tmp_path: Path
) -> None:
    """As a header, a field, an extension type or a payload it is counted as malformed, and not loaded."""
    mark = tmp_path / "loaded"
    bomb = pickle.dumps(Bomb(mark))
    raw = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    stamp = EnvelopeFactory("eve")
    body = {"volume": {"shape": [8, 8, 8]}, "engine": "demo", "params": {"seconds": bomb}}
    extension = {"volume": {"shape": [8, 8, 8]}, "params": msgpack.ExtType(5, bomb)}
    for message in ([bomb], [encode(stamp.envelope("ping", {}, ts=1.0, owner="*")), bomb]):
        await raw.send_multipart(message)
    for fields in (body, extension):
        await raw.send(encode(stamp.envelope("job.submit", fields, ts=1.0, owner="*")))
        async with asyncio.timeout(20):
            assert b"error" in await raw.recv()
    frames = subscribe(broker.endpoints.preview_in, kind=zmq.PUB)
    before = broker.counters.malformed

    async def refused() -> bool:
        await frames.send_multipart([b"v1/preview/x/", bomb, bomb])
        return broker.counters.malformed > before

    await wait_until_async(refused, what="a refused frame")
    assert not mark.exists()


@pytest.mark.parametrize("part", ["sdk", "services", "desktop"])
def test_nothing_is_unpickled(part: str) -> None:
    """No module loads pickles or other code: none imports a loader, evaluates text or allows pickles in arrays."""
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    for path in (CODE / part).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                if (node.module, [alias.name for alias in node.names]) == ("pickle", ["UnpicklingError"]):
                    continue  # what PyTorch's restricted reader raises
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, path
            elif isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle" or not getattr(node.value, "value", True), path
            assert not names & loaders, path
            if "yaml" in names:
                unsafe = ("UnsafeLoader", "FullLoader", "unsafe_load", "full_load", "yaml.Loader", "YAMLObject")
                assert not [name for name in unsafe if name in path.read_text(encoding="utf-8")], path


async def test_random_bytes_on_every_socket_cost_counters_only(
    broker: Broker, client: BusRequester, frames: FramePublisher, subscribe: Subscribe
) -> None:
    """After thousands of random bytes on all four sockets, and on plain TCP, the broker answers as before."""
    dice = random.Random(4)
    ends = broker.endpoints
    sockets = [
        subscribe(ends.jobs, kind=zmq.DEALER),
        frames.socket,
        subscribe(ends.preview_out, kind=zmq.XSUB),
        subscribe(ends.events, kind=zmq.XSUB),
    ]
    await frames.publish(broker, "job", 1)
    before = broker.counters.malformed
    good = frames.parts("job", 1)
    for _ in range(100):
        junk = [dice.randbytes(dice.randrange(200)) for _ in range(dice.randrange(1, 4))]
        for socket in sockets:
            await socket.send_multipart(junk)
        mutated = good.copy()
        mutated[1] = mutated[1][: dice.randrange(len(mutated[1]))]
        await frames.socket.send_multipart(mutated)
        # A subscription to something that is no topic.
        await sockets[3].send(b"\x01sync/" + dice.randbytes(20))
        assert (await client.request("ping", {})).body["protocol"] == 1
    host, _, port = ends.jobs.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(os.urandom(4096))
    writer.close()
    await reader.read()
    while broker.counters.malformed < before + 200:
        await client.request("ping", {})
    await frames.publish(broker, "job", 2)
