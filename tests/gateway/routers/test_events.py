"""Server-sent events against a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cryomamba.testing import DEADLINE_S, wait_until_async
from cryomamba_gateway.live import event_stream
from cryomamba_gateway.live.event_stream import EventId, EventQueue, encode_event
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

Event = dict[str, Any]


class Stream:
    """Reads server-sent events by the rules of the HTML standard."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self.comments = 0
        self._lines = reply.aiter_lines()

    async def read(self) -> Event | None:
        """Return the next event; None at the end."""
        event: Event = {}
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = json.loads(value) if name == "data" else value
                elif event:
                    return event
        return None

    async def read_until(self, type_: str) -> list[Event]:
        """Return the events up to the first of a type."""
        found: list[Event] = []
        while not found or found[-1]["event"] != type_:
            event = await self.read()
            assert event is not None, found
            found.append(event)
        return found

    async def read_all(self) -> list[Event]:
        """Return the events to the end."""
        found: list[Event] = []
        while (event := await self.read()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def streamed(services: Services, path: str, **headers: str) -> AsyncIterator[Stream]:
    async with services.http.stream("GET", path, headers=headers) as reply:
        yield Stream(reply)


def seq_of(event: Event) -> int:
    """Return the number in an event's id."""
    found = EventId.parse(event["id"])
    assert found is not None
    return found.seq


async def test_a_job_is_followed_to_its_end(services: Services, worker: Worker) -> None:
    """Each event has an id with its number, its type and the WebSocket's message; the stream ends with the job."""
    job = await services.submit()
    async with streamed(services, f"/v1/jobs/{job.job_id}/events") as stream:
        assert stream.reply.headers["Content-Type"].startswith("text/event-stream")
        (first,) = await stream.read_until("connected")
        assert first["data"]["job_id"] == job.job_id
        assert seq_of(first) == first["data"]["seq"]
        claimed = await worker.claim()
        started = (await stream.read_until("job_started"))[-1]
        await worker.progress(claimed, 0.5)
        progress = (await stream.read_until("progress"))[-1]
        assert (progress["data"]["data"]["fraction"], "id" in progress) == (0.5, False)
        await worker.finish(claimed, {"mask.mrc": b"mask"})
        last = (await stream.read_all())[-1]
    assert (last["event"], last["data"]["data"]["state"]) == ("job_completed", "completed")
    assert seq_of(last) > seq_of(started) > seq_of(first)


async def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(
    services: Services, worker: Worker
) -> None:
    """After Last-Event-ID come the events that it has not seen; after the last one of an ended job comes 204."""
    job = await services.submit()
    path = f"/v1/jobs/{job.job_id}/events"
    async with streamed(services, path) as stream:
        seen = (await stream.read_until("connected"))[-1]["id"]
    claimed = await worker.claim()
    async with streamed(services, path, **{"Last-Event-ID": seen}) as stream:
        (started,) = await stream.read_until("job_started")
    await worker.finish(claimed, {})
    async with streamed(services, path, **{"Last-Event-ID": seen}) as stream:
        assert [event["event"] for event in await stream.read_all()] == ["job_started", "job_completed"]
    async with streamed(services, path, **{"Last-Event-ID": started["id"]}) as stream:
        (completed,) = await stream.read_all()
    again = await services.http.get(path, headers={"Last-Event-ID": completed["id"]})
    assert (again.status_code, again.content) == (204, b"")
    epoch, _, seq = completed["id"].partition(":")
    future = {"Last-Event-ID": f"{epoch}:{int(seq) + 10**6}"}
    async with streamed(services, path, **future) as stream:
        assert [event["event"] for event in await stream.read_all()] == ["error", "connected", "job_completed"]


async def test_all_jobs_are_followed_and_resumed(services: Services, worker: Worker) -> None:
    """`subscribed` has the number from which events are sent; after it, or a later one, none is missed."""
    async with streamed(services, "/v1/events") as stream:
        begun = (await stream.read_until("subscribed"))[-1]["id"]
        job = await services.submit()
        created = (await stream.read_until("job_created"))[-1]
        assert created["data"]["job_id"] == job.job_id
    await worker.finish(await worker.claim(), {})
    async with streamed(services, "/v1/events", **{"Last-Event-ID": begun}) as stream:
        types = [event["event"] for event in await stream.read_until("job_completed")]
    assert [type_ for type_ in types if type_.startswith("job_")] == ["job_created", "job_started", "job_completed"]
    async with streamed(services, "/v1/events", **{"Last-Event-ID": created["id"]}) as stream:
        types = [event["event"] for event in await stream.read_until("job_completed")]
    assert "job_created" not in types


async def test_an_id_of_an_earlier_start_of_the_broker_is_told_from_one_of_this(idle_services: Services) -> None:
    """A job begins with its record; who follows all jobs is told, and still sent what came after the number."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    await services.start_gateway()
    job = await services.submit()
    path = f"/v1/jobs/{job.job_id}/events"
    async with streamed(services, "/v1/events") as all_jobs, streamed(services, path) as one:
        begun = (await all_jobs.read_until("subscribed"))[-1]["id"]
        created = (await one.read_until("connected"))[-1]["id"]
    assert begun == created
    await worker.claim()
    await services.stop_broker()
    await services.start_broker()

    async def is_back() -> bool:
        return (await services.http.get(f"/v1/jobs/{job.job_id}")).status_code == 200

    await wait_until_async(is_back, what="the gateway at the new broker")
    async with streamed(services, path, **{"Last-Event-ID": created}) as stream:
        (record,) = await stream.read_until("connected")
    assert (record["data"]["data"]["state"], seq_of(record) > int(created.partition(":")[2])) == ("running", True)
    assert record["id"].partition(":")[0] != created.partition(":")[0]
    async with streamed(services, "/v1/events", **{"Last-Event-ID": begun}) as stream:
        events = await stream.read_until("job_started")
    assert (events[0]["event"], events[0]["data"]["job_id"]) == ("error", "*")
    assert "was restarted" in events[0]["data"]["data"]["message"]
    # With the new id nothing is told, and nothing comes twice.
    async with streamed(services, "/v1/events", **{"Last-Event-ID": events[-1]["id"]}) as stream:
        await services.http.post("/v1/jobs")
        types = [event["event"] for event in await stream.read_until("job_created")]
    assert [type_ for type_ in types if type_ == "error" or type_.startswith("job_")] == ["job_created"]
    for unknown in ("7", "x"):
        async with streamed(services, "/v1/events", **{"Last-Event-ID": unknown}) as stream:
            assert (await stream.read_until("subscribed"))[0]["event"] == "error"


async def test_a_silent_stream_has_comments(
    services: Services, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep proxies from closing it, and are no events."""
    monkeypatch.setattr(event_stream.EventStream.__init__, "__kwdefaults__", {"heartbeat_s": 0.05})
    job = await services.submit()
    async with streamed(services, f"/v1/jobs/{job.job_id}/events") as stream:
        await stream.read_until("connected")
        reading = asyncio.create_task(stream.read_all())

        async def commented() -> bool:
            return stream.comments >= 2

        await wait_until_async(commented)
        await services.http.delete(f"/v1/jobs/{job.job_id}")
        assert [event["event"] for event in await reading] == ["job_cancelled"]


async def test_an_unknown_job_is_a_404_and_head_ends_at_once(services: Services, worker: Worker) -> None:
    """Before the stream begins; HEAD has its headers."""
    unknown = await services.http.get("/v1/jobs/00000000-0000-4000-8000-000000000000/events")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    job = await services.submit()
    for path in ("/v1/events", f"/v1/jobs/{job.job_id}/events", f"/jobs/{job.job_id}/events"):
        head = await services.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"].startswith("text/event-stream")


async def test_disconnected_clients_leave_nothing_behind(services: Services, worker: Worker) -> None:
    """Their tasks end, and so do those of clients whose job ended."""
    job = await services.submit()
    for path in ("/v1/events", f"/v1/jobs/{job.job_id}/events"):
        for _ in range(3):
            async with streamed(services, path) as stream:
                await stream.read()

    async def gone() -> bool:
        return not [task for task in asyncio.all_tasks() if task.get_name().startswith("events-")]

    await wait_until_async(gone)


async def test_an_owner_sees_only_its_own_and_the_limit_counts(
    idle_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """404 for another's job, silence about it, 429 over the limit, and the end once the token is revoked."""
    services = idle_services
    tokens = TokenStore(services.settings.keys)
    ada, info = tokens.create("ada", [Scope.WRITE], days=1)
    bob, _ = tokens.create("bob", [Scope.WRITE], days=1)
    monkeypatch.setattr("cryomamba_gateway.access.auth.RECHECK_S", 0.1)
    await services.start_broker()
    worker = await services.start_worker()
    await services.start_gateway(sockets_per_token=1)
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in (("ada", ada), ("bob", bob))}
    assert (await services.http.get("/v1/events")).status_code == 401
    async with streamed(services, "/v1/events", **headers["ada"]) as stream:
        await stream.read_until("subscribed")
        over = await services.http.get("/v1/events", headers=headers["ada"])
        assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
        bobs = (await services.http.post("/v1/jobs", headers=headers["bob"])).json()["job_id"]
        own = (await services.http.post("/v1/jobs", headers=headers["ada"])).json()["job_id"]
        assert (await stream.read_until("job_created"))[-1]["data"]["job_id"] == own
        refused = await services.http.get(f"/v1/jobs/{bobs}/events", headers=headers["ada"])
        assert refused.status_code == 404
        tokens.revoke(info.id)
        assert (await stream.read_all())[-1]["data"]["data"]["code"] == "unauthorized"
    assert worker is not None


async def test_ids_and_the_header_are_read_strictly() -> None:
    """Only messages with a number of an event have an id, with the epoch of when they were added."""
    numbered = '{"type":"job_started","job_id":"a","timestamp":"2026","seq":7,"data":{}}'
    assert encode_event(numbered, 5) == f"id: 5:7\nevent: job_started\ndata: {numbered}\n\n"
    link = '{"type":"link","job_id":null,"timestamp":"2026","seq":0,"data":{}}'
    assert encode_event(link, 5).startswith("event: link\n")
    epochs = iter((5, 6))
    queue = EventQueue(lambda: next(epochs))
    queue.put(numbered)
    queue.put(numbered)
    assert [str(queue.get_nowait()).partition("\n")[0] for _ in range(2)] == ["id: 5:7", "id: 6:7"]
    assert EventId.parse("5:7") == EventId(5, 7)
    for text in ("7", "", "x", "5:", ":7", "5:-1", "5:7:9", "5:²", f"5:{'9' * 30}", None):
        assert EventId.parse(text) is None
