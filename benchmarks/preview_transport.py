"""A preview from worker to direct subscriber through the broker, against the same bytes over a plain TCP socket.

Two processes on each side of both ways: this one packs nothing and only sends; a receiving process subscribes to the
bus as a client does, and accepts a TCP connection. The broker is a third process. The time of one frame runs from just
before it is sent to the moment the receiver has it whole, on the machine's common clock; bus and TCP take turns.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import zmq

from cryomamba.client.bus_subscriber import BusMessage, BusSubscriber
from cryomamba.endpoints import BusEndpoints
from cryomamba.models.frames import PreviewFrame
from cryomamba.testing import Stack, wait_until
from cryomamba.wire.buffers import Codec
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.topics import preview_topic

JOB = "00000000-0000-0000-0000-000000000001"
ROUNDS = 400
PREFIX = 4


def receive_tcp(server: socket.socket, report: Connection) -> None:
    """Report when each length-prefixed message has come whole."""
    link, _ = server.accept()
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1 << 21))
    while link.recv_into(buffer, PREFIX, socket.MSG_WAITALL) == PREFIX:
        size = int.from_bytes(buffer[:PREFIX], "little")
        done = 0
        while done < size:
            done += link.recv_into(buffer[done:size])
        report.send(time.perf_counter())


async def receive_bus(endpoints: BusEndpoints, report: Connection) -> None:
    """Report when each frame lies in the subscriber's mailbox."""
    hub = BusSubscriber(endpoints)
    subscription = hub.subscribe(JOB, previews=True)
    while True:
        got = await subscription.queue.get()
        if got is None:
            break
        if isinstance(got[0], BusMessage):
            report.send(time.perf_counter())


def receiver(endpoints: BusEndpoints, server: socket.socket | None, report: Connection) -> None:
    if server is not None:
        receive_tcp(server, report)
    else:
        asyncio.run(receive_bus(endpoints, report))


class ConnectionState:
    """A way to a receiving process: sends a message and waits for the report of its arrival."""

    def __init__(self, way: str, endpoints: BusEndpoints) -> None:
        self.reports, theirs = multiprocessing.Pipe(duplex=False)
        server = socket.create_server(("127.0.0.1", 0)) if way == "tcp" else None
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=receiver, args=(endpoints, server, theirs), daemon=True)
        self.process.start()
        self.context = zmq.Context()
        self.publisher = self.context.socket(zmq.PUB)
        self.publisher.connect(endpoints.preview_in)
        self.stamp = EnvelopeFactory("benchmark")
        if server is not None:
            self.plain = socket.create_connection(server.getsockname())
            self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.close()

    def over_bus(self, frame: tuple[dict[str, object], object, bytes]) -> None:
        body, spec, part = frame
        topic = preview_topic(JOB)
        envelope = self.stamp.envelope(PREVIEW, body, ts=time.time(), topic=topic, job=JOB, attempt=1, buffers=[spec])  # type: ignore[list-item]
        self.publisher.send_multipart([topic, encode(envelope), part], copy=False)

    def over_tcp(self, part: bytes) -> None:
        self.plain.sendall(len(part).to_bytes(PREFIX, "little") + part)

    def first(self, frame: tuple[dict[str, object], object, bytes]) -> None:
        """Send until the receiver hears it, then let the line fall silent."""
        while not self.reports.poll(0.1):
            self.over_bus(frame)
        while self.reports.poll(0.5):
            self.reports.recv()

    def close(self) -> None:
        self.process.terminate()
        self.process.join()
        self.publisher.close(linger=0)
        self.context.term()


def ball(labels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    z, y, x = np.ogrid[-1:1:128j, -1:1:128j, -1:1:128j]
    shells = np.sqrt(z**2 + y**2 + x**2) * 8
    return np.asarray(shells.astype(np.int64) % (labels + 1), np.uint8)


def compare(endpoints: BusEndpoints, labels: int, codec: Codec) -> None:
    """Print one row."""
    frame = PreviewFrame(JOB, ball(labels), (1, 1, 1), (128, 128, 128), (10.0, 10.0, 10.0), 0.5, "demo")
    packed = encode_frame(frame, codec=codec)
    bus, tcp = ConnectionState("bus", endpoints), ConnectionState("tcp", endpoints)
    bus.first(packed)
    times: dict[str, list[float]] = {"bus": [], "tcp": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        bus.over_bus(packed)
        times["bus"].append(bus.reports.recv() - started)
        started = time.perf_counter()
        tcp.over_tcp(packed[2])
        times["tcp"].append(tcp.reports.recv() - started)
    bus.close()
    tcp.plain.close()
    tcp.close()
    on_bus, on_tcp = (1e3 * statistics.median(times[name]) for name in ("bus", "tcp"))
    name = f"{labels} label{'s' * (labels > 1)}, {codec}"
    print(f"{name:<20}{len(packed[2]):>9}{on_bus:>12.2f}{on_tcp:>12.2f}{on_bus / on_tcp:>8.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        stack.start("broker")
        wait_until((Path(folder) / "bus.json").exists, what="the broker's connection file")
        names = BusEndpoints.model_fields
        endpoints = BusEndpoints.model_validate({name: f"tcp://127.0.0.1:{stack.ports[name]}" for name in names})
        print(f"{'mask 128³':<20}{'bytes':>9}{'bus p50 ms':>12}{'TCP p50 ms':>12}{'ratio':>8}   (target 3)")
        compare(endpoints, 1, "raw")
        compare(endpoints, 3, "raw")
        compare(endpoints, 3, "deflate")


if __name__ == "__main__":
    main()
