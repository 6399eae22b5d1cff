"""Authorization of requests: every type, made on behalf of each owner with each kind of key, and closed by default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from inspect import getmembers, isfunction, signature
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.asyncio
from tests.broker.locked_bus import DEMO, FILE, LockedBus

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls, webhook_calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.errors import AccessError, CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.files import FileRecord
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.models.webhooks import WebhookRequest
from cryomamba.volumes import inspect, write_volume
from cryomamba.wire.envelope import EnvelopeFactory, decode, encode
from cryomamba.wire.requests import REQUESTS
from cryomamba.wire.trace_context import TraceContext, use_trace
from cryomamba_broker.store import Attempt, Deliveries, EventLog, JobTable, Leases, Revisions, Submissions, WebhookTable
from cryomamba_server import retention
from cryomamba_server.uploaded_files import RECORD, VOLUME

NEVER = "00000000-0000-4000-8000-000000000000"
WORKER = {"worker": "w", "attempt": 1}
ERROR = {"code": "engine_failed", "message": "No."}
BODIES: Mapping[str, dict[str, Any]] = {
    "ping": {},
    "server.info": {},
    "server.activity": {},
    "server.metrics": {},
    "job.submit": {"volume": {"job_id": "JOB"}, "engine": "threshold"},
    "job.get": {"job": "JOB"},
    "job.list": {},
    "job.cancel": {"job": "JOB"},
    "job.retry": {"job": "JOB"},
    "job.delete": {"job": "JOB"},
    "job.focus": {"job": "JOB", "position": [1, 1, 1]},
    "job.strokes": {"job": "JOB", "strokes": {"shape": [8, 8, 8], "labels": ["background", "ball"]}},
    "job.revise": {"job": "JOB", "file_id": FILE},
    "events.since": {"job": "JOB", "n": 0},
    "artifact.read": {"job": "JOB", "name": "mask.mrc", "offset": 0, "length": 1},
    "preview.get": {"job": "JOB"},
    "webhook.create": {"url": "https://example.org/"},
    "webhook.get": {"webhook": "JOB"},
    "webhook.list": {},
    "webhook.delete": {"webhook": "JOB"},
    "webhook.test": {"webhook": "JOB"},
    "webhook.deliveries": {"webhook": "JOB"},
    "model.get": {"model": "JOB"},
    "model.list": {},
    "delivery.claim": {"wait_s": 0},
    "delivery.report": {"delivery": "JOB", "claim": 1, "outcome": "delivered"},
    "worker.list": {},
    "worker.drain": {"worker": "nobody"},
    "worker.resume": {"worker": "nobody"},
    "worker.remove": {"worker": "nobody"},
    "worker.hello": {"worker": "w", "host": "h", "pid": 1, "version": "0", "engines": []},
    "worker.status": {
        "worker": "w",
        "memory_bytes": 1,
        "cpu_seconds": 1.0,
        "compute_starts": 1,
        "jobs_run": 1,
        "loop_lag_seconds": 0.0,
    },
    "worker.models": {"worker": "w", "models": []},
    "job.claim": {"worker": "w", "engines": ["demo"], "wait_s": 0},
    "job.renew": {"job": "JOB", **WORKER},
    "job.progress": {"job": "JOB", **WORKER, "progress": {}},
    "job.finish": {"job": "JOB", **WORKER, "artifacts": []},
    "job.fail": {"job": "JOB", **WORKER, "error": ERROR},
    "job.release": {"job": "JOB", **WORKER},
}
ABOUT_NO_JOB = {"ping", "server.info", "job.list", "webhook.create", "webhook.list", "model.get", "model.list"}
ABOUT_WEBHOOKS = ("webhook.get", "webhook.delete", "webhook.test", "webhook.deliveries")


async def outcome(caller: BusTransport, type_: str, job_id: str, visibility: Visibility) -> tuple[ErrorCode, str] | str:
    """Return the code and text of the error that a request ends with, or the text of the reply."""
    body = _with_job(BODIES[type_], job_id)
    try:
        reply = await caller.requester.request(type_, body, visibility=visibility)
    except CryoMambaError as error:
        return error.code, f"{error.message} {error.hint} {error.details}".replace(job_id, "JOB")
    return str(reply.body)


def _with_job(value: Any, job_id: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_job(one, job_id) for name, one in value.items()}
    return job_id if value == "JOB" else value


def test_the_table_has_every_request() -> None:
    """A request that is new must be added to this table, and so to the tests below."""
    assert set(BODIES) == set(REQUESTS)


async def test_a_job_of_another_owner_does_not_exist(bus: LockedBus) -> None:
    """No request finds it, and the answer is word for word that for a job that never was; nothing happens to it."""
    before = await bus.ada.call(calls.submit_job(DEMO))
    cases = [(bus.bob, Visibility.everything()), (bus.bob, Visibility.of("bob")), (bus.admin, Visibility.of("bob"))]
    for caller, visibility in cases:
        for type_ in REQUESTS:
            found = await outcome(caller, type_, before.job_id, visibility)
            if type_ in ABOUT_NO_JOB:
                assert before.job_id not in found, type_
                assert "ada" not in found, type_
                continue
            assert found == await outcome(caller, type_, NEVER, visibility), type_
            assert found[0] in {ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN}, type_
    assert await bus.ada.call(calls.get_job(before.job_id)) == before


async def test_a_webhook_of_another_owner_does_not_exist(bus: LockedBus) -> None:
    """No request finds it; that of an administrator, who gets all jobs, is hidden from its owner's other keys too."""
    own = await bus.ada.call(webhook_calls.create_webhook(WebhookRequest(url="https://example.org/")))
    ada = WebhookRequest(url="https://example.org/", owner="ada")
    everyones = await bus.admin.call(webhook_calls.create_webhook(ada))
    assert (own.owner, own.everything, everyones.owner, everyones.everything) == ("ada", False, "ada", True)
    hidden = [(bus.bob, own), (bus.admin.on_behalf_of(Visibility.of("bob")), own), (bus.ada, everyones)]
    for caller, webhook in hidden:
        for type_ in ABOUT_WEBHOOKS:
            found = await outcome(caller, type_, webhook.webhook_id, caller.visibility)
            assert found == await outcome(caller, type_, NEVER, caller.visibility), type_
            assert found[0] is ErrorCode.NOT_FOUND, type_
        listed = await caller.call(webhook_calls.list_webhooks())
        assert webhook.webhook_id not in {one.webhook_id for one in listed.webhooks}
    assert [one.webhook_id for one in (await bus.ada.call(webhook_calls.list_webhooks())).webhooks] == [own.webhook_id]
    assert len((await bus.admin.call(webhook_calls.list_webhooks())).webhooks) == 2


async def test_only_a_gateway_delivers_messages(bus: LockedBus) -> None:
    """They are signed and of all owners, so a client gets none, and a gateway none on behalf of one owner."""
    for caller in (bus.ada, bus.worker, bus.admin.on_behalf_of(Visibility.of("ada"))):
        for type_ in ("delivery.claim", "delivery.report"):
            assert (await outcome(caller, type_, NEVER, caller.visibility))[0] is ErrorCode.FORBIDDEN


async def test_a_key_acts_for_its_own_owner_alone(bus: LockedBus) -> None:
    """Naming another owner is forbidden for every request, and an administrator's key may name anyone."""
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    for type_ in REQUESTS:
        found = await outcome(bus.bob, type_, job, Visibility.of("ada"))
        assert found[0] is ErrorCode.FORBIDDEN, type_
    assert (await bus.admin.on_behalf_of(Visibility.of("ada")).call(calls.get_job(job))).owner == "ada"
    with pytest.raises(AccessError):
        await bus.admin.on_behalf_of(Visibility.of("ada")).call(calls.server_activity())


async def test_only_a_gateway_is_believed_who_makes_a_request(bus: LockedBus, caplog: pytest.LogCaptureFixture) -> None:
    """With any other key, the audit log names the key, whatever the message says."""
    caplog.set_level(logging.INFO, logger="cryomamba.audit")
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    for caller in (bus.bob, bus.admin):
        with use_trace(TraceContext("r-1", actor="ada/0f3c")), suppress(NotFoundError):
            await caller.call(calls.cancel_job(job))
    entries = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "job.cancel"]
    assert [(one["actor"], one["outcome"]) for one in entries] == [("bob", "refused"), ("ada/0f3c", "done")]


@pytest.mark.parametrize("owner", [None, "a b", "ada\n", "x" * 65])
async def test_a_request_without_a_valid_owner_is_refused(bus: LockedBus, owner: str | None) -> None:
    """It is not taken for one that may see everything, though the key is an administrator's."""
    socket = bus.socket(bus.admin_key, bus.broker.endpoints.jobs, zmq.DEALER)
    for type_ in ("ping", "job.list"):
        await socket.send(encode(EnvelopeFactory("x").envelope(type_, {}, ts=1.0, owner=owner)))
        answer = decode(await socket.recv())
        assert (answer.type, answer.body["code"]) == ("error", "bad_request")


def test_no_owner_has_the_name_that_stands_for_all() -> None:
    """'*' and texts that are no names cannot be made into one owner's visibility."""
    for name in ("*", "", "a/b", "a b", "ada\n", "x" * 65):
        with pytest.raises(InvalidRequestError):
            Visibility.of(name)
    assert Visibility.from_wire("*").is_everything
    assert Visibility.from_wire(Visibility.of("ada").to_wire()) == Visibility.of("ada")


INTERNAL = {
    "EventLog.append": "writes, for a row that was found before",
    "EventLog.history": "of a row that was found before",
    "EventLog.last": "a number alone",
    "Deliveries.queue_end": "of the job whose event is appended, to those who may see it",
    "Deliveries.claim": "for gateways, who deliver to all owners",
    "Deliveries.release": "for gateways, who deliver to all owners",
    "Deliveries.report": "for gateways, who deliver to all owners",
    "Deliveries.next_due_s": "a number alone",
    "Deliveries.waiting": "numbers alone",
    "JobTable.record": "of a row that was found before",
    "JobTable.placed": "of a record that was found before",
    "Submissions.reserved": "a number alone",
    "Leases.claim": "for workers, who run jobs of all owners",
    "Leases.expire": "the broker's own housekeeping",
    "Leases.extend_all": "the broker's own housekeeping",
    "Leases.held_by": "for administrators, who remove a worker",
    "Leases.model_of": "of a job whose attempt was shown",
    "Leases.running": "the broker's own housekeeping",
    "Leases.count_running": "a number alone",
}
"""Methods of the store that need no visibility, and why."""


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(function, id=f"{owner.__name__}.{name}")
        for owner in (JobTable, Submissions, Revisions, EventLog, Leases, WebhookTable, Deliveries)
        for name, function in getmembers(owner, isfunction)
        if not name.startswith("_") and f"{owner.__name__}.{name}" not in INTERNAL
    ],
)
def test_no_method_of_the_store_may_omit_visibility(method: Callable[..., object]) -> None:
    """It is a parameter without a default, or the caller shows the attempt that it holds."""
    parameters = signature(method, eval_str=True).parameters.values()
    required = {p.annotation for p in parameters if p.default is p.empty}
    assert required & {Visibility, Attempt}


async def test_a_client_cannot_choose_the_owner_of_its_job(bus: LockedBus) -> None:
    """A client's job belongs to the owner of its key; only an administrator, such as the gateway, names the owner."""
    assert (await bus.bob.call(calls.submit_job(DEMO.model_copy(update={"owner": "ada"})))).owner == "bob"
    assert (await bus.admin.call(calls.submit_job(DEMO.model_copy(update={"owner": "carol"})))).owner == "carol"
    laptop = bus.transport(bus.key("laptop", owner="ada"))
    assert (await laptop.call(calls.submit_job(DEMO))).owner == "ada"


async def test_the_same_key_of_two_people(bus: LockedBus) -> None:
    """Two people may use the same client key, and neither learns of the other's job."""
    request = DEMO.model_copy(update={"client_key": "the-same"})
    first, again = await bus.ada.call(calls.submit_job(request)), await bus.ada.call(calls.submit_job(request))
    other = await bus.bob.call(calls.submit_job(request.model_copy(update={"name": "another"})))
    assert first.job_id == again.job_id != other.job_id


async def test_listings_have_only_visible_jobs(bus: LockedBus) -> None:
    """Jobs, events and the job of a worker are listed only for those who may see them."""
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    assert (await bus.claimed()).job_id == job
    own = (await bus.bob.call(calls.submit_job(DEMO))).job_id
    for caller in (bus.bob, bus.admin.on_behalf_of(Visibility.of("bob"))):
        page = await caller.call(calls.list_jobs(limit=10))
        assert {record.job_id for record in page.jobs} == {own}
    events = (await bus.bob.requester.request("events.since", {"n": 0})).body["events"]
    assert {event["job_id"] for event in events} == {own}
    assert [worker.job_id for worker in (await bus.bob.call(calls.server_info())).workers] == [None]
    assert [worker.job_id for worker in (await bus.admin.call(calls.server_info())).workers] == [job]


async def test_a_volume_of_another_owner_does_not_exist(bus: LockedBus) -> None:
    """Neither an uploaded file nor the score map of another owner can be used, nor a file without a record."""
    folder = bus.broker.settings.uploads / "files" / FILE
    folder.mkdir(parents=True)
    write_volume(folder / VOLUME, np.zeros((4, 4, 4), np.float32), 10.0)
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    scores = bus.broker.settings.artifacts / job / "scores.mrc"
    scores.parent.mkdir(parents=True)
    write_volume(scores, np.zeros((4, 4, 4), np.float32), 10.0)
    for source in (VolumeSource(file_id=FILE), VolumeSource(job_id=job)):
        with pytest.raises(NotFoundError):
            await bus.bob.call(calls.submit_job(SubmitRequest(volume=source, engine="threshold")))
    record = FileRecord(
        file_id=FILE,
        filename="a.mrc",
        size_bytes=1,
        sha256="0" * 64,
        metadata=inspect(folder / VOLUME),
        owner="ada",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (folder / RECORD).write_text(record.model_dump_json())
    with pytest.raises(NotFoundError):
        await bus.bob.call(calls.submit_job(SubmitRequest(volume=VolumeSource(file_id=FILE), engine="threshold")))
    assert (
        await bus.ada.call(calls.submit_job(SubmitRequest(volume=VolumeSource(file_id=FILE), engine="threshold")))
    ).owner == "ada"


async def test_a_routing_id_cannot_be_taken_over(bus: LockedBus) -> None:
    """A connection with the routing id of another one receives none of its replies."""
    first, second = (
        bus.socket(bus.files[name], bus.broker.endpoints.jobs, zmq.DEALER, routing_id=b"victim")
        for name in ("ada", "bob")
    )
    stamp = EnvelopeFactory("x")
    await first.send(encode(stamp.envelope("ping", {}, ts=1.0, owner="*")))
    async with asyncio.timeout(20):
        assert decode(await first.recv()).type == "reply"
    await second.send(encode(stamp.envelope("ping", {}, ts=1.0, owner="*")))
    await first.send(encode(stamp.envelope("server.info", {}, ts=1.0, owner="*")))
    async with asyncio.timeout(20):
        assert "engines" in decode(await first.recv()).body
    assert not await second.poll(100)


async def test_housekeeping_sees_every_job(bus: LockedBus) -> None:
    """'cryomamba gc' uses the administrator's key, so that no files seem to belong to no job."""
    jobs = {(await bus.ada.call(calls.submit_job(DEMO))).job_id, (await bus.bob.call(calls.submit_job(DEMO))).job_id}
    assert {record.job_id for record in await retention.all_jobs(bus.broker.settings)} == jobs
