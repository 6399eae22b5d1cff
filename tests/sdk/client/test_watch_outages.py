"""Every watcher sees the end: whatever fails meanwhile, a watch that has begun does not end before its job."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from tests.sdk.client.records import record
from tests.sdk.client.test_job_follower import Source, source, state

from cryomamba.client import AsyncClient, aconnect, job_follower
from cryomamba.client.bus_requester import BusRequester
from cryomamba.client.bus_subscriber import Subscription
from cryomamba.client.bus_transport import BusTransport
from cryomamba.client.bus_watch import AllWatch
from cryomamba.client.job_follower import JobFollower
from cryomamba.errors import CryoMambaError, InternalError, NotFoundError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, StateEvent
from cryomamba.models.jobs import JobRecord
from cryomamba.testing import DEADLINE_S, FaultProxy, wait_until_async
from cryomamba.wire.requests import EventPage

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHAPE = (8, 10, 12)
COMPLETED = record("pending", "running", "completed")


def proxied(address: str) -> FaultProxy:
    host, port = address.split("//")[1].split(":")
    return FaultProxy(host, int(port))


async def connect_cuttable(
    services: Services, transport: str, stack: AsyncExitStack
) -> tuple[AsyncClient, list[FaultProxy]]:
    """Return a client, and the proxies of all its connections."""
    if transport == "http":
        link = stack.enter_context(proxied(services.url))
        return await stack.enter_async_context(await aconnect(f"http://127.0.0.1:{link.port}")), [link]
    ends = services.broker.endpoints.model_dump()
    links = {name: stack.enter_context(proxied(ends[name])) for name in ("jobs", "events", "preview_out")}
    far = services.broker.endpoints.model_copy(
        update={name: f"tcp://127.0.0.1:{link.port}" for name, link in links.items()}
    )
    client = AsyncClient(BusTransport(far.jobs, endpoints=far))
    return await stack.enter_async_context(client), list(links.values())


@pytest.mark.parametrize("transport", ["http", "bus"])
async def test_a_watch_that_begins_during_an_outage_sees_the_end(
    services: Services, worker: Worker, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that has reached the server before says that the connection is lost, and waits."""
    monkeypatch.setattr("cryomamba.client.http_transport.RETRY_S", 0.2)
    monkeypatch.setattr(job_follower, "QUIET_S", 0.2)
    async with AsyncExitStack() as stack:
        client, links = await connect_cuttable(services, transport, stack)
        if transport == "bus":
            monkeypatch.setattr(client.transport, "record", _impatient(client))
        job = await client.submit(shape=SHAPE)
        for link in links:
            link.cut()
        seen: list[Event] = []

        async def follow() -> None:
            async for event in client.watch(job.job_id):
                seen.append(event)  # noqa: PERF401 (looked at while it grows)

        async def lost() -> bool:
            return following.done() or any(isinstance(one, ConnectionEvent) and one.status == "lost" for one in seen)

        following = asyncio.create_task(follow())
        await wait_until_async(lost, what="the watcher to notice")
        await worker.finish(await worker.claim(), {})
        for link in links:
            link.restore()
        await following
        last = seen[-1]
        assert isinstance(last, StateEvent)
        assert last.event.type == "job_completed"


def _impatient(client: AsyncClient) -> object:
    """Return a request for a record that gives up soon, so that the test need not wait for ten seconds."""
    transport = client.transport
    assert isinstance(transport, BusTransport)
    ask = transport.record

    async def record_soon(job_id: str) -> JobRecord:
        try:
            async with asyncio.timeout(0.3):
                return await ask(job_id)
        except TimeoutError:
            raise UnavailableError("The broker did not answer in time.") from None

    return record_soon


async def test_a_watch_of_a_server_that_never_answered_is_an_error(services: Services) -> None:
    """There a wrong address is more likely than an outage."""
    async with AsyncExitStack() as stack:
        client, (link,) = await connect_cuttable(services, "http", stack)
        link.cut()
        with pytest.raises(UnavailableError):
            await anext(client.watch("a-job"))


class FailingSource(Source):
    """A source whose later requests for the record fail, until the state arrives as a message."""

    error: CryoMambaError
    asked = 0

    async def record(self, job_id: str) -> JobRecord:
        self.asked += 1
        if self.asked == 1:
            return await super().record(job_id)
        if self.asked == 3:
            self.subscription.deliver(state(COMPLETED))
        raise self.error


async def follow_failing(error: CryoMambaError) -> list[str]:
    base = source(job=record("pending", "running"))
    failing = FailingSource(base.job, base.subscription)
    failing.error = error
    follower = JobFollower(failing, "a-job", previews=False)
    return [str(item.event.state) async for item in follower.items() if isinstance(item, StateEvent)]


async def test_a_defect_of_the_broker_does_not_end_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request in between may fail for any reason; the state comes all the same."""
    monkeypatch.setattr(job_follower, "QUIET_S", 0.01)
    assert await follow_failing(InternalError("Too many open files.")) == ["completed"]


async def test_a_deleted_job_ends_its_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to wait for any more."""
    monkeypatch.setattr(job_follower, "QUIET_S", 0.01)
    with pytest.raises(NotFoundError):
        await follow_failing(NotFoundError("There is no such job."))


class QuietSource:
    """Events of which no message was published."""

    def __init__(self) -> None:
        self.subscription = Subscription(())
        self.job = record("pending")

    async def subscribe_all(self) -> Subscription:
        return self.subscription

    async def last_event(self) -> int:
        return self.job.history[-1].n

    async def events_since(self, n: int) -> EventPage:
        events = tuple(event for event in self.job.history if event.n > n)
        return EventPage(events=events, last=self.job.history[-1].n)

    async def record(self, job_id: str) -> JobRecord:  # noqa: ARG002 (the protocol's)
        return self.job


async def test_a_dropped_last_message_is_asked_for() -> None:
    """ZeroMQ drops messages for a subscriber whose queue is full: if none follows, the gap shows only on request."""
    quiet = QuietSource()
    watch = AllWatch(quiet)
    watch.quiet_s = 0.01
    seen: list[str] = []

    async def follow(events: AsyncGenerator[Event, None]) -> None:
        async for event in events:
            if isinstance(event, ConnectionEvent):
                quiet.job = COMPLETED
            if isinstance(event, StateEvent):
                seen.append(str(event.event.state))
            if seen[-1:] == ["completed"]:
                return

    await follow(watch.events())
    assert seen == ["running", "completed"]


@pytest.mark.parametrize("restored", ["before", "meanwhile", "unnoticed"])
async def test_a_number_that_the_broker_has_not_given_yet_starts_anew(restored: str) -> None:
    """A broker whose data directory was restored counts on from a lower number; nobody waits until it catches up."""
    quiet = QuietSource()
    watch = AllWatch(quiet, since=1000 if restored == "before" else None)
    watch.quiet_s = 0.01 if restored == "unnoticed" else DEADLINE_S
    events = watch.events()
    assert await anext(events) == ConnectionEvent("connected", "Connected to the broker.")
    if restored != "before":
        watch.last = 1000
    if restored == "meanwhile":
        quiet.subscription.queue.put(ConnectionEvent("restarted", "The broker has restarted."))
        assert (await anext(events)).status == "restarted"  # type: ignore[union-attr]
    if restored == "unnoticed":
        quiet.job = COMPLETED
        waiting = asyncio.ensure_future(anext(events))
        await wait_until_async(lambda: asyncio.sleep(0, watch.last == COMPLETED.history[-1].n), what="the lower number")
        waiting.cancel()
        return
    assert watch.last == quiet.job.history[-1].n


class DefectiveSource(QuietSource):
    """The same, where the first requests for what was missed fail for a reason that no client expects."""

    defects = 2

    async def events_since(self, n: int) -> EventPage:
        self.defects -= 1
        if self.defects >= 0:
            raise InternalError("Too many open files.")
        return await super().events_since(n)


async def test_a_defect_of_the_broker_does_not_end_a_watch_of_all() -> None:
    """What was missed is asked for again until the broker has answered."""
    source = DefectiveSource()
    watch = AllWatch(source, since=COMPLETED.history[-1].n - 2)
    watch.quiet_s = 0.01
    seen: list[str] = []
    async with contextlib.aclosing(watch.events()) as events:
        async for event in events:
            if isinstance(event, ConnectionEvent) and event.status == "connected":
                source.job = COMPLETED
            if isinstance(event, StateEvent):
                seen.append(str(event.event.state))
            if seen[-1:] == ["completed"]:
                break
    assert seen == ["running", "completed"]


@pytest.mark.parametrize("connected", [False, True])
async def test_a_request_in_flight_fails_when_the_client_is_closed(connected: bool) -> None:
    """As an error, not as a cancellation: that would end the task that waits for it without a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if connected else 1
        requester = BusRequester(f"tcp://127.0.0.1:{port}", src="me")
        waiting = asyncio.create_task(requester.request("ping", {}))
        await asyncio.sleep(0)
        await requester.close()
        with pytest.raises(UnavailableError, match="closed"):
            await waiting
