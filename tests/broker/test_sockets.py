"""Binding the sockets: ports in use, ipc endpoints, public addresses."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import zmq

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.settings import Settings
from cryomamba_broker.server import Broker
from cryomamba_broker.sockets import bind

# Linux's TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, and TCP_USER_TIMEOUT.
TCP_OPTIONS = 4, 5, 6, 18
StartBroker = Callable[..., Awaitable[Broker]]


async def test_a_port_in_use_is_refused_by_name(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    """The error names the endpoint and the variables, and nothing stays bound."""
    taken = settings.model_copy(update={"home": tmp_path / "other", "bus_events": broker.endpoints.events})
    with pytest.raises(InvalidRequestError, match="in use") as caught:
        async with Broker(taken):
            pass
    assert broker.endpoints.events in caught.value.message


async def test_an_ipc_endpoint_works_and_is_not_taken_away(start_broker: StartBroker, tmp_path: Path) -> None:
    """A broker answers on a socket file, and a second one does not replace the file."""
    endpoint = f"ipc://{tmp_path}/jobs.sock"
    first = await start_broker(bus_jobs=endpoint)
    with pytest.raises(InvalidRequestError, match="in use"):
        await start_broker(bus_jobs=endpoint, home=tmp_path / "other")
    channel = BusRequester(first.endpoints.jobs, src="c")
    assert (await channel.request("ping", {})).body["protocol"] == 1
    await channel.close()


def test_an_address_that_the_machine_lacks_may_come() -> None:
    """An address is not there before its network is, so a supervisor should start the broker again."""
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as made,
        pytest.raises(UnavailableError, match="no such address"),
    ):
        bind(made, "tcp://192.0.2.1:0")


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5560", "tcp://*:5560", "tcp://example.org:5560", "nonsense"])
async def test_an_address_that_others_reach_is_refused(start_broker: StartBroker, endpoint: str) -> None:
    """A bus without keys is bound to loopback addresses only."""
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_BUS_JOBS"):
        await start_broker(bus_jobs=endpoint)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at options of Linux")
async def test_a_peer_that_is_gone_without_a_word_is_found_by_the_system(broker: Broker) -> None:
    """The system probes each accepted connection after a silence, and gives up when its data is not acknowledged."""
    host, _, port = broker.endpoints.events.removeprefix("tcp://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readexactly(10)
    mine = writer.get_extra_info("sockname")
    (accepted,) = (one for one in psutil.Process().net_connections("tcp") if one.raddr == mine)
    with socket.socket(fileno=os.dup(accepted.fd)) as peer:
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        silence, pause, probes, unacknowledged_ms = (peer.getsockopt(socket.IPPROTO_TCP, one) for one in TCP_OPTIONS)
    assert silence + pause * probes <= 15
    assert unacknowledged_ms == 30_000
    writer.close()
