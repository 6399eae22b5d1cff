"""The queue of messages to webhooks: what is queued, when it is tried, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.broker.store.store_helpers import ALL, SettableClock, claimed, new_job

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError
from cryomamba.models.jobs import JobState
from cryomamba.models.webhooks import DeliveryRecord, WebhookRecord, WebhookRequest
from cryomamba.wire.webhook_requests import DeliveryResult, WebhookListRequest
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.store import Store
from cryomamba_broker.store.deliveries import DueDelivery, ReportedTry

DAY_S = 86400.0


def register(store: Store, owner: str = "", **fields: object) -> WebhookRecord:
    request = WebhookRequest.model_validate({"url": "https://example.org/", "owner": owner, **fields})
    return store.webhooks.create(request, Visibility.of(owner) if owner else ALL, limit=100)


def end_a_job(store: Store, **fields: object) -> str:
    job_id = store.submissions.submit(new_job(**fields), ALL).record.job_id
    assert store.jobs.cancel(job_id, ALL).record.state is JobState.CANCELLED
    return job_id


def claim(store: Store) -> DueDelivery:
    due = store.deliveries.claim()
    assert due is not None
    return due


def report(store: Store, due: DueDelivery, outcome: str = "failed", **fields: object) -> ReportedTry | None:
    known = {"delivery": due.row["id"], "claim": due.row["claim"], "outcome": outcome}
    return store.deliveries.report(DeliveryResult.model_validate({**known, **fields}))


def newest(store: Store, webhook: WebhookRecord) -> DeliveryRecord:
    return store.deliveries.newest(webhook.webhook_id, ALL).deliveries[0]


def test_a_message_is_queued_with_the_end_or_not_at_all(store: Store) -> None:
    """Both are in one transaction: when it fails, neither has happened."""
    webhook = register(store)
    store.submissions.submit(new_job(), ALL)
    record, attempt = claimed(store)
    store.database.read.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT raise(FAIL, 'x'); END"
    )
    with pytest.raises(Exception, match="x"):
        store.leases.finish(attempt, ())
    assert store.jobs.get(record.job_id, ALL).state is JobState.RUNNING
    store.database.read.execute("DROP TRIGGER full")
    store.leases.finish(attempt, ())
    found = newest(store, webhook)
    assert (found.type, found.job_id, found.state) == ("job.completed", record.job_id, "pending")


def test_every_way_in_which_a_job_ends_is_a_message(store: Store, time: SettableClock) -> None:
    """Also the loss of its worker; another attempt and a retry are no ends."""
    webhook = register(store)
    store.submissions.submit(new_job(), ALL)
    for _ in range(3):
        record, _ = claimed(store)
        time.now += 100
        store.leases.expire()
        time.now += 100
    assert [one.type for one in store.deliveries.newest(webhook.webhook_id, ALL).deliveries] == ["job.failed"]
    store.jobs.retry(record.job_id, ALL)
    store.jobs.cancel(record.job_id, ALL)
    types = [one.type for one in store.deliveries.newest(webhook.webhook_id, ALL).deliveries]
    assert types == ["job.cancelled", "job.failed"]


def test_a_job_is_sent_to_those_who_may_see_it(store: Store) -> None:
    """Its owner and the administrators."""
    webhooks = {owner: register(store, owner) for owner in ("", "ada", "bob")}
    end_a_job(store, owner="ada")
    got = {owner: len(store.deliveries.newest(one.webhook_id, ALL).deliveries) for owner, one in webhooks.items()}
    assert got == {"": 1, "ada": 1, "bob": 0}


def test_a_webhook_has_one_message_at_a_time(store: Store, time: SettableClock) -> None:
    """Others have theirs meanwhile, and nobody waits for what cannot be sent yet."""
    register(store)
    register(store)
    first, second = end_a_job(store), end_a_job(store)
    due = [claim(store), claim(store)]
    assert [json.loads(one.row["body"])["data"]["job_id"] for one in due] == [first, first]
    assert store.deliveries.claim() is None
    assert store.deliveries.next_due_s() == DeliveryPolicy().lease_s
    report(store, due[0], "delivered", status=200)
    assert store.deliveries.next_due_s() == 0
    assert json.loads(claim(store).row["body"])["data"]["job_id"] == second


def test_an_owner_with_many_slow_webhooks_holds_up_nobody_else(store: Store, time: SettableClock) -> None:
    """It has a few tries at a time, and nobody looks again before one of them ends; others have theirs at once."""
    few = DeliveryPolicy().per_owner
    for _ in range(2 * few):
        register(store, "ada")
    end_a_job(store, owner="ada")
    slow = [claim(store) for _ in range(few)]
    assert store.deliveries.claim() is None
    assert store.deliveries.next_due_s() == DeliveryPolicy().lease_s
    register(store, "bob")
    time.now += 1
    end_a_job(store, owner="bob")
    assert store.deliveries.next_due_s() == 0
    assert claim(store).webhook["owner"] == "bob"
    report(store, slow[0])
    assert claim(store).webhook["owner"] == "ada"
    assert store.deliveries.claim() is None


def test_the_owner_with_the_fewest_tries_is_next(store: Store, time: SettableClock) -> None:
    """Though the messages of another one have waited longer."""
    for owner in ("ada", "ada", "bob"):
        register(store, owner)
    end_a_job(store, owner="ada")
    time.now += 1
    end_a_job(store, owner="bob")
    assert [claim(store).webhook["owner"] for _ in range(3)] == ["ada", "bob", "ada"]


def test_a_gateway_that_is_lost_loses_no_message(store: Store, time: SettableClock) -> None:
    """The lease ends and the next gateway gets it; what the first one says after that is ignored."""
    webhook = register(store)
    end_a_job(store)
    lost = claim(store)
    time.now += DeliveryPolicy().lease_s + 1
    again = claim(store)
    assert lost.row["id"] == again.row["id"]
    assert report(store, lost) is None
    assert newest(store, webhook).tries == 0
    store.deliveries.release(again.row["id"], again.row["claim"])
    assert claim(store).row["id"] == again.row["id"]


def test_eight_tries_within_a_day(store: Store, time: SettableClock) -> None:
    """The pauses grow; after the last try the message is failed, and the webhook gets others."""
    webhook = register(store)
    end_a_job(store)
    begun, outcomes = time.now, []
    while (seconds := store.deliveries.next_due_s()) is not None:
        time.now += seconds
        reported = report(store, claim(store), status=500, error="The receiver answered 500.")
        assert reported is not None
        outcomes.append(reported.outcome)
    assert outcomes == ["retried"] * 7 + ["failed"]
    assert DAY_S / 2 < time.now - begun < DAY_S
    found = newest(store, webhook)
    assert (found.state, found.tries, found.response_status) == ("failed", 8, 500)
    assert found.error == "The receiver answered 500."
    assert store.webhooks.get(webhook.webhook_id, ALL).disabled_at is None


def test_pauses_differ_and_have_bounds() -> None:
    """Jitter spreads them; a receiver can ask for a longer one, up to a bound."""
    policy = DeliveryPolicy()
    assert len({policy.pause(1) for _ in range(20)}) > 1
    for tries in range(1, 9):
        regular = min(10 * 5.0 ** (tries - 1), 36000)
        assert all(0.85 * regular <= policy.pause(tries) <= 1.15 * regular for _ in range(100))
    assert policy.pause(1, retry_after_s=600) == 600
    assert policy.pause(1, retry_after_s=1e12) == policy.longest_s
    assert policy.pause(6, retry_after_s=1) > 1000


def test_a_webhook_that_fails_for_days_is_disabled(store: Store, time: SettableClock) -> None:
    """With the reason; what waits for it is failed, and what happens afterwards is not queued."""
    webhook = register(store)

    def fail_one() -> ReportedTry:
        end_a_job(store)
        while True:
            time.now += store.deliveries.next_due_s() or 0
            reported = report(store, claim(store), error="The receiver refuses connections.")
            assert reported is not None
            if reported.outcome == "failed":
                return reported

    assert fail_one().disabled == ""
    time.now += 3 * DAY_S
    waiting = end_a_job(store)
    assert fail_one().disabled.endswith("have failed. The receiver refuses connections.")
    found = store.webhooks.get(webhook.webhook_id, ALL)
    assert (found.disabled_at is not None, found.pending) == (True, 0)
    assert "refuses connections" in found.disabled_reason
    last = newest(store, webhook)
    end_a_job(store)
    assert newest(store, webhook) == last
    assert {one.job_id: one.state for one in store.deliveries.newest(webhook.webhook_id, ALL).deliveries}[
        waiting
    ] == "failed"


def test_a_success_ends_the_count_of_failures(store: Store, time: SettableClock) -> None:
    """Only days without any success disable a webhook."""
    webhook = register(store)
    end_a_job(store)
    report(store, claim(store))
    assert store.webhooks.get(webhook.webhook_id, ALL).failing_since is not None
    time.now += 100
    report(store, claim(store), "delivered", status=204)
    assert store.webhooks.get(webhook.webhook_id, ALL).failing_since is None


def test_a_test_is_tried_once_and_no_sign_of_failing(store: Store) -> None:
    """It ends with its only try."""
    webhook = register(store)
    store.deliveries.queue_test(webhook.webhook_id, ALL)
    reported = report(store, claim(store), error="No.")
    assert reported == ReportedTry(webhook.webhook_id, "failed")
    found = store.webhooks.get(webhook.webhook_id, ALL)
    assert (found.failing_since, found.disabled_at) == (None, None)


def test_pending_and_ended_messages_have_bounds(tmp_path: Path, time: SettableClock) -> None:
    """One beyond the bound is recorded as failed; of those that have ended the newest are kept."""
    store = Store(tmp_path / "jobs.sqlite", time.clock(), delivery_policy=DeliveryPolicy(pending_max=3, kept=2))
    webhook = register(store)
    for _ in range(4):
        end_a_job(store)
    assert newest(store, webhook).error == "Too many messages wait for this webhook."
    assert store.webhooks.get(webhook.webhook_id, ALL).pending == 3
    assert store.deliveries.waiting() == (3, 0.0)
    with pytest.raises(ConflictError):
        store.deliveries.queue_test(webhook.webhook_id, ALL)
    for _ in range(3):
        report(store, claim(store), "delivered", status=200)
    count = "SELECT count(*), sum(length(body)) FROM deliveries"
    assert tuple(store.database.read.execute(count).fetchone()) == (2, 0)
    store.close()


def test_finding_the_next_message_costs_the_same_however_many_wait(store: Store) -> None:
    """The broker looks for one with each end of a job, and all its other requests wait meanwhile."""
    webhook = register(store)
    instructions = 0

    def count() -> int:
        nonlocal instructions
        instructions += 1
        return 0

    def cost() -> int:
        nonlocal instructions
        instructions = 0
        store.database.read.set_progress_handler(count, 1)
        assert store.deliveries.claim() is None
        assert store.deliveries.next_due_s() is not None
        store.database.read.set_progress_handler(None, 0)
        return instructions

    store.deliveries.queue_test(webhook.webhook_id, ALL)
    claim(store)
    store.deliveries.queue_test(webhook.webhook_id, ALL)
    few = cost()
    for _ in range(200):
        store.deliveries.queue_test(webhook.webhook_id, ALL)
    assert few <= cost() <= few + 20


def test_what_has_ended_goes_with_its_job_or_its_webhook(store: Store) -> None:
    """Deleting the job removes its ended messages, not one that waits; deleting the webhook removes all."""
    webhook = register(store)
    first, second = end_a_job(store), end_a_job(store)
    report(store, claim(store), "delivered", status=200)
    store.jobs.delete(first, ALL)
    store.jobs.delete(second, ALL)
    assert [one.job_id for one in store.deliveries.newest(webhook.webhook_id, ALL).deliveries] == [second]
    store.webhooks.delete(webhook.webhook_id, ALL)
    assert store.database.read.execute("SELECT count(*) FROM deliveries").fetchone()[0] == 0


def test_webhooks_are_listed_in_pages(store: Store) -> None:
    """Newest first; a page ends when a reply is full, and the next one continues."""
    made = [register(store, "ada", url=f"https://example.org/{'x' * 2000}{n}").webhook_id for n in range(60)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = store.webhooks.page(WebhookListRequest(limit=200, cursor=cursor), Visibility.of("ada"))
        assert page.webhooks
        found += [one.webhook_id for one in page.webhooks]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == made[::-1]
