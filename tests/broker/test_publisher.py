"""States and progress on the events socket, and the current state for late joiners."""

from __future__ import annotations

from collections.abc import Callable

import zmq
import zmq.asyncio
from tests.broker.jobs import submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.models.jobs import JobEvent, JobRecord, Progress
from cryomamba.wire.envelope import Envelope, decode
from cryomamba.wire.topics import ALL_EVENTS, event_topic, new_nonce, sync_topic
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]


async def event_from(socket: zmq.asyncio.Socket) -> tuple[bytes, Envelope]:
    topic, header = await socket.recv_multipart()
    return topic, decode(header)


async def test_states_and_progress_are_published_in_order(
    broker: Broker, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """A subscriber to all events receives every change of a job with its record, without a gap."""
    everything = subscribe(broker.endpoints.events, ALL_EVENTS, sync_topic(ALL_EVENTS, "n"))
    _, head = await event_from(everything)
    assert (head.type, head.body) == ("bus.head", {"last": 0, "jobs": 0})
    job_id = (await submit_job(client)).job_id
    await worker.request("job.claim", {"worker": "w", "engines": ["demo"]})
    lease = {"job": job_id, "worker": "w", "attempt": 1}
    await worker.request("job.progress", {**lease, "progress": {"fraction": 0.25, "stage": "looking"}})
    await worker.request("job.finish", {**lease, "artifacts": []})
    got = [await event_from(everything) for _ in range(4)]
    assert [topic for topic, _ in got] == [event_topic(job_id)] * 4
    assert [envelope.seq for _, envelope in got] == [1, 2, 3, 4]
    assert [envelope.type for _, envelope in got] == ["job.state", "job.state", "job.progress", "job.state"]
    states = [envelope for _, envelope in got if envelope.type == "job.state"]
    assert [JobEvent.model_validate(state.body["event"]).n for state in states] == [1, 2, 3]
    for state in states:
        assert JobRecord.model_validate(state.body["record"]).state == state.body["event"]["state"]
    assert Progress.model_validate(got[2][1].body["progress"]).fraction == 0.25


async def test_a_late_joiner_of_a_job_is_sent_its_state(
    broker: Broker, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """The snapshot on the private topic has the newest event, the record, and the number of the last message."""
    job_id = (await submit_job(client)).job_id
    await client.request("job.cancel", {"job": job_id})
    wanted = sync_topic(event_topic(job_id), new_nonce())
    topic, snapshot = await event_from(subscribe(broker.endpoints.events, wanted))
    assert topic == wanted
    assert snapshot.seq == 2
    assert snapshot.body["event"]["type"] == "job_cancelled"
    assert JobRecord.model_validate(snapshot.body["record"]).job_id == job_id
