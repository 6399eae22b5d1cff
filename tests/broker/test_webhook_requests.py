"""Requests about webhooks on the bus: claims of deliveries that wait, are lost, or are no longer allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio
from tests.broker.jobs import submit_job
from tests.broker.locked_bus import DEMO, LockedBus

from cryomamba.client import calls, webhook_calls
from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError
from cryomamba.models.webhooks import SIGNED_HEADERS, ClaimedDelivery, SignedDelivery, WebhookRecord, WebhookRequest
from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.server import Broker

Connect = Callable[..., BusRequester]
Subscribe = Callable[..., zmq.asyncio.Socket]
URL = "https://example.org/hook"
LONG_LEASE = DeliveryPolicy(lease_s=1e6)


@pytest_asyncio.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    """A broker whose leases of deliveries do not end during a test."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(Broker(settings, delivery_policy=LONG_LEASE))


async def cancelled(client: BusRequester) -> str:
    job_id = (await submit_job(client)).job_id
    await client.request("job.cancel", {"job": job_id})
    return job_id


async def claim(client: BusRequester, wait_s: float = 60.0) -> SignedDelivery | None:
    reply = await client.request("delivery.claim", {"wait_s": wait_s}, timeout=DEADLINE_S)
    return ClaimedDelivery.model_validate(reply.body).delivery


async def test_a_claim_waits_for_the_end_of_a_job(client: BusRequester, worker: BusRequester) -> None:
    """It is answered when a job ends, signed and with all that a gateway needs; without one it comes back empty."""
    await client.request("webhook.create", {"url": URL})
    assert await claim(client, wait_s=0) is None
    waiting = asyncio.create_task(claim(client))
    job_id = await cancelled(client)
    found = await waiting
    assert found is not None
    assert job_id in found.body
    assert found.url == URL
    assert set(found.headers) == set(SIGNED_HEADERS)
    assert found.headers["webhook-id"] == found.delivery_id
    result = {"delivery": found.delivery_id, "claim": found.claim, "outcome": "delivered", "status": 204}
    await client.request("delivery.report", result)
    listed = (await client.request("webhook.deliveries", {"webhook": found.webhook_id})).body["deliveries"]
    assert [(one["state"], one["response_status"]) for one in listed] == [("delivered", 204)]


async def test_a_message_for_a_gateway_that_is_gone_goes_to_the_next(
    broker: Broker, connect: Connect, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """A claim whose gateway has disconnected does not hold the message for a whole lease."""
    await client.request("webhook.create", {"url": URL})
    gone = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    asked = EnvelopeFactory("g").envelope("delivery.claim", {"wait_s": 60}, ts=0, owner="*")
    before = broker.counters.requests
    await gone.send(encode(asked))
    while broker.counters.requests < before + 2:
        await client.request("ping", {})
    gone.close(linger=0)
    job_id = await cancelled(client)
    found = await claim(connect())
    assert found is not None
    assert job_id in found.body


@pytest.mark.parametrize("url", ["http://example.org/", "https://127.0.0.1/", "https://user@example.org/"])
async def test_a_url_is_checked_when_it_is_registered(client: BusRequester, url: str) -> None:
    """Also over the bus, where no gateway looks at it."""
    with pytest.raises(InvalidRequestError) as caught:
        await client.request("webhook.create", {"url": url})
    assert caught.value.code is ErrorCode.URL_FORBIDDEN


async def test_webhooks_can_be_refused(settings: Settings, connect: Connect, tmp_path: Path) -> None:
    """A server whose operator allows none says so."""
    changed = settings.model_copy(update={"webhooks_per_owner": 0, "home": tmp_path / "other"})
    async with Broker(changed) as broker:
        other = BusRequester(broker.endpoints.jobs, src="client")
        with pytest.raises(ConflictError, match="0 webhooks"):
            await other.request("webhook.create", {"url": URL})
        await other.close()


async def test_a_webhook_ends_with_the_last_key_of_its_owner(bus: LockedBus) -> None:
    """A key is revoked: the message about what its owner may no longer see is not given to a gateway."""

    async def register(who: str) -> WebhookRecord:
        caller = {"ada": bus.ada, "bob": bus.bob}[who]
        return await caller.call(webhook_calls.create_webhook(WebhookRequest(url=URL)))

    hooks = {who: await register(who) for who in ("ada", "bob")}
    for caller in (bus.ada, bus.bob):
        job = await caller.call(calls.submit_job(DEMO))
        await caller.call(calls.cancel_job(job.job_id))
    bus.keys.revoke("ada")
    found = (await bus.admin.call(webhook_calls.claim_delivery(wait_s=0))).delivery
    assert found is not None
    assert found.webhook_id == hooks["bob"].webhook_id
    ended = await bus.admin.call(webhook_calls.get_webhook(hooks["ada"].webhook_id))
    assert ended.disabled_reason == "Its owner has no valid key that may register it."
