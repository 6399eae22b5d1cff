"""A preview of 128³ from the array in a worker to the array in a subscriber: directly, and through the gateway.

Broker, gateway and receivers are processes of their own; this one is the worker. Both ways of a ratio take turns, and
the time of a frame runs on the machine's common clock. *Transport* is from the encoded frame until the receiver has it
whole; its yardstick is a TCP socket with the same bytes. Ratios are of the medians; where the machine has other work,
those of the fastest tenth are nearer to what the ways themselves take. *End to end* also has encoding and decoding; its
yardstick is the obvious way, ``json.dumps`` of base64 over a WebSocket with the compression that the library has by
default.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import queue
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import zmq
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints
from benchmarks.report.figures import Figure
from websockets.asyncio.client import connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from cryomamba.client.bus_subscriber import BusMessage, BusSubscriber
from cryomamba.endpoints import BusEndpoints
from cryomamba.models.frames import PreviewFrame
from cryomamba.testing import Stack, wait_until
from cryomamba.wire.buffers import Codec
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_frame, encode_frame
from cryomamba.wire.topics import preview_topic
from cryomamba.wire.webframe import SUBPROTOCOL, decode_web_frame

PREFIX = 4
Mask = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Report = tuple[float, float]
"""When a message had come whole, and when its array was there."""


def receive_tcp(address: int, report: Connection) -> None:
    """Report each length-prefixed message."""
    with socket.create_connection(("127.0.0.1", address)) as link:
        buffer = memoryview(bytearray(1 << 22))
        while link.recv_into(buffer, PREFIX, socket.MSG_WAITALL) == PREFIX:
            size = int.from_bytes(buffer[:PREFIX], "little")
            done = 0
            while done < size:
                done += link.recv_into(buffer[done:size])
            report.send((time.perf_counter(),) * 2)


async def receive_bus(job: str, endpoints: BusEndpoints, report: Connection) -> None:
    subscription = BusSubscriber(endpoints).subscribe(job, previews=True)
    while (got := await subscription.queue.get()) is not None:
        if isinstance(got[0], BusMessage) and got[0].envelope.type == PREVIEW:
            come = time.perf_counter()
            decode_frame(got[0].envelope, got[0].payload)
            report.send((come, time.perf_counter()))


async def receive_web(job: str, url: str, report: Connection, *, binary: bool) -> None:
    protocols = [Subprotocol(SUBPROTOCOL)] if binary else None
    address = f"{url.replace('http', 'ws')}/v1/ws/jobs/{job}"
    async with connect(address, subprotocols=protocols, max_size=None, proxy=None) as link:
        async for message in link:
            come = time.perf_counter()
            if isinstance(message, bytes):
                seq = decode_web_frame(message).seq
            elif not message.startswith('{"type":"preview"'):
                continue
            else:
                found = json.loads(message)
                base64.b64decode(found["data"]["payload"] if "data" in found else found["payload"])
                seq = 0
            report.send((come, time.perf_counter()))
            if seq:
                await link.send(json.dumps({"type": "ack", "seq": seq}))


async def receive_json(port: int, report: Connection) -> None:
    """Report each frame of the obvious way."""
    async with connect(f"ws://127.0.0.1:{port}", max_size=None, proxy=None) as link:
        async for message in link:
            come = time.perf_counter()
            found = json.loads(message)
            np.frombuffer(base64.b64decode(found["mask"]), np.uint8).reshape(found["shape"])
            report.send((come, time.perf_counter()))


def receiver(way: str, job: str, place: Any, report: Connection) -> None:  # noqa: ANN401
    """Receive by one way until the process is ended."""
    if way == "tcp":
        receive_tcp(place, report)
    elif way == "bus":
        asyncio.run(receive_bus(job, place, report))
    elif way == "naive":
        asyncio.run(receive_json(place, report))
    else:
        asyncio.run(receive_web(job, place, report, binary=way == "gateway"))


class Receiver:
    """A process that receives by one way, and its reports."""

    def __init__(self, way: str, job: str, place: object) -> None:
        self.reports, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=receiver, args=(way, job, place, theirs), daemon=True)
        self.process.start()

    def settle(self, send: Callable[[], object]) -> None:
        """Send until the receiver hears it, then let the line fall silent."""
        while not self.reports.poll(0.2):
            send()
        while self.reports.poll(0.5):
            self.reports.recv()

    def time(self, send: Callable[[], float]) -> Report:
        """Return the seconds of the transport and from end to end of one frame; `send` returns when it was encoded."""
        started = time.perf_counter()
        encoded = send()
        come, decoded = self.reports.recv()
        while self.reports.poll():
            self.reports.recv()
        return come - encoded, decoded - started

    def close(self) -> None:
        self.process.terminate()
        self.process.join()


class Senders:
    """The sending end of each way."""

    def __init__(self, stack: ExitStack, endpoints: BusEndpoints, job: str) -> None:
        self.job = job
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.term)
        self.publisher = stack.enter_context(context.socket(zmq.PUB))
        self.publisher.linger = 0
        self.publisher.connect(endpoints.preview_in)
        self.stamp = EnvelopeFactory("benchmark")
        self.listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.links: list[socket.socket] = []
        self.messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.server = stack.enter_context(serve(self._serve, "127.0.0.1", 0))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        # Ends the thread of the connection, for which the server waits.
        stack.callback(self.messages.put, None)
        self.naive_port = self.server.socket.getsockname()[1]

    def _serve(self, link: ServerConnection) -> None:
        while (text := self.messages.get()) is not None:
            link.send(text)

    def publish(self, mask: Mask, codec: Codec) -> float:
        """Encode and publish a frame as a worker does; return when it was encoded."""
        shape = (mask.shape[0], mask.shape[1], mask.shape[2])
        frame = PreviewFrame(self.job, mask, (1, 1, 1), shape, (10.0,) * 3, 0.5, ENGINE, attempt=1)
        body, spec, part = encode_frame(frame, codec=codec)
        topic, now = preview_topic(self.job), time.time()
        envelope = self.stamp.envelope(PREVIEW, body, ts=now, topic=topic, job=self.job, attempt=1, buffers=[spec])
        encoded = time.perf_counter()
        self.publisher.send_multipart([topic, encode(envelope), part], copy=False)
        return encoded

    def plain(self, part: bytes) -> float:
        if not self.links:
            self.links.append(self.listening.accept()[0])
            self.links[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        self.links[0].sendall(len(part).to_bytes(PREFIX, "little") + part)
        return started

    def naive(self, mask: Mask) -> float:
        text = json.dumps({"shape": mask.shape, "mask": base64.b64encode(mask.tobytes()).decode()})
        encoded = time.perf_counter()
        self.messages.put(text)
        return encoded


def shells(labels: int, side: int = 128) -> Mask:
    """Return concentric shells, as a segmentation of vesicles has."""
    z, y, x = np.ogrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j, -1 : 1 : side * 1j]
    distance = np.sqrt(z**2 + y**2 + x**2) * 8
    return np.asarray(distance.astype(np.int64) % (labels + 1), np.uint8)


def noise() -> Mask:
    """Return a mask of single voxels, which no compression makes small."""
    return np.asarray(np.random.default_rng(0).random((128, 128, 128)) < 0.5, np.uint8)


KINDS: dict[str, tuple[Mask, Codec, float, float]] = {
    "64³, 2 bits": (shells(3, 64), "raw", 3, 5.5),
    "128³, 1 bit": (shells(1), "raw", 3, 3.3),
    "128³, 2 bits": (shells(3), "raw", 3, 3.3),
    "128³, compressed": (shells(3), "deflate", 3, 5.5),
}
"""Masks, how they are encoded, and the targets of the transport: directly, and through the gateway."""


def measure(*, quick: bool) -> Iterator[Figure]:
    rounds = 60 if quick else 300
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        stack.start("broker", "gateway")
        wait_until((Path(folder) / "gateway.json").exists, what="the gateway")
        endpoints = bus_endpoints(stack)
        asyncio.run(hello(endpoints))
        job = str(wait_until(lambda: submit(stack.http_url), what="the job"))
        with ExitStack() as exits:
            senders = Senders(exits, endpoints, job)
            places = {
                "tcp": senders.listening.getsockname()[1],
                "bus": endpoints,
                "gateway": stack.http_url,
                "json": stack.http_url,
                "naive": senders.naive_port,
            }
            yield from transports(senders, places, rounds)
            yield from end_to_end(senders, places, max(10, rounds // 5))
    raw = shells(1).nbytes
    for name, mask, target in (("shells", shells(3), 6), ("noise", noise(), 11)):
        frame = PreviewFrame(job, mask, (1, 1, 1), (128, 128, 128), (10.0,) * 3, 0.5, ENGINE)
        size = len(encode_frame(frame, codec="deflate")[2])
        yield Figure(f"size of a compressed frame of {name}", 100 * size / raw, "%", target, "the raw array")


async def hello(endpoints: BusEndpoints) -> None:
    worker = PacedWorker(endpoints, "catalogue", side=8, rate_hz=1, seconds=1)
    await worker.hello()
    await worker.close()


def submit(url: str) -> str | None:
    body = {"volume": {"shape": [128, 128, 128]}, "engine": ENGINE}
    reply = httpx.post(f"{url}/v1/jobs", json=body, trust_env=False)
    return str(reply.json()["job_id"]) if reply.status_code == 201 else None


@contextmanager
def receiving(way: str, senders: Senders, places: dict[str, Any]) -> Iterator[Receiver]:
    """Receive by one way alone: on a machine of two cores, another subscriber of the same frames would delay both."""
    one = Receiver(way, senders.job, places[way])
    try:
        yield one
    finally:
        one.close()


def transports(senders: Senders, places: dict[str, Any], rounds: int) -> Iterator[Figure]:
    for way, label in (("bus", "directly"), ("gateway", "through the gateway")):
        with receiving("tcp", senders, places) as tcp, receiving(way, senders, places) as here:
            for kind, (mask, codec, *targets) in KINDS.items():
                frame = PreviewFrame(senders.job, mask, (1, 1, 1), mask.shape, (10.0,) * 3, 0.5, ENGINE)  # type: ignore[arg-type]
                part = encode_frame(frame, codec=codec)[2]
                plain, publish = partial(senders.plain, part), partial(senders.publish, mask, codec)
                tcp.settle(plain)
                here.settle(publish)
                pairs = [(tcp.time(plain)[0], here.time(publish)[0]) for _ in range(rounds)]
                on_tcp, on_bus = zip(*pairs, strict=True)
                name, against = f"transport of {kind}, {label}", f"TCP with the same {len(part) / 1e3:.0f} kB"
                undisturbed = _lowest_tenth(on_bus) / _lowest_tenth(on_tcp)
                yield Figure(
                    name,
                    statistics.median(on_bus) / statistics.median(on_tcp),
                    "×",
                    targets[way == "gateway"],
                    against,
                    plot="preview",
                    series=label,
                    x=len(part),
                )
                yield Figure(f"{name}, fastest tenth", undisturbed, "×", None, against)
        senders.links.clear()


def _lowest_tenth(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=10)[0]


def end_to_end(senders: Senders, places: dict[str, Any], rounds: int) -> Iterator[Figure]:
    mask = shells(3)
    naive, publish = partial(senders.naive, mask), partial(senders.publish, mask, "deflate")
    ways = (("bus", "directly", 7), ("gateway", "through the gateway", 7), ("json", "as the gateway's JSON", 3))
    with receiving("naive", senders, places) as obvious:
        obvious.settle(naive)
        for way, label, target in ways:
            with receiving(way, senders, places) as here:
                here.settle(publish)
                pairs = [(obvious.time(naive)[1], here.time(publish)[1]) for _ in range(rounds)]
            slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
            yield Figure(f"end to end {label}: faster by", slow / fast, "×", target, "JSON with base64", at_least=True)
    yield Figure("end to end by JSON with base64, the obvious way", slow * 1e3, "ms")
