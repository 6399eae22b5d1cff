"""The least that can send frames to many WebSocket clients: one process, one epoll, no queue, no job."""

from __future__ import annotations

import json
import select
import socket
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection

HEADER_BYTES = 300
_CLOSE = b"\x88\x02\x03\xe8"


def broadcast(orders: Connection, count: int, frames: int, rate_hz: float, nbytes: int) -> None:
    """Accept so many clients, send the frames to all of them at an even pace, and report the processor seconds.

    `orders` receives the port, then the word that all may start, and sends the seconds back.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    orders.send(listening.getsockname()[1])
    links = [_accepted(listening) for _ in range(count)]
    orders.recv()
    poller = select.epoll()
    unsent: dict[int, memoryview] = {}
    by_number = {link.fileno(): link for link in links}
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    computed, started = time.process_time(), time.monotonic()
    for number in range(frames):
        message = memoryview(_frame(number, nbytes))
        for link in links:
            _send(link, message, poller, unsent)
        until = started + (number + 1) / rate_hz
        while unsent or time.monotonic() < until:
            _work(poller.poll(max(0.0, until - time.monotonic())), poller, by_number, unsent)
    computed = time.process_time() - computed
    for link in links:
        link.settimeout(None)
        link.sendall(_CLOSE)
    orders.send(computed)
    for link in links:
        link.close()


def _accepted(listening: socket.socket) -> socket.socket:
    link, _ = listening.accept()
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not link.recv(65536).endswith(b"\r\n\r\n"):
        pass
    greeting = json.dumps({"type": "connected", "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")})
    text = b"\x81" + bytes((len(greeting),)) + greeting.encode()
    link.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text)
    link.settimeout(0)
    return link


def _frame(number: int, nbytes: int) -> bytes:
    header = b'{"seq":%d,"ts":%.6f}' % (number + 1, time.time())
    body = header.ljust(HEADER_BYTES) + bytes(nbytes)
    return b"\x82\x7f" + len(body).to_bytes(8, "big") + body


def _send(link: socket.socket, message: memoryview, poller: select.epoll, unsent: dict[int, memoryview]) -> None:
    try:
        sent = link.send(message)
    except BlockingIOError:
        sent = 0
    if sent < len(message):
        unsent[link.fileno()] = message[sent:]
        poller.modify(link.fileno(), select.EPOLLIN | select.EPOLLOUT)


def _work(
    events: list[tuple[int, int]], poller: select.epoll, links: dict[int, socket.socket], unsent: dict[int, memoryview]
) -> None:
    for number, event in events:
        if event & select.EPOLLIN:
            links[number].recv(65536)
        if event & select.EPOLLOUT and number in unsent:
            rest = unsent.pop(number)
            poller.modify(number, select.EPOLLIN)
            _send(links[number], rest, poller, unsent)
