"""Both transports are the same client: what one sees on a stack, the other sees too."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.client import AsyncClient, aconnect, bus_transport
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, StateEvent
from cryomamba.models.jobs import JobError, JobState
from cryomamba.testing import FaultProxy, wait_until_async

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHAPE = (16, 20, 24)


def event_types(events: Sequence[Event]) -> list[str]:
    """What must be the same on both, whatever the timing: states in order, the last picture, no link events."""
    return [event.event.type for event in events if isinstance(event, StateEvent)]


async def test_a_job_is_submitted_watched_and_downloaded(
    services: Services, worker: Worker, client: AsyncClient, ball: Mask, tmp_path: Path
) -> None:
    """States once and in order, previews as arrays with their placement, the last picture before the last word."""
    job = await client.submit(shape=SHAPE, engine="demo", name="mine", priority=3)
    assert (job.state, job.name, job.record.priority, job.record.volume.shape) == (JobState.PENDING, "mine", 3, SHAPE)
    events: list[Event] = []
    content = b"mask" * 1000

    async def work() -> None:
        claimed = await worker.claim()
        for mask in (ball, 3 - ball):
            await worker.publish(claimed, mask)
            await worker.progress(claimed, 0.5)
        await worker.publish(claimed, ball, final=True)
        await worker.finish(claimed, {"mask.mrc": content})

    working = None
    async for event in client.watch(job.job_id):
        events.append(event)
        if working is None and isinstance(event, StateEvent):
            working = asyncio.create_task(work())
    assert working is not None
    await working
    assert event_types(events) == ["job_created", "job_started", "job_completed"]
    last = events[-1]
    assert isinstance(last, StateEvent)
    assert last.record.mask == "mask.mrc"
    frames = [event.frame for event in events if isinstance(event, PreviewEvent)]
    assert frames[-1].final
    np.testing.assert_array_equal(frames[-1].mask, ball)
    assert (frames[-1].scale, frames[-1].volume_shape, frames[-1].translate_A) == ((2, 2, 2), SHAPE, (5.0, 5.0, 5.0))
    done: list[tuple[int, int]] = []
    path = await client.download(job.job_id, to=tmp_path, progress=lambda now, total: done.append((now, total)))
    assert (path.read_bytes(), done[-1]) == (content, (4000, 4000))
    np.testing.assert_array_equal((await client.preview(job.job_id)).mask, ball)


async def test_a_late_watcher_gets_the_end_at_once(worker: Worker, client: AsyncClient, ball: Mask) -> None:
    """The state, the last picture and nothing else, on a job that ended long ago."""
    job = await client.submit(shape=SHAPE)
    claimed = await worker.claim()
    await worker.publish(claimed, ball, final=True)
    await wait_until_async(lambda: _has_preview(client, job.job_id), what="the preview at the broker")
    await worker.finish(claimed, {})
    events = [event async for event in client.watch(job.job_id) if not isinstance(event, ConnectionEvent)]
    assert [type(event) for event in events] == [PreviewEvent, StateEvent]
    assert event_types(events) == ["job_completed"]


async def _has_preview(client: AsyncClient, job_id: str) -> bool:
    with contextlib.suppress(NotFoundError):
        return bool((await client.preview(job_id)).final)
    return False


async def test_listing_cancel_retry_and_errors_are_the_same(worker: Worker, client: AsyncClient) -> None:
    """Errors have the same types, codes and hints over both."""
    job = await client.submit(shape=SHAPE, client_key="é one " + client.transport.name)
    again = await client.submit(shape=SHAPE, client_key="é one " + client.transport.name)
    assert job.job_id == again.job_id
    assert [found.job_id for found in await client.jobs(state=JobState.PENDING)] == [job.job_id]
    active = (JobState.PENDING, JobState.RUNNING)
    assert [found.job_id for found in await client.jobs(state=active, search=job.job_id, owner="")] == [job.job_id]
    assert await client.jobs(search=f"{job.job_id} nowhere") == []
    with pytest.raises(InvalidRequestError, match="engine"):
        await client.jobs(engine="no/engine")
    await client.focus(job.job_id, (1.0, 2.0, 3.0))
    assert (await client.cancel(job.job_id)).state is JobState.CANCELLED
    assert (await client.retry(job.job_id)).state is JobState.PENDING
    claimed = await worker.claim()
    await worker.fail(claimed, JobError(code=ErrorCode.ENGINE_FAILED, message="It broke.", hint="Mend it.", attempt=1))
    with pytest.raises(Exception, match="It broke") as broken:
        await job.wait()
    assert broken.value.code is ErrorCode.ENGINE_FAILED  # type: ignore[attr-defined]
    with pytest.raises(ConflictError):
        await client.cancel(job.job_id)
    for unknown in ("no-such-job", "odd id/..", ""):
        with pytest.raises(NotFoundError):
            await client.record(unknown)
    with pytest.raises(NotFoundError):
        await client.preview(job.job_id)
    with pytest.raises(InvalidRequestError) as engine:
        await client.submit(shape=SHAPE, engine="membran")
    assert (engine.value.code, engine.value.details["engines"]) == (ErrorCode.UNKNOWN_ENGINE, ["demo"])
    assert engine.value.hint


async def test_a_job_that_has_ended_can_be_deleted(services: Services, worker: Worker, client: AsyncClient) -> None:
    """With its files; one that has not ended is a conflict, and one that is gone is not found."""
    job = await client.submit(shape=SHAPE)
    with pytest.raises(ConflictError):
        await client.delete(job.job_id)
    await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
    await client.delete(job)
    assert not (services.settings.artifacts / job.job_id).exists()
    with pytest.raises(NotFoundError):
        await client.delete(job.record)


async def test_info_tells_the_same(services: Services, worker: Worker, client: AsyncClient) -> None:
    """Engines, workers and endpoints."""
    info = await client.info()
    assert [engine.name for engine in info.engines] == ["demo"]
    assert worker.name in [found.worker for found in info.workers]
    assert info.epoch == services.broker.envelopes.epoch
    assert await client.latency() > 0


async def test_all_jobs_are_watched(services: Services, worker: Worker, client: AsyncClient) -> None:
    """Each change of any job, once."""
    seen: list[Event] = []

    async def follow() -> None:
        async for event in client.watch_all():
            seen.append(event)  # noqa: PERF401 (looked at while it grows)

    following = asyncio.create_task(follow())
    await wait_until_async(lambda: _any(seen), what="the link")
    jobs = [await client.submit(shape=SHAPE) for _ in range(2)]
    for job in jobs:
        await client.cancel(job.job_id)

    async def both_cancelled() -> bool:
        return event_types(seen).count("job_cancelled") == 2

    await wait_until_async(both_cancelled, what="both to be cancelled")
    assert sorted(event_types(seen)) == ["job_cancelled"] * 2 + ["job_created"] * 2
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_missed_events_are_requested_until_they_arrive(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events come back before requests do: a watcher of all jobs waits, says so, and then tells every state."""
    monkeypatch.setattr(bus_transport, "EVENTS_S", 0.3)
    ends = services.broker.endpoints
    with _proxied(ends.jobs) as jobs, _proxied(ends.events) as events:
        far = _elsewhere(ends, jobs=jobs.port, events=events.port)
        async with AsyncClient(BusTransport(far.jobs, endpoints=far)) as client, await aconnect(ends.jobs) as near:
            seen: list[Event] = []

            async def follow() -> None:
                async for event in client.watch_all():
                    seen.append(event)  # noqa: PERF401 (looked at while it grows)

            async def last_message(kind: str, count: int) -> bool:
                return event_types(seen).count(kind) == count

            async def waits() -> bool:
                return any(isinstance(event, ConnectionEvent) and "missed" in event.message for event in seen)

            following = asyncio.create_task(follow())
            await wait_until_async(lambda: _any(seen), what="the link")
            await near.submit(shape=SHAPE)
            await wait_until_async(lambda: last_message("job_created", 1), what="the first job")
            jobs.cut()
            events.cut()
            missed = await near.submit(shape=SHAPE)
            await near.cancel(missed.job_id)
            events.restore()
            await wait_until_async(waits, what="the watcher to say that it waits")
            jobs.restore()
            await wait_until_async(lambda: last_message("job_cancelled", 1), what="the missed event")
            assert event_types(seen) == ["job_created", "job_created", "job_cancelled"]
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@contextlib.asynccontextmanager
async def _cuttable(services: Services, transport: str) -> AsyncIterator[tuple[AsyncClient, FaultProxy]]:
    """A client, and the connection over which it gets events."""
    if transport == "http":
        with _proxied(services.url.removeprefix("http://")) as link:
            async with await aconnect(f"http://127.0.0.1:{link.port}") as client:
                yield client, link
    else:
        ends = services.broker.endpoints
        with _proxied(ends.events) as link:
            far = _elsewhere(ends, events=link.port)
            async with AsyncClient(BusTransport(far.jobs, endpoints=far)) as client:
                yield client, link


@pytest.mark.parametrize("transport", ["http", "bus"])
async def test_a_link_lost_before_the_first_event_loses_none(
    services: Services, worker: Worker, transport: str
) -> None:
    """A client that got "connected" gets all later events, even if the connection breaks at once."""
    async with _cuttable(services, transport) as (client, link), await aconnect(services.broker.endpoints.jobs) as near:
        seen: list[Event] = []

        async def follow() -> None:
            async for event in client.watch_all():
                seen.append(event)  # noqa: PERF401 (looked at while it grows)

        async def connected() -> bool:
            return any(isinstance(event, ConnectionEvent) and event.status == "connected" for event in seen)

        async def end_received() -> bool:
            return "job_cancelled" in event_types(seen)

        if transport == "bus":
            link.cut()
        following = asyncio.create_task(follow())
        await wait_until_async(connected, what="the link")
        link.cut()
        missed = await near.submit(shape=SHAPE)
        await near.cancel(missed.job_id)
        link.restore()
        await wait_until_async(end_received, what="the missed event")
        assert event_types(seen) == ["job_created", "job_cancelled"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_watcher_over_http_learns_of_a_new_start_of_the_broker(idle_services: Services) -> None:
    """One whose connection was lost meanwhile is told before the events that it missed: they may not be all."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    await services.start_gateway()
    job = await services.submit()
    async with _cuttable(services, "http") as (client, link):
        seen: list[Event] = []

        async def follow() -> None:
            async for event in client.watch_all():
                seen.append(event)  # noqa: PERF401 (looked at while it grows)

        def texts(status: str) -> list[str]:
            return [event.message for event in seen if isinstance(event, ConnectionEvent) and event.status == status]

        async def connected() -> bool:
            return bool(texts("connected"))

        async def end_received() -> bool:
            return "job_cancelled" in event_types(seen)

        async def is_back() -> bool:
            return (await services.http.get("/v1/jobs")).status_code == 200

        following = asyncio.create_task(follow())
        await wait_until_async(connected, what="the link")
        link.cut()
        assert (await services.http.delete(f"/v1/jobs/{job.job_id}")).status_code == 200
        await services.stop_broker()
        await services.start_broker()
        await wait_until_async(is_back, what="the gateway at the new broker")
        link.restore()
        await wait_until_async(end_received, what="the missed event")
        (told,) = texts("restarted")
        assert "was restarted" in told
        types = [event.status if isinstance(event, ConnectionEvent) else "state" for event in seen]
        assert types.index("restarted") < types.index("state")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _proxied(endpoint: str) -> FaultProxy:
    host, port = endpoint.removeprefix("tcp://").split(":")
    return FaultProxy(host, int(port))


def _elsewhere(ends: BusEndpoints, **ports: int) -> BusEndpoints:
    return ends.model_copy(update={name: f"tcp://127.0.0.1:{port}" for name, port in ports.items()})


async def _any(seen: list[Event]) -> bool:
    return bool(seen)


async def test_a_watcher_survives_a_cut_and_misses_no_state(services: Services, worker: Worker, ball: Mask) -> None:
    """Over a connection that breaks, each state comes once, and the interruption is reported."""
    host, port = services.url.removeprefix("http://").split(":")
    with FaultProxy(host, int(port)) as proxy:
        async with await aconnect(f"http://127.0.0.1:{proxy.port}") as client:
            job = await client.submit(shape=SHAPE)
            events: list[Event] = []
            async for event in client.watch(job.job_id):
                events.append(event)
                if isinstance(event, StateEvent) and event.event.type == "job_created":
                    proxy.cut()
                    claimed = await worker.claim()
                    await worker.publish(claimed, ball, final=True)
                    await worker.finish(claimed, {})
                if isinstance(event, ConnectionEvent) and event.status == "lost":
                    proxy.restore()
    assert event_types(events) == ["job_created", "job_started", "job_completed"]
    assert [event.status for event in events if isinstance(event, ConnectionEvent)][:3] == [
        "connected",
        "lost",
        "connected",
    ]


async def test_a_download_goes_on_where_it_broke(services: Services, worker: Worker, tmp_path: Path) -> None:
    """The link breaks in the middle of the file; the bytes are right all the same."""
    content = np.random.default_rng(3).bytes(6 * 1024 * 1024)
    job = await services.submit()
    await worker.finish(await worker.claim(), {"mask.mrc": content})
    host, port = services.url.removeprefix("http://").split(":")
    with FaultProxy(host, int(port)) as proxy:
        async with await aconnect(f"http://127.0.0.1:{proxy.port}") as client:
            digest, cuts = hashlib.sha256(), 0
            async for piece in client.transport.artifact(job.job_id, "mask.mrc"):
                digest.update(piece)
                if cuts < 2:
                    cuts += 1
                    proxy.cut()
                    proxy.restore()
    assert digest.digest() == hashlib.sha256(content).digest()


async def test_no_gateway_is_said_so(services: Services) -> None:
    """A closed port and something that is not a gateway, each in a sentence."""
    async with await aconnect("http://127.0.0.1:9") as client:
        with pytest.raises(UnavailableError, match="No gateway answers"):
            await client.info()
