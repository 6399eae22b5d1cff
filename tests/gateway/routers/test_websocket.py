"""WebSockets against a real broker: order, acknowledgements, late and stuck clients, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
import socket as os_socket
import struct
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobRecord
from cryomamba.testing import DEADLINE_S, wait_until_async
from cryomamba.wire.webframe import SUBPROTOCOL, decode_web_frame
from cryomamba_gateway.live.job_relay import JobRelay
from cryomamba_gateway.live.messages import MessageEncoder
from cryomamba_gateway.live.send_queue import SendQueue
from cryomamba_gateway.live.websocket_session import SEND_TIMEOUT_S
from cryomamba_gateway.server import STUCK_MS

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

    from cryomamba_gateway.bus_connection import BusConnection

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS_GAUGE = "cryomamba_gateway_websocket_clients"


@pytest.mark.parametrize("path", ["/ws/jobs/", "/v1/ws/jobs/"])
async def test_a_job_is_followed_from_pending_to_its_mask(
    services: Services, worker: Worker, ball: Mask, path: str
) -> None:
    """The messages arrive in the order of the job, with the documented fields, and 1000 closes the connection."""
    job = await services.submit()
    async with services.socket(path + job.job_id) as socket:
        first = await socket.read_type("connected")
        assert set(first) == {"type", "job_id", "timestamp", "seq", "data"}
        assert (first["data"]["state"], first["job_id"]) == ("pending", job.job_id)
        claimed = await worker.claim()
        started = await socket.read_type("job_started")
        assert started["seq"] > first["seq"]
        await worker.progress(claimed, 0.5)
        assert (await socket.read_type("progress"))["data"]["fraction"] == 0.5
        await worker.publish(claimed, ball)
        preview = (await socket.read_type("preview"))["data"]
        raw = base64.b64decode(preview["payload"])
        shown = np.frombuffer(raw, preview["dtype"]).reshape(preview["shape"])
        np.testing.assert_array_equal(shown, ball)
        assert (preview["scale"], preview["volume_shape"]) == ([2, 2, 2], [16, 20, 24])
        await worker.publish(claimed, ball, final=True)
        await worker.finish(claimed, {"mask.mrc": b"mask"})
        rest = await socket.read_until(lambda message: message["type"] == "job_completed")
        assert [m["type"] for m in rest if m["type"] != "progress"] == ["preview", "job_completed"]
        assert rest[-1]["data"]["artifacts"][0]["url"] == f"/v1/jobs/{job.job_id}/artifacts/mask.mrc"
        assert await socket.closed() == 1000


async def test_a_binary_frame_has_the_bytes_of_the_bus(services: Services, worker: Worker, ball: Mask) -> None:
    """It has length, JSON, and the payload at a multiple of eight bytes; the SDK decodes the same."""
    job = await services.submit()
    claimed = await worker.claim()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}", binary=True) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        sent = await worker.publish(claimed, ball)
        raw = await socket.read_frame()
        (length,) = struct.unpack_from("<I", raw)
        header = json.loads(raw[4 : 4 + length])
        assert (4 + length) % 8 == 0
        assert (header["type"], header["job_id"], header["labels"]) == ("preview", job.job_id, {"1": "ball"})
        assert (header["buffer"]["codec"], header["buffer"]["shape"]) == ("deflate", [8, 10, 12])
        frame = decode_web_frame(raw)
        np.testing.assert_array_equal(frame.mask, sent.mask)
        assert (frame.scale, frame.volume_shape, frame.attempt) == (sent.scale, sent.volume_shape, 1)


async def test_a_late_client_gets_state_and_newest_preview_at_once(
    services: Services, worker: Worker, ball: Mask
) -> None:
    """Nothing is published after it connected, and it gets the preview all the same."""
    job = await services.submit()
    claimed = await worker.claim()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}") as early:
        await worker.publish(claimed, ball)
        await worker.publish(claimed, 3 - ball)
        await early.read_preview(2)
        async with services.socket(f"/v1/ws/jobs/{job.job_id}") as late:
            assert (await late.read_type("connected"))["data"]["state"] == "running"
            assert (await late.read_type("preview"))["seq"] == 2


async def test_a_finished_job_is_sent_completely(services: Services, worker: Worker, ball: Mask) -> None:
    """A client that connects after the end gets the record, the last preview, the last event, and 1000."""
    job = await services.submit()
    claimed = await worker.claim()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}") as early:
        await worker.publish(claimed, ball, final=True)
        await early.read_type("preview")
        await worker.finish(claimed, {})
        await early.read_type("job_completed")
    async with services.socket(f"/v1/ws/jobs/{job.job_id}") as late:
        reported = await late.read_until(lambda message: message["type"] == "job_completed")
        assert [message["type"] for message in reported] == ["connected", "preview", "job_completed"]
        assert await late.closed() == 1000


async def test_a_frame_waits_for_the_acknowledgement_of_the_previous_one(
    services: Services, worker: Worker, ball: Mask
) -> None:
    """Then the newest is sent, not the next; states need no acknowledgement."""
    job = await services.submit()
    claimed = await worker.claim()
    async with (
        services.socket(f"/v1/ws/jobs/{job.job_id}", binary=True) as slow,
        services.socket(f"/v1/ws/jobs/{job.job_id}") as free,
    ):
        await worker.publish(claimed, ball)
        assert decode_web_frame(await slow.read_frame()).seq == 1
        for number in range(2, 6):
            await worker.publish(claimed, ball)
            await free.read_preview(number)
        await worker.progress(claimed, 0.75)
        assert (await slow.read_type("progress"))["data"]["fraction"] == 0.75
        await slow.send({"type": "ack", "seq": 99})
        await slow.send({"type": "ping"})
        await slow.read_type("pong")
        await slow.send({"type": "ack", "seq": 1})
        assert decode_web_frame(await slow.read_frame()).seq == 5


async def test_the_last_frame_needs_no_acknowledgement(services: Services, worker: Worker, ball: Mask) -> None:
    """A client that never acknowledges still gets the last preview, before the last event."""
    job = await services.submit()
    claimed = await worker.claim()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}", binary=True) as socket:
        await worker.publish(claimed, ball)
        await socket.read_frame()
        await worker.publish(claimed, ball, final=True)
        await worker.finish(claimed, {})
        assert decode_web_frame(await socket.read_frame()).final
        await socket.read_type("job_completed")


def unread_websocket(services: Services, path: str) -> os_socket.socket:
    """Open a WebSocket on a plain socket with a small buffer, from which nothing is read."""
    host, port = services.url.removeprefix("http://").split(":")
    stuck = os_socket.create_connection((host, int(port)))
    stuck.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, 4096)
    stuck.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    return stuck


async def test_a_stuck_client_does_not_delay_another(services: Services, worker: Worker) -> None:
    """One client never reads from its socket; the other gets every frame and the end."""
    job = await services.submit()
    claimed = await worker.claim()
    with unread_websocket(services, f"/v1/ws/jobs/{job.job_id}"):
        mask = np.random.default_rng(1).integers(0, 16, (96, 96, 96), np.uint8)
        async with services.socket(f"/v1/ws/jobs/{job.job_id}") as reader:
            for number in range(1, 13):
                await worker.publish(claimed, mask, codec="raw")
                await reader.read_preview(number)
            await worker.finish(claimed, {})
            await reader.read_type("job_completed")


@pytest.mark.skipif(not hasattr(os_socket, "TCP_USER_TIMEOUT"), reason="how long a kernel tries is set on Linux alone")
async def test_a_slow_client_stays_and_a_stuck_one_is_disconnected(
    idle_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that reads a frame in ten gets the newest each time and the end; one that reads none is disconnected."""
    assert STUCK_MS / 1000 == SEND_TIMEOUT_S == 20, "as the pages say"
    monkeypatch.setattr("cryomamba_gateway.server.STUCK_MS", 2000)
    monkeypatch.setattr("cryomamba_gateway.live.websocket_session.SEND_TIMEOUT_S", 2)
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    await services.start_gateway()
    job = await services.submit()
    claimed = await worker.claim()
    path = f"/v1/ws/jobs/{job.job_id}"
    mask = np.random.default_rng(1).integers(0, 16, (96, 96, 96), np.uint8)

    async def watchers() -> int:
        metrics = (await services.http.get("/metrics")).text
        return next(
            round(float(line.split()[1])) for line in metrics.splitlines() if line.startswith(f"{CLIENTS_GAUGE} ")
        )

    with unread_websocket(services, path):
        async with services.socket(path, binary=True) as slow, services.socket(path) as fast:
            number = seen = 0
            async with asyncio.timeout(DEADLINE_S):
                while await watchers() == 3 or number < 30:
                    number += 1
                    await worker.publish(claimed, mask, codec="raw")
                    await fast.read_preview(number)
                    if number % 10 == 1:
                        await slow.send({"type": "ack", "seq": seen})
                        seen = decode_web_frame(await slow.read_frame()).seq
                        assert seen >= number - 1
            assert await watchers() == 2
            # One that the slow client has not read yet, however the loop ended.
            number += 1
            await worker.publish(claimed, mask, codec="raw")
            await fast.read_preview(number)
            await worker.finish(claimed, {})
            await fast.read_type("job_completed")
            *_, frame, last_word = await slow.read_all()
            assert isinstance(frame, bytes)
            assert decode_web_frame(frame).seq == number
            assert json.loads(last_word)["type"] == "job_completed"


async def test_one_connection_follows_many_jobs(services: Services, worker: Worker, ball: Mask) -> None:
    """Messages of subscribed jobs arrive, of other and unsubscribed ones they do not, and the connection stays open."""
    jobs = [await services.submit() for _ in range(3)]
    async with services.socket("/v1/ws") as socket:
        for job in jobs[:2]:
            await socket.send({"type": "subscribe", "job_id": job.job_id})
            assert (await socket.read_type("connected"))["job_id"] == job.job_id
        await socket.send({"type": "unsubscribe", "job_id": jobs[1].job_id})
        await socket.send({"type": "ping"})
        await socket.read_type("pong")
        for job in reversed(jobs):
            await services.http.delete(f"/v1/jobs/{job.job_id}")
        reported = await socket.read_until(lambda message: message["type"] == "job_cancelled")
        assert {message["job_id"] for message in reported} == {jobs[0].job_id}
        await socket.send({"type": "subscribe", "job_id": "no-such-job"})
        problem = await socket.read_type("error")
        assert (problem["data"]["code"], problem["job_id"]) == ("not_found", "no-such-job")


async def test_all_jobs_can_be_followed_since_an_event(services: Services, worker: Worker) -> None:
    """'*' follows all jobs, including what happened since the last event that the client knows."""
    first = await services.submit()
    since = first.history[-1].n
    await services.http.delete(f"/v1/jobs/{first.job_id}")
    async with services.socket("/v1/ws") as socket:
        await socket.send({"type": "subscribe", "job_id": "*", "since": since})
        assert (await socket.read_type("job_cancelled"))["job_id"] == first.job_id
        second = await services.submit()
        assert (await socket.read_type("job_created"))["job_id"] == second.job_id


async def test_an_event_from_the_future_is_refused_in_words(services: Services, worker: Worker) -> None:
    """A number of another server, or from before a restore, is named as such; updates go on from the newest event."""
    async with services.socket("/v1/ws") as socket:
        await socket.send({"type": "subscribe", "job_id": "*", "since": 10**9})
        error = await socket.read_type("error")
        assert error["data"]["details"]["since"] == 10**9
        assert "List the jobs again" in error["data"]["hint"]
        started = await socket.read_type("subscribed")
        assert started["seq"] == error["data"]["details"]["last"] < 10**9
        job = await services.submit()
        assert (await socket.read_type("job_created"))["job_id"] == job.job_id


async def test_a_number_of_an_earlier_start_of_the_broker_is_named_as_such(idle_services: Services) -> None:
    """It may be another event's, if a backup was restored: who follows all jobs is told, once, before updates go on."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    await services.start_gateway()
    async with services.socket("/v1/ws") as socket:
        await socket.send({"type": "subscribe", "job_id": "*"})
        begun = await socket.read_type("subscribed")
    known = {"type": "subscribe", "job_id": "*", "since": begun["seq"], "epoch": begun["data"]["epoch"]}

    async def come_back() -> list[dict[str, Any]]:
        async with services.socket("/v1/ws") as socket:
            await socket.send(known)
            return await socket.read_until(lambda message: message["type"] == "subscribed")

    (again,) = await come_back()
    assert (again["seq"], again["data"]) == (begun["seq"], begun["data"])
    await services.stop_broker()
    await services.start_broker()

    async def is_back() -> bool:
        return (await services.http.get("/v1/jobs")).status_code == 200

    await wait_until_async(is_back, what="the gateway at the new broker")
    error, started = await come_back()
    assert (error["type"], error["job_id"]) == ("error", "*")
    assert "was restarted" in error["data"]["message"]
    assert started["seq"] == begun["seq"]
    assert started["data"] != begun["data"]


async def test_an_unknown_job_closes_with_4404(services: Services) -> None:
    """After the error envelope."""
    async with services.socket("/v1/ws/jobs/00000000-0000-4000-8000-000000000000") as socket:
        assert (await socket.read_type("error"))["data"]["code"] == "not_found"
        assert await socket.closed() == 4404


async def test_the_id_of_one_job_leaks_nothing_of_another(services: Services, worker: Worker) -> None:
    """A prefix of a job's id follows no job."""
    job = await services.submit()
    async with services.socket(f"/v1/ws/jobs/{job.job_id[:-1]}") as socket:
        assert await socket.closed() == 4404


async def test_a_page_of_another_origin_is_closed_with_1008(services: Services) -> None:
    """The gateway's own page and programs without an origin are accepted."""
    path = "/v1/ws"
    async with services.socket(path, origin="https://evil.example") as socket:
        assert await socket.closed() == 1008
    async with services.socket(path, origin=services.url) as socket:
        await socket.send('{"type": "ping"}')
        await socket.read_type("pong")


async def test_invalid_messages_get_an_error(services: Services) -> None:
    """Text that is not JSON, unknown types and bytes are answered; a huge message closes the connection."""
    async with services.socket("/v1/ws") as socket:
        for wrong in ("{", "[]", '{"type": "nonsense"}', '{"type": "ack", "seq": "x"}', b"\x00\xff"):
            await socket.send(wrong)
            assert (await socket.read_type("error"))["data"]["code"] == "bad_request"
        await socket.send('{"type": "ping"}')
        await socket.read_type("pong")
        await socket.send("x" * 100_000)
        assert await socket.closed() == 1009


async def test_a_failed_and_a_cancelled_job_close_the_connection(services: Services, worker: Worker) -> None:
    """The last message has the final state."""
    failing, cancelled = await services.submit(), await services.submit()
    async with (
        services.socket(f"/v1/ws/jobs/{failing.job_id}") as one,
        services.socket(f"/v1/ws/jobs/{cancelled.job_id}") as other,
    ):
        await one.read_type("connected")
        await other.read_type("connected")
        claimed: JobRecord = await worker.claim()
        await worker.fail(claimed, JobError(code=ErrorCode.ENGINE_FAILED, message="It broke.", attempt=1))
        assert (await one.read_type("job_failed"))["data"]["errors"][0]["message"] == "It broke."
        await services.http.delete(f"/v1/jobs/{cancelled.job_id}")
        await other.read_type("job_cancelled")
        assert [await socket.closed() for socket in (one, other)] == [1000, 1000]


async def test_the_first_types_of_the_last_message_are_sent_on_request(services: Services, worker: Worker) -> None:
    """`completed` with the record, `error` with the error's fields, after the present types; else neither."""
    done = await services.submit()
    await worker.finish(await worker.claim(), {})
    failed = await services.submit()
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="It failed.", hint="Try another.", attempt=1)
    await worker.fail(await worker.claim(), error)
    for job, present, first in ((done, "job_completed", "completed"), (failed, "job_failed", "error")):
        path = f"/v1/ws/jobs/{job.job_id}"
        async with services.socket(f"{path}?first_types=true") as socket:
            messages = [json.loads(raw) for raw in await socket.read_all()]
        assert [message["type"] for message in messages[-2:]] == [present, first]
        assert messages[-1]["seq"] == messages[-2]["seq"]
        data = messages[-1]["data"]
        assert data.get("message") == ("It failed." if first == "error" else None)
        assert data.get("state") == ("completed" if first == "completed" else None)
        async with services.socket(path) as socket:
            assert first not in [json.loads(raw)["type"] for raw in await socket.read_all()]


async def test_a_broker_restart_interrupts_the_messages(idle_services: Services, ball: Mask) -> None:
    """The connection stays; the client is notified, and then gets messages of the job again."""
    services = idle_services
    await services.start_broker()
    await services.start_gateway()
    await services.start_worker()
    job = await services.submit()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}") as socket:
        await socket.read_type("connected")
        await services.stop_broker()
        await socket.read_until(lambda m: m["type"] == "link" and m["data"]["status"] == "lost")
        await services.start_broker()
        worker = await services.start_worker()
        claimed = await worker.claim()
        assert claimed.job_id == job.job_id
        await worker.publish(claimed, ball, final=True)
        await worker.finish(claimed, {})
        reported = await socket.read_until(lambda message: message["type"] == "job_completed")
        assert "job_started" in [message["type"] for message in reported]


async def test_without_a_broker_a_client_is_closed_with_1012(idle_services: Services) -> None:
    """After an error message with the reason."""
    await idle_services.start_gateway()
    async with idle_services.socket("/v1/ws/jobs/some-job") as socket:
        assert (await socket.read_type("error"))["data"]["code"] == "unavailable"
        assert await socket.closed() == 1012


async def test_disconnected_clients_leave_nothing_behind(services: Services, worker: Worker) -> None:
    """After many connections the gateway counts no client and follows no job."""
    job = await services.submit()
    for _ in range(10):
        async with services.socket(f"/v1/ws/jobs/{job.job_id}") as socket:
            await socket.read_type("connected")
    async with asyncio.timeout(DEADLINE_S):
        while "cryomamba_gateway_websocket_clients 0.0" not in (await services.http.get("/metrics")).text:
            pass
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not names & {"ws-read", "ws-send", "ws-follow"}


@pytest.mark.parametrize(
    ("path", "first"), [("/v1/ws/jobs/{}", None), ("/v1/ws", {"type": "subscribe", "job_id": "*"})]
)
async def test_a_defect_closes_the_connection(
    services: Services, worker: Worker, monkeypatch: pytest.MonkeyPatch, path: str, first: dict[str, Any] | None
) -> None:
    """Left open, the client would wait for ever; closed with 1011, it comes back."""

    async def fail(_: object) -> bool:
        raise OSError(24, "Too many open files")

    for relay in ("JobRelay", "AllRelay"):
        monkeypatch.setattr(f"cryomamba_gateway.live.websocket_session.{relay}.run", fail)
    job = await services.submit()
    async with services.socket(path.format(job.job_id)) as socket:
        if first is not None:
            await socket.send(first)
        assert (await socket.read_type("error"))["data"]["code"] == "internal"
        assert await socket.closed() == 1011


async def test_a_broker_that_moves_does_not_lose_a_client_of_all_jobs(idle_services: Services) -> None:
    """A request that is on its way when the connection is replaced fails, and is made again over the new one."""
    services = idle_services
    await services.start_broker()
    await services.start_gateway()
    await services.start_worker()
    await services.submit()
    await services.stop_broker()
    async with services.socket("/v1/ws") as socket:
        await socket.send({"type": "subscribe", "job_id": "*"})
        # From now on the gateway asks a broker that is gone for the newest event.
        await socket.read_until(lambda message: message["type"] == "link" and message["data"]["status"] == "lost")
        await services.start_broker()
        await socket.read_type("subscribed")
        job = await services.submit()
        assert (await socket.read_type("job_created"))["job_id"] == job.job_id


async def test_a_gateway_that_shuts_down_does_not_claim_that_a_job_has_ended() -> None:
    """Its client is told to come back, with 1012 and not with 1000."""

    class ClosedBus:
        closed = True

    relay = JobRelay(
        cast("BusConnection", ClosedBus()),
        MessageEncoder(),
        SendQueue(acknowledged=False),
        "a-job",
        visibility=Visibility.everything(),
    )
    assert await relay.run() is False
