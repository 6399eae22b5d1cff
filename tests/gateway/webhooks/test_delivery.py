"""Messages to webhooks, from the end of a job to a receiver on a socket of its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from tests.gateway.webhooks.receiver import Receiver

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobRecord
from cryomamba.testing import DEADLINE_S, wait_until_async
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_gateway.webhooks.delivery import CONCURRENT
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON = DeliveryPolicy(tries=10_000, first_s=0.05, factor=1.0, jitter=0.0)


@pytest_asyncio.fixture(loop_scope="session")
async def services(idle_services: Services) -> AsyncIterator[Services]:
    """Services that may send to this machine, and try again at once."""
    idle_services.settings = idle_services.settings.model_copy(
        update={"webhook_networks": (ip_network("127.0.0.0/8"),), "webhooks_per_owner": 3}
    )
    idle_services.delivery_policy = SOON
    await idle_services.start_broker()
    await idle_services.start_gateway()
    # The broker knows its engines from now on.
    await idle_services.start_worker()
    yield idle_services


async def register(http: httpx.AsyncClient, receiver: Receiver, **more: Any) -> dict[str, Any]:
    reply = await http.post("/v1/webhooks", json={"url": receiver.url(), **more})
    assert reply.status_code == 201, reply.text
    found = reply.json()
    assert isinstance(found, dict)
    return found


async def cancelled(services: Services) -> JobRecord:
    """End a job without a worker, and return it."""
    job = await services.submit()
    assert (await services.http.delete(f"/v1/jobs/{job.job_id}")).status_code == 200
    return job


async def delivered(http: httpx.AsyncClient, webhook: dict[str, Any], state: str = "delivered") -> dict[str, Any]:
    """Wait until the newest delivery is in a state, and return it."""

    async def look() -> dict[str, Any] | None:
        found = (await http.get(f"/v1/webhooks/{webhook['webhook_id']}/deliveries")).json()["deliveries"]
        return found[0] if found and found[0]["state"] == state else None

    found = await wait_until_async(look, what=f"a delivery that is {state}")
    assert found is not None
    return found


async def test_every_end_of_a_job_is_sent_and_signed(services: Services) -> None:
    """The message has what a receiver needs to go on, and the library that others use accepts its signature."""
    worker = await services.start_worker()
    async with Receiver().listening() as receiver:
        webhook = await register(services.http, receiver, name="lab book")
        done = await services.submit(volume={"shape": [8, 8, 8]}, name="TS_01 – Å")
        await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
        await receiver.wait_for(1)
        await services.submit()
        await worker.fail(await worker.claim(), JobError(code=ErrorCode.ENGINE_FAILED, message="No.", attempt=1))
        await receiver.wait_for(2)
        job = await cancelled(services)
        completed, failed, ended = (one.verify(webhook["secret"]) for one in await receiver.wait_for(3))
    assert [one["type"] for one in (completed, failed, ended)] == ["job.completed", "job.failed", "job.cancelled"]
    data = completed["data"]
    assert (data["job_id"], data["name"], data["engine"], data["state"]) == (
        done.job_id,
        "TS_01 – Å",
        "demo",
        "completed",
    )
    (artifact,) = data["artifacts"]
    assert (await services.http.get(artifact["url"])).content == b"mask"
    assert (await services.http.get(data["url"])).json()["job_id"] == done.job_id
    assert failed["data"]["reason"] == "No."
    assert ended["data"]["job_id"] == job.job_id
    first = receiver.received[0]
    assert first.target == "/hook"
    assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert len({one.id for one in receiver.received}) == 3
    last = await delivered(services.http, webhook)
    assert (last["tries"], last["response_status"], last["error"]) == (1, 204, "")


async def test_only_the_chosen_ends_are_sent(services: Services) -> None:
    """A webhook for failures does not hear of other ends."""
    worker = await services.start_worker()
    async with Receiver().listening() as receiver:
        await register(services.http, receiver, events=["job.failed"])
        await services.submit()
        await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
        await services.submit()
        await worker.fail(await worker.claim(), JobError(code=ErrorCode.ENGINE_FAILED, message="No.", attempt=1))
        (only,) = await receiver.wait_for(1)
    assert only.message["type"] == "job.failed"


async def test_a_failed_try_is_repeated(services: Services) -> None:
    """With the same id and body, until the receiver answers with 2xx; a redirect is a failure, and not followed."""
    async with Receiver().listening() as elsewhere, Receiver().listening() as receiver:
        receiver.answers += ["500 Oops", f"302 Found\r\nLocation: {elsewhere.url()}", "503 Busy", "200 OK"]
        webhook = await register(services.http, receiver)
        await cancelled(services)
        received = await receiver.wait_for(4)
        last = await delivered(services.http, webhook)
    assert elsewhere.received == []
    assert (last["tries"], last["response_status"]) == (4, 200)
    assert {one.id for one in received} == {last["delivery_id"]}
    assert len({one.body for one in received}) == 1
    for one in received:
        one.verify(webhook["secret"])
    found = (await services.http.get(f"/v1/webhooks/{webhook['webhook_id']}")).json()
    assert (found["failing_since"], found["pending"]) == (None, 0)


async def test_a_receiver_that_is_down_gets_the_message_later(services: Services) -> None:
    """The message waits, and says why; it is delivered when the receiver is back."""
    receiver = Receiver()
    async with receiver.listening():
        port = receiver.port
    webhook = await register(services.http, receiver)
    await cancelled(services)

    async def tried() -> bool:
        return bool((await delivered(services.http, webhook, "pending"))["tries"])

    await wait_until_async(tried, what="a failed try")
    pending = (await services.http.get(f"/v1/webhooks/{webhook['webhook_id']}/deliveries")).json()["deliveries"][0]
    assert pending["error"] == "The receiver refuses connections."
    assert pending["next_try_at"] is not None
    async with receiver.listening(port=port):
        (received,) = await receiver.wait_for(1)
        received.verify(webhook["secret"])
        assert (await delivered(services.http, webhook))["tries"] > 1


async def test_gone_disables_a_webhook_and_a_test_enables_it(services: Services) -> None:
    """410 means that nobody listens: nothing more is sent, the reason is shown, and a test that succeeds ends it."""
    async with Receiver("410 Gone").listening() as receiver:
        webhook = await register(services.http, receiver)
        path = f"/v1/webhooks/{webhook['webhook_id']}"
        job = await cancelled(services)
        assert (await delivered(services.http, webhook, "failed"))["tries"] == 1
        found = (await services.http.get(path)).json()
        assert found["disabled_at"] is not None
        assert found["disabled_reason"] == "The receiver answered 410 Gone."
        job = await cancelled(services)
        reply = await services.http.post(f"{path}/test")
        assert (reply.status_code, reply.json()["state"]) == (202, "pending")
        assert (await receiver.wait_for(2))[1].verify(webhook["secret"]) == {
            "type": "webhook.test",
            "timestamp": receiver.received[1].message["timestamp"],
            "data": {"webhook_id": webhook["webhook_id"]},
        }
        await delivered(services.http, webhook)
        assert (await services.http.get(path)).json()["disabled_at"] is None
        job = await cancelled(services)
        assert (await receiver.wait_for(3))[2].message["data"]["job_id"] == job.job_id


async def test_a_delivery_is_given_up_after_its_last_try(services: Services) -> None:
    """It stays in the list as failed, with the last answer; the webhook gets further messages."""
    await services.stop_broker()
    services.delivery_policy = replace(SOON, tries=3)
    await services.start_broker()
    await services.start_worker()
    async with Receiver(*["500 Oops"] * 3).listening() as receiver:
        webhook = await register(services.http, receiver)
        await cancelled(services)
        last = await delivered(services.http, webhook, "failed")
        assert (last["tries"], last["response_status"]) == (3, 500)
        assert last["error"] == "The receiver answered 500 Internal Server Error."
        await cancelled(services)
        await delivered(services.http, webhook)


async def test_a_slow_receiver_holds_up_nobody_else(services: Services) -> None:
    """While one does not answer, others get their messages; it has at most one message at a time."""
    async with Receiver(*["hang"] * 20).listening() as slow, Receiver().listening() as fast:
        await register(services.http, slow)
        await register(services.http, fast)
        for _ in range(12):
            await cancelled(services)
        await fast.wait_for(12)
        assert len(slow.received) < 12


async def test_many_slow_receivers_of_one_owner_hold_up_nobody_else(idle_services: Services) -> None:
    """They get half of the gateway's tries; the message to another owner is sent meanwhile."""
    services = idle_services
    services.settings = services.settings.model_copy(update={"webhook_networks": (ip_network("127.0.0.0/8"),)})
    store = TokenStore(services.settings.keys)
    tokens = {owner: store.create(owner, [Scope.WRITE], days=1)[0] for owner in ("ada", "bob")}
    await services.start_broker()
    await services.start_gateway()
    assert 2 * DeliveryPolicy().per_owner == CONCURRENT
    async with Receiver(*["hang"] * CONCURRENT).listening() as slow, Receiver().listening() as fast:
        for owner, receiver, count in (("ada", slow, CONCURRENT), ("bob", fast, 1)):
            services.http.headers["Authorization"] = f"Bearer {tokens[owner]}"
            for _ in range(count):
                webhook = await register(services.http, receiver)
                reply = await services.http.post(f"/v1/webhooks/{webhook['webhook_id']}/test")
                assert reply.status_code == 202
            await receiver.wait_for(min(count, CONCURRENT // 2))
        assert len(slow.received) == CONCURRENT // 2


async def test_what_a_restart_of_the_broker_leaves_is_delivered(services: Services) -> None:
    """The message is on the disk with the end of the job, so a broker that stops right after it loses nothing."""
    receiver = Receiver()
    async with receiver.listening():
        port = receiver.port
    webhook = await register(services.http, receiver)
    job = await cancelled(services)
    await services.stop_broker()
    async with receiver.listening(port=port):
        await services.start_broker()
        assert (await receiver.wait_for(1))[0].verify(webhook["secret"])["data"]["job_id"] == job.job_id


async def test_secrets_are_neither_shown_again_nor_logged(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is the path of the URL logged, which is a secret of some receivers; the audit log names who did what."""
    caplog.set_level(logging.DEBUG)
    async with Receiver("500 Oops").listening() as receiver:
        webhook = await register(services.http, receiver, url=receiver.url("/T0/s3cret?key=s3cret"))
        path = f"/v1/webhooks/{webhook['webhook_id']}"
        await cancelled(services)
        await delivered(services.http, webhook)
        secret = webhook["secret"].removeprefix("whsec_")
        for shown in (path, "/v1/webhooks", f"{path}/deliveries"):
            assert secret not in (await services.http.get(shown)).text
        assert (await services.http.delete(path)).status_code == 204
    assert (await services.http.get(path)).status_code == 404
    assert secret.encode() not in services.settings.database.read_bytes()
    logged = "\n".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)
    assert webhook["webhook_id"] in logged
    assert secret not in logged
    assert "s3cret" not in logged
    entries = [one.__dict__ for one in caplog.records if one.name == "cryomamba.audit"]
    assert [(one["action"], one.get("webhook_id")) for one in entries if one["action"].startswith("webhook")] == [
        ("webhook.create", webhook["webhook_id"]),
        ("webhook.delete", webhook["webhook_id"]),
    ]


async def test_pending_messages_and_tries_are_metrics(services: Services) -> None:
    """By result, with the number and the age of those that wait."""
    receiver = Receiver()
    async with receiver.listening():
        port = receiver.port
    webhook = await register(services.http, receiver)
    await cancelled(services)

    async def value(name: str) -> float:
        text = (await services.http.get("/metrics")).text
        return next(float(line.split(" ")[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def retried() -> bool:
        return await value('cryomamba_webhook_tries_total{result="retried"}') > 0

    await wait_until_async(retried, what="a retry")
    assert await value("cryomamba_webhook_messages_pending") == 1
    assert await value("cryomamba_webhook_oldest_pending_seconds") > 0
    async with receiver.listening(port=port):
        await delivered(services.http, webhook)
    assert await value('cryomamba_webhook_tries_total{result="delivered"}') == 1
    assert await value("cryomamba_webhook_messages_pending") == 0


async def test_an_owner_has_so_many_webhooks(services: Services) -> None:
    """One more is refused, and says how many there may be."""
    async with Receiver().listening() as receiver:
        for _ in range(3):
            await register(services.http, receiver)
        reply = await services.http.post("/v1/webhooks", json={"url": receiver.url()})
    assert reply.status_code == 409
    assert "3 webhooks" in reply.json()["message"]


async def test_a_webhook_gets_the_jobs_that_its_owner_may_see(idle_services: Services) -> None:
    """Not those of another owner; an administrator's gets all; without a valid token of its owner it gets none."""
    services = idle_services
    services.settings = services.settings.model_copy(update={"webhook_networks": (ip_network("127.0.0.0/8"),)})
    store = TokenStore(services.settings.keys)
    tokens = {"ada": Scope.WRITE, "bob": Scope.WRITE, "root": Scope.ADMIN}
    issued = {owner: store.create(owner, [scope], days=1) for owner, scope in tokens.items()}
    await services.start_broker()
    await services.start_gateway()

    def client(owner: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {issued[owner][0]}"}
        return httpx.AsyncClient(base_url=services.url, headers=headers, trust_env=False, timeout=DEADLINE_S)

    async def end_one(http: httpx.AsyncClient) -> str:
        job_id = str((await http.post("/v1/jobs", json={"volume": {"shape": [8, 8, 8]}})).json()["job_id"])
        assert (await http.delete(f"/v1/jobs/{job_id}")).status_code == 200
        return job_id

    receivers = {owner: Receiver() for owner in tokens}
    async with (
        client("ada") as ada,
        client("bob") as bob,
        client("root") as root,
        receivers["ada"].listening(),
        receivers["bob"].listening(),
        receivers["root"].listening(),
    ):
        await services.start_worker()
        webhooks = {}
        for owner, http in {"ada": ada, "bob": bob, "root": root}.items():
            webhooks[owner] = await register(http, receivers[owner])
            assert (webhooks[owner]["owner"], webhooks[owner]["everything"]) == (owner, owner == "root")
        jobs = [await end_one(ada), await end_one(bob)]
        await receivers["root"].wait_for(2)
        await delivered(ada, webhooks["ada"])
        await delivered(bob, webhooks["bob"])
        got = {owner: {one.message["data"]["job_id"] for one in found.received} for owner, found in receivers.items()}
        assert got == {"ada": {jobs[0]}, "bob": {jobs[1]}, "root": set(jobs)}
        for path in ("", "/deliveries"):
            reply = await bob.get(f"/v1/webhooks/{webhooks['ada']['webhook_id']}{path}")
            assert reply.status_code == 404
        store.create("bob", [Scope.READ], days=1)
        store.revoke(issued["root"][1].id)
        store.revoke(issued["bob"][1].id)
        issued["admin"] = store.create("admin", [Scope.ADMIN], days=1)
        await end_one(ada)
        async with client("admin") as admin:
            await delivered(admin, webhooks["root"], "failed")
            found = (await admin.get(f"/v1/webhooks/{webhooks['root']['webhook_id']}")).json()
        assert "no valid token" in found["disabled_reason"]
        assert len(receivers["root"].received) == 2


async def test_a_webhook_of_an_open_server_ends_with_its_first_token(services: Services) -> None:
    """Anybody could register it for all jobs, so from then on it gets none."""
    async with Receiver().listening() as receiver:
        webhook = await register(services.http, receiver)
        token, _ = TokenStore(services.settings.keys).create("ada", [Scope.ADMIN], days=1)
        services.http.headers["Authorization"] = f"Bearer {token}"
        await cancelled(services)
        await delivered(services.http, webhook, "failed")
        found = (await services.http.get(f"/v1/webhooks/{webhook['webhook_id']}")).json()
    assert found["disabled_reason"] == "It was registered when the server required no tokens."
    assert receiver.received == []
