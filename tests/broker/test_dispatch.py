"""The jobs socket: repeated requests, unknown fields, and messages that are not requests."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest
import zmq
import zmq.asyncio
from tests.broker.jobs import DEMO_JOB

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import ErrorCode, InvalidRequestError, error_from_payload
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import EnvelopeFactory, decode, encode
from cryomamba.wire.requests import REQUESTS
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]


async def test_a_request_that_is_sent_again_is_executed_once(
    broker: Broker, worker: BusRequester, subscribe: Subscribe
) -> None:
    """The same message sent twice gets the same reply and makes one job."""
    raw = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    message = encode(EnvelopeFactory("c").envelope("job.submit", DEMO_JOB, ts=0.0, owner="*"))
    await raw.send(message)
    first = decode(await raw.recv())
    await raw.send(message)
    again = decode(await raw.recv())
    assert first.body["job_id"] == again.body["job_id"]
    assert broker.counters.repeated == 1
    listed = await worker.request("job.list", {})
    assert len(listed.body["jobs"]) == 1


@pytest.mark.parametrize("type_", sorted(REQUESTS))
async def test_every_request_refuses_unknown_fields(client: BusRequester, type_: str) -> None:
    """A misspelt field name is an error in every request."""
    with pytest.raises(InvalidRequestError):
        await client.request(type_, {"mistyped": 1})


async def test_messages_that_are_not_requests_are_counted(
    broker: Broker, client: BusRequester, subscribe: Subscribe
) -> None:
    """Another version, an unknown type and a header with an id get an error; the rest is counted."""
    raw = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    fields = {"v": 9, "type": "ping", "id": "i1", "src": "x", "epoch": 0, "seq": 0, "ts": 0.0}
    await raw.send(msgpack.packb(fields))
    newer = decode(await raw.recv())
    assert (newer.type, newer.corr) == ("error", "i1")
    assert error_from_payload(newer.body).code is ErrorCode.PROTOCOL
    await raw.send(msgpack.packb({**fields, "v": 1, "type": "job.destroy", "id": "i2"}))
    assert decode(await raw.recv()).corr == "i2"
    await raw.send(msgpack.packb({"id": "i3", "junk": "x" * HEADER_MAX_BYTES}))
    assert decode(await raw.recv()).body["code"] == "too_large"
    for junk in (b"", b"\xc1", b"\x93\x01", msgpack.packb([1, 2])):
        await raw.send(junk)
    await raw.send_multipart([b"", b"two parts"])
    while broker.counters.malformed < 7:
        await client.request("ping", {})
