"""A program: a subscriber reads nothing while frames arrive and its connection is replaced, and then reads again.

libzmq ends a process in which that goes wrong, so a test runs it as one.
"""

from __future__ import annotations

import asyncio

import zmq
from zmq.utils.monitor import parse_monitor_message

from cryomamba.client.bus_subscriber import BusSubscriber
from cryomamba.endpoints import BusEndpoints
from cryomamba.testing import DEADLINE_S, wait_until
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.topics import preview_topic

FRAMES = 50


def is_bound(socket: zmq.Socket[bytes], endpoint: str) -> bool:
    """Bind a socket if the address is free by now."""
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True


def wait_for_event(monitor: zmq.Socket[bytes], event: int) -> None:
    """Wait for an event of a socket, without giving the event loop a turn."""
    while monitor.poll(int(1000 * DEADLINE_S)):
        if parse_monitor_message(monitor.recv_multipart())["event"] == event:
            return
    raise TimeoutError


async def main() -> None:
    """Stall, lose the connection, get another one, and read."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    first, second = context.socket(zmq.PUB), context.socket(zmq.PUB)
    first.linger = 0
    first.bind("tcp://127.0.0.1:*")
    endpoint = str(first.getsockopt(zmq.LAST_ENDPOINT), "ascii").rstrip("\0")  # type: ignore[arg-type]
    subscriber = BusSubscriber(BusEndpoints(jobs=endpoint, preview_in=endpoint, preview_out=endpoint, events=endpoint))
    subscription = subscriber.subscribe("j", previews=True)
    topic, envelopes = preview_topic("j"), EnvelopeFactory("broker")

    def publish(socket: zmq.Socket[bytes]) -> None:
        envelope = envelopes.envelope(PREVIEW, {}, ts=1.0, job="j")
        socket.send_multipart([topic, encode(envelope), bytes(100_000)])

    async def next_frame(socket: zmq.Socket[bytes]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                publish(socket)
                try:
                    async with asyncio.timeout(0.05):
                        await subscription.queue.get()
                except TimeoutError:
                    continue
                return

    await next_frame(first)
    monitor = subscriber._previews.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    plain: zmq.Socket[bytes] = zmq.Socket.shadow(monitor.underlying)
    for _ in range(FRAMES):
        publish(first)
    first.close()
    wait_for_event(plain, zmq.EVENT_DISCONNECTED)
    wait_until(lambda: is_bound(second, endpoint), what="the address")
    wait_for_event(plain, zmq.EVENT_HANDSHAKE_SUCCEEDED)
    subscriber._previews.disable_monitor()
    monitor.close()
    await next_frame(second)
    await subscriber.close()
    second.close(linger=0)
    context.term()


if __name__ == "__main__":
    asyncio.run(main())
