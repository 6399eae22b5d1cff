"""States and progress of jobs to their subscribers, and the current state to late joiners."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import zmq

from cryomamba.access.visibility import Visibility
from cryomamba.errors import CryoMambaError, NotFoundError, ProtocolError
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, Progress
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, encode
from cryomamba.wire.messages import HEAD, PROGRESS, STATE
from cryomamba.wire.topics import Topic, event_topic, owned_topic
from cryomamba_broker.counters import Counters
from cryomamba_broker.event_socket import EventSocket
from cryomamba_broker.store_thread import StoreThread
from cryomamba_broker.subscriptions import Subscriptions
from cryomamba_server.throttle import Throttle

ENDED_TOPICS: Final = 10_000

logger = logging.getLogger(__name__)


class EventPublisher:
    """What is sent on `events`.

    A message about a job that has an owner is published twice: on the topic of the job, and on that of the owner.

    Parameters
    ----------
    wall : callable
        Seconds since 1970.
    rebind : callable
        Closes the socket, which drops all subscriptions, and returns the one that replaces it.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        envelopes: EnvelopeFactory,
        store: StoreThread,
        counters: Counters,
        wall: Callable[[], float],
        subscriptions: Subscriptions,
        rebind: Callable[[], zmq.Socket[bytes]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_joiners: asyncio.Queue[tuple[bytes, Topic]] = asyncio.Queue()
        self._socket = EventSocket(socket, subscriptions, counters, rebind, self._note_late_joiner)
        self._envelopes, self._store, self._counters = envelopes, store, counters
        self._wall = wall
        self._log = Throttle(logger)
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    async def run(self) -> None:
        """Send events and accept subscriptions until cancelled."""
        await self._socket.run()

    def publish_state(self, event: JobEvent, record: JobRecord) -> None:
        """Publish a change of state."""
        body = _state_body(event, record)
        for topic in _topics(record.job_id, record.owner):
            self._send(topic, self._envelope(STATE, body, topic, record.job_id, record.attempt))
            self._ended.pop(topic, None)
            if record.state.final:
                self._retire(topic)
        self._counters.events += 1

    def publish_progress(self, job_id: str, owner: str, attempt: int, progress: Progress) -> None:
        """Publish the progress of a running job."""
        body = {"progress": progress.model_dump(mode="json"), "attempt": attempt, "state": str(JobState.RUNNING)}
        for topic in _topics(job_id, owner):
            self._send(topic, self._envelope(PROGRESS, body, topic, job_id, attempt))

    def drop_subscriptions(self) -> None:
        """Drop all subscriptions; subscribers with valid keys reconnect."""
        self._socket.drop_subscriptions()

    async def answer_late_joiners(self) -> None:
        """Answer subscriptions to ``sync/`` topics with the current state, forever."""
        while True:
            await self._send_state(*await self._late_joiners.get())

    def _note_late_joiner(self, wanted: bytes, topic: Topic) -> None:
        # The loop is closed if the broker ends at this moment.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._late_joiners.put_nowait, (wanted, topic))

    async def _send_state(self, wanted: bytes, topic: Topic) -> None:
        try:
            if topic.kind != "event":
                raise ProtocolError("Previews are not on the events socket.")
            if topic.job_id:
                await self._send_snapshot(wanted, topic.job_id)
            else:
                await self._send_head(wanted, topic.owner)
        except NotFoundError:
            return
        except CryoMambaError as error:
            self._counters.malformed += isinstance(error, ProtocolError)
            self._log.warning("A subscription to the events got no answer: %s", error.message)

    async def _send_snapshot(self, wanted: bytes, job_id: str) -> None:
        record = await self._store.call(lambda store: store.jobs.get(job_id, Visibility.everything()))
        body = _state_body(record.history[-1], record)
        # The number of the last published message, so that a gap after the snapshot is noticed.
        seq = self._envelopes.last_seq(event_topic(job_id))
        self._send(wanted, replace(self._envelope(STATE, body, wanted, job_id, record.attempt), seq=seq))
        self._envelopes.forget(wanted)
        self._counters.syncs += 1

    async def _send_head(self, wanted: bytes, owner: str | None) -> None:
        visibility = Visibility.everything() if owner is None else Visibility.of(owner)
        last, active = await self._store.call(lambda store: (store.events.last(), store.events.active(visibility)))
        self._send(wanted, self._envelope(HEAD, {"last": last, "jobs": active}, wanted))
        self._envelopes.forget(wanted)
        self._counters.syncs += 1

    def _envelope(
        self, type_: str, body: Mapping[str, Any], topic: bytes, job: str | None = None, attempt: int | None = None
    ) -> Envelope:
        return self._envelopes.envelope(type_, body, ts=self._wall(), topic=topic, job=job, attempt=attempt)

    def _send(self, topic: bytes, envelope: Envelope) -> None:
        self._socket.send(topic, encode(envelope))

    def _retire(self, topic: bytes) -> None:
        self._ended[topic] = None
        if len(self._ended) > ENDED_TOPICS:
            oldest, _ = self._ended.popitem(last=False)
            self._envelopes.forget(oldest)


def _topics(job_id: str, owner: str) -> list[bytes]:
    return [event_topic(job_id), *([owned_topic(owner, job_id)] if owner else [])]


def _state_body(event: JobEvent, record: JobRecord) -> dict[str, Any]:
    return {"event": event.model_dump(mode="json"), "record": record.model_dump(mode="json")}
