"""A preview from worker to subscriber through the broker, against the same bytes over a plain TCP socket.

128³ masks are packed as previews are, published on a real bus (broker process in the middle) and received by a direct
subscriber; in the same run, alternating, the same packed bytes go through a relay-free loopback TCP connection. What
is timed is the time from just before sending to the last byte received, one at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import zmq
import zmq.asyncio

from cryomamba.client.bus import BusTransport
from cryomamba.endpoints import BusEndpoints
from cryomamba.testing import Stack, wait_until
from cryomamba.wire.envelope import Stamp, encode
from cryomamba.wire.preview import PREVIEW, PreviewFrame, encode_frame
from cryomamba.wire.topics import preview_topic

JOB = "00000000-0000-0000-0000-000000000001"
ROUNDS = 300


def mask(labels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    z, y, x = np.ogrid[-1:1:128j, -1:1:128j, -1:1:128j]
    return ((np.sqrt(z**2 + y**2 + x**2) * 8).astype(np.int64) % (labels + 1)).astype(np.uint8)


class TcpLink:
    """A plain loopback connection: the floor."""

    async def open(self) -> None:
        self.arrived: asyncio.Queue[int] = asyncio.Queue()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := int.from_bytes(await reader.read(4), "little"):
            await reader.readexactly(size)
            self.arrived.put_nowait(size)
        writer.close()

    async def send(self, part: bytes) -> float:
        started = time.perf_counter()
        self.writer.write(len(part).to_bytes(4, "little"))
        self.writer.write(part)
        await self.writer.drain()
        await self.arrived.get()
        return time.perf_counter() - started

    async def close(self) -> None:
        self.writer.close()
        self.server.close()


class BusLink:
    """Publisher → broker → subscriber, as inference and desktop do it."""

    def __init__(self, stack: Stack) -> None:
        self.endpoints = BusEndpoints.model_validate(
            {name: f"tcp://127.0.0.1:{stack.ports[name]}" for name in BusEndpoints.model_fields}
        )
        self.transport = BusTransport(stack.bus_url, endpoints=self.endpoints)
        self.context = zmq.asyncio.Context()
        self.publisher = self.context.socket(zmq.PUB)
        self.stamp = Stamp("benchmark")

    async def open(self, part_of: PreviewFrame) -> None:
        self.publisher.connect(self.endpoints.preview_in)
        self.subscription = (await self.transport.hub()).open(JOB, previews=True)
        body, spec, part = encode_frame(part_of, codec="raw")
        while not len(self.subscription.mailbox):
            await self.send_only(body, spec, part)
            await asyncio.sleep(0.05)
        while len(self.subscription.mailbox):
            await self.subscription.mailbox.get()
            await asyncio.sleep(0.05)

    async def send_only(self, body: dict[str, object], spec: object, part: bytes) -> None:
        topic = preview_topic(JOB)
        envelope = self.stamp.envelope(PREVIEW, body, ts=time.time(), topic=topic, job=JOB, attempt=1, buffers=[spec])  # type: ignore[list-item]
        await self.publisher.send_multipart([topic, encode(envelope), part], copy=False)

    async def send(self, body: dict[str, object], spec: object, part: bytes) -> float:
        started = time.perf_counter()
        await self.send_only(body, spec, part)
        await self.subscription.mailbox.get()
        return time.perf_counter() - started

    async def close(self) -> None:
        await self.transport.close()
        self.publisher.close(linger=0)
        self.context.term()


async def measure(stack: Stack) -> None:
    print(f"{'mask 128³':<22}{'bytes':>10}{'bus p50 ms':>12}{'TCP p50 ms':>12}{'ratio':>8}   (limit 3)")
    for labels in (1, 3, 200):
        frame = PreviewFrame(JOB, mask(labels), (1, 1, 1), (128, 128, 128), (10.0, 10.0, 10.0), 0.5, "demo")
        codec = "deflate" if labels > 3 else "raw"
        body, spec, part = encode_frame(frame, codec=codec)
        bus, tcp = BusLink(stack), TcpLink()
        await bus.open(
            frame if labels <= 3 else PreviewFrame(JOB, mask(1), (1, 1, 1), (128,) * 3, (10.0,) * 3, 0.5, "demo")
        )
        await tcp.open()
        times: dict[str, list[float]] = {"bus": [], "tcp": []}
        for _ in range(ROUNDS):
            times["bus"].append(await bus.send(body, spec, part))
            times["tcp"].append(await tcp.send(part))
        await bus.close()
        await tcp.close()
        on_bus, on_tcp = (1e3 * statistics.median(times[name]) for name in ("bus", "tcp"))
        name = f"{labels} label{'s' * (labels > 1)}, {codec}"
        print(f"{name:<22}{len(part):>10}{on_bus:>12.2f}{on_tcp:>12.2f}{on_bus / on_tcp:>8.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        stack.start("broker")
        wait_until((Path(folder) / "bus.json").exists, what="the broker's connection file")
        asyncio.run(measure(stack))


if __name__ == "__main__":
    main()
