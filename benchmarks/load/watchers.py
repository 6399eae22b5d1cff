"""Many WebSocket clients in one process, as light as Python allows: what is measured shall be the server.

Frames of the WebSocket are told apart by their headers; previews are counted and acknowledged, but their voxels are
skipped. Some clients send the handshake and never read again.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlsplit

from cryomamba.wire.webframe import SUBPROTOCOL

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
STATES: Final = {"connected", "job_created", "job_started", "job_completed", "job_failed", "job_cancelled"}
_KEPT: Final = 4096
_PREVIEW: Final = b'{"type":"preview"'
_SEQ: Final = re.compile(rb'"seq":(\d+)')
_TS: Final = re.compile(rb'"ts":([0-9.]+)')


@dataclass(frozen=True, slots=True)
class Watch:
    """What one client does: which job it follows, in which form it wants previews, and whether it reads."""

    job: str
    binary: bool
    reads: bool = True


@dataclass(slots=True)
class Seen:
    """What a client was told.

    Attributes
    ----------
    states : list of (str, float)
        Each change of state, and the seconds from the broker's clock to here.
    frames : int
    ages : list of float
        Seconds from the worker to here, of each binary frame.
    code : int
        With which the connection was closed; 0 if it broke.
    """

    states: list[tuple[str, float]] = field(default_factory=list)
    frames: int = 0
    ages: list[float] = field(default_factory=list)
    code: int = 0


class Reader(asyncio.Protocol):
    """A client that reads what comes."""

    def __init__(self, netloc: str, watch: Watch, connected: Callable[[], None], closed: Callable[[], None]) -> None:
        self.seen = Seen()
        self._hello = handshake(netloc, watch)
        self._connected, self._closed = connected, closed
        self._buffer = bytearray()
        self._skip = 0
        self._open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._closed()

    def data_received(self, data: bytes) -> None:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += memoryview(data)[skipped:]
        if not self._open and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(bytes(self._buffer[:end]).decode())
            self._open = True
            del self._buffer[: end + 4]
        while self._open and self._take():
            pass

    def _take(self) -> bool:
        """Take the next message out of the buffer; False if it is not there yet."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        opcode, short = buffer[0] & 15, buffer[1]
        start = {126: 4, 127: 10}.get(short, 2)
        if len(buffer) < start + min(short, len(_PREVIEW)):
            return False
        size = short if start == 2 else int.from_bytes(buffer[2:start], "big")
        is_frame = opcode == BINARY or buffer.startswith(_PREVIEW, start)
        kept = min(size, _KEPT) if is_frame else size
        if len(buffer) < start + kept:
            return False
        self._heed(opcode, bytes(buffer[start : start + kept]), is_frame=is_frame)
        self._skip = max(0, start + size - len(buffer))
        del buffer[: start + size]
        return True

    def _heed(self, opcode: int, content: bytes, *, is_frame: bool) -> None:
        now = time.time()
        if is_frame:
            self.seen.frames += 1
            if opcode == BINARY and (seq := _SEQ.search(content)) and (made := _TS.search(content)):
                self.seen.ages.append(now - float(made[1]))
                self._send(TEXT, b'{"type":"ack","seq":%d}' % int(seq[1]))
        elif opcode == TEXT:
            said = json.loads(content)
            if said["type"] in STATES:
                at = time.mktime(time.strptime(said["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
                self.seen.states.append((said["type"], now - at - float("0" + said["timestamp"][19:-1])))
            if said["type"] == "connected":
                self._connected()
        elif opcode == PING:
            self._send(PONG, content)
        elif opcode == CLOSE:
            self.seen.code = int.from_bytes(content[:2], "big")
            self._send(CLOSE, content[:2])

    def _send(self, opcode: int, content: bytes) -> None:
        assert self._transport is not None
        # Clients mask; with a mask of zeros the content stays as it is.
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(content))) + bytes(4) + content)


def handshake(netloc: str, watch: Watch) -> bytes:
    """Return the request that opens a WebSocket."""
    lines = [
        f"GET /v1/ws/jobs/{watch.job} HTTP/1.1",
        f"Host: {netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    ]
    if watch.binary:
        lines.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_all(url: str, watches: Sequence[Watch], ready: Callable[[], object] = lambda: None) -> list[Seen]:
    """Open all connections, say when all were greeted, and return what they saw when they were closed."""
    netloc = urlsplit(url).netloc
    host, port = netloc.rsplit(":", 1)
    greeted, over = asyncio.Semaphore(0), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    seen = []
    for watch in watches:
        reader = Reader(netloc, watch, greeted.release, over.release)
        await loop.create_connection(partial(_same, reader), host, int(port))
        seen.append(reader.seen)
    for _ in watches:
        await greeted.acquire()
    ready()
    for _ in watches:
        await over.acquire()
    return seen


def turn_deaf(url: str, watch: Watch) -> socket.socket:
    """Open a connection from which nothing will be read."""
    netloc = urlsplit(url).netloc
    host, port = netloc.rsplit(":", 1)
    deaf = socket.create_connection((host, int(port)))
    deaf.sendall(handshake(netloc, watch))
    return deaf


def _same(reader: Reader) -> Reader:
    return reader


def work(url: str, orders: Connection) -> None:
    """Carry out one list of watches after the other, until None comes; those who do not read stay to the end."""
    held: list[socket.socket] = []
    while (watches := orders.recv()) is not None:
        held += [turn_deaf(url, watch) for watch in watches if not watch.reads]
        readers = [watch for watch in watches if watch.reads]
        orders.send(asyncio.run(read_all(url, readers, partial(orders.send, "ready"))))
    for deaf in held:
        deaf.close()
