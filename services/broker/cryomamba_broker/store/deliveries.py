"""The messages to webhooks: queued in the transaction of the event that they are about, then tried until they end."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from typing import Final, Literal

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError
from cryomamba.models.jobs import JobEvent
from cryomamba.models.webhooks import TEST_EVENT, DeliveryList, DeliveryRecord
from cryomamba.wire.webhook_requests import DeliveryResult
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.rows import fitting, to_time, truncate
from cryomamba_broker.store.webhook_messages import ENDS, job_ended, webhook_tested
from cryomamba_broker.store.webhooks import WebhookTable

_ERROR_BYTES: Final = 300
# The leases of each owner that has any.
_LEASES: Final = (
    "WITH leases AS (SELECT owner, count(*) AS leased, min(leased_until) AS first_ends FROM deliveries "
    "JOIN webhooks ON webhooks.serial = webhook WHERE leased_until > :now GROUP BY owner) "
)
# A webhook gets one message at a time, and an owner a few, so that slow receivers do not hold up those of others. Both
# look at the first message of each webhook: however many wait, the broker's work stays the same.
_DUE: Final = (
    f"{_LEASES} SELECT first.serial FROM webhooks LEFT JOIN leases USING (owner) "  # noqa: S608 (a constant)  # nosec B608
    "JOIN deliveries AS first ON first.serial = ("
    "SELECT serial FROM deliveries WHERE webhook = webhooks.serial AND state = 'pending' AND due_at <= :now "
    "ORDER BY due_at, serial LIMIT 1) "
    "WHERE coalesce(leased, 0) < :per_owner "
    "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook = webhooks.serial AND leased_until > :now) "
    "ORDER BY coalesce(leased, 0), first.due_at, first.serial LIMIT 1"
)
_NEXT_DUE: Final = (
    f"{_LEASES} SELECT min(max("  # noqa: S608 (a constant, too)  # nosec B608
    "(SELECT min(due_at) FROM deliveries WHERE webhook = webhooks.serial AND state = 'pending'), "
    "(SELECT coalesce(max(leased_until), 0) FROM deliveries WHERE webhook = webhooks.serial "
    "AND leased_until IS NOT NULL), "
    "CASE WHEN leased >= :per_owner THEN first_ends ELSE 0 END)) FROM webhooks LEFT JOIN leases USING (owner)"
)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that was claimed, with what is to be sent, and to which webhook."""

    row: sqlite3.Row
    webhook: sqlite3.Row


@dataclass(frozen=True, slots=True)
class ReportedTry:
    """What the result of a try has led to; `disabled` is the reason if it has disabled the webhook."""

    webhook_id: str
    outcome: Literal["delivered", "retried", "failed"]
    disabled: str = ""


class Deliveries:
    """The queue of messages to webhooks. All methods belong to the store's thread."""

    def __init__(self, database: Database, webhooks: WebhookTable, policy: DeliveryPolicy) -> None:
        self._database, self._webhooks, self._policy = database, webhooks, policy

    def queue_end(self, connection: sqlite3.Connection, job: sqlite3.Row, event: JobEvent) -> None:
        """Queue the messages about an event within the current transaction, if it is the end of a job.

        `job` is the row after the change.
        """
        if event.type not in ENDS:
            return
        type_ = ENDS[event.type]
        found = connection.execute(
            "SELECT serial FROM webhooks WHERE disabled_at IS NULL AND (everything OR owner = ?) "
            "AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?)",
            (job["owner"], type_),
        ).fetchall()
        for webhook in found:
            self._queue(connection, webhook["serial"], type_, job_ended(job, event), job_id=job["id"])

    def queue_test(self, webhook_id: str, visibility: Visibility) -> DeliveryRecord:
        """Queue a message that tests a webhook, which may be disabled.

        Raises
        ------
        NotFoundError
            There is no such webhook.
        ConflictError
            Too many messages wait for it.
        """
        with self._database.write() as connection:
            webhook = self._webhooks.row(webhook_id, visibility)
            if webhook["pending"] >= self._policy.pending_max:
                raise ConflictError(
                    "Too many messages wait for this webhook.",
                    hint="Find out why they are not delivered: 'cryomamba webhooks deliveries'.",
                )
            body = webhook_tested(webhook_id, to_time(self._database.clock.wall()))
            row = self._queue(connection, webhook["serial"], TEST_EVENT, body)
            return _record_of(row, webhook_id)

    def _queue(
        self, connection: sqlite3.Connection, webhook: int, type_: str, body: str, *, job_id: str | None = None
    ) -> sqlite3.Row:
        now = self._database.clock.wall()
        row: sqlite3.Row = connection.execute(
            "INSERT INTO deliveries (id, webhook, type, job, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "RETURNING *",
            (str(uuid.uuid4()), webhook, type_, job_id, body, now, now),
        ).fetchone()
        pending = "SELECT count(*) FROM deliveries WHERE webhook = ? AND state = 'pending'"
        if connection.execute(pending, (webhook,)).fetchone()[0] > self._policy.pending_max:
            self._end(connection, row, "failed", error="Too many messages wait for this webhook.")
        return row

    def claim(self) -> DueDelivery | None:
        """Lease the next delivery that is due to a gateway."""
        parameters = self._parameters()
        if self._database.read.execute(_DUE, parameters).fetchone() is None:
            return None
        with self._database.write() as connection:
            (serial,) = connection.execute(_DUE, parameters).fetchone()
            row = connection.execute(
                "UPDATE deliveries SET claim = claim + 1, leased_until = ? WHERE serial = ? RETURNING *",
                (parameters["now"] + self._policy.lease_s, serial),
            ).fetchone()
            webhook = connection.execute("SELECT * FROM webhooks WHERE serial = ?", (row["webhook"],)).fetchone()
            return DueDelivery(row, webhook)

    def next_due_s(self) -> float | None:
        """Return the seconds until a delivery can be claimed; None if none is pending."""
        parameters = self._parameters()
        (at,) = self._database.read.execute(_NEXT_DUE, parameters).fetchone()
        return None if at is None else max(0.0, float(at) - parameters["now"])

    def _parameters(self) -> dict[str, float]:
        return {"now": self._database.clock.wall(), "per_owner": self._policy.per_owner}

    def release(self, delivery_id: str, claim: int) -> None:
        """End the lease of a delivery that did not reach its gateway."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE deliveries SET leased_until = NULL WHERE id = ? AND claim = ?", (delivery_id, claim)
            )

    def report(self, result: DeliveryResult) -> ReportedTry | None:
        """Enter the reported result of a try; None if the delivery has ended or was claimed again since."""
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE deliveries SET tries = tries + 1, leased_until = NULL, response_status = ?, error = ? "
                "WHERE id = ? AND claim = ? AND state = 'pending' AND leased_until IS NOT NULL RETURNING *",
                (result.status, truncate(result.error, _ERROR_BYTES), result.delivery, result.claim),
            ).fetchone()
            if row is None:
                return None
            webhook = connection.execute("SELECT * FROM webhooks WHERE serial = ?", (row["webhook"],)).fetchone()
            if result.outcome == "delivered":
                return self._delivered(connection, row, webhook)
            return self._failed(connection, row, webhook, result)

    def _delivered(self, connection: sqlite3.Connection, row: sqlite3.Row, webhook: sqlite3.Row) -> ReportedTry:
        self._end(connection, row, "delivered")
        # Only a test is sent to a disabled webhook.
        connection.execute(
            "UPDATE webhooks SET failing_since = NULL, disabled_at = NULL, disabled_reason = '' WHERE serial = ?",
            (webhook["serial"],),
        )
        return ReportedTry(webhook["id"], "delivered")

    def _failed(
        self, connection: sqlite3.Connection, row: sqlite3.Row, webhook: sqlite3.Row, result: DeliveryResult
    ) -> ReportedTry:
        now = self._database.clock.wall()
        test, gone = row["type"] == TEST_EVENT, result.outcome == "gone"
        if not test:
            connection.execute(
                "UPDATE webhooks SET failing_since = coalesce(failing_since, ?) WHERE serial = ?",
                (now, webhook["serial"]),
            )
        if not (test or gone) and row["tries"] < self._policy.tries:
            due = now + self._policy.pause(row["tries"], result.retry_after_s)
            connection.execute("UPDATE deliveries SET due_at = ? WHERE serial = ?", (due, row["serial"]))
            return ReportedTry(webhook["id"], "retried")
        self._end(connection, row, "failed", error=row["error"])
        since = webhook["failing_since"]
        too_long = not test and since is not None and now - since >= self._policy.disable_after_s
        if webhook["disabled_at"] is not None or not (gone or too_long):
            return ReportedTry(webhook["id"], "failed")
        since_text = "" if gone else f"All tries since {to_time(since):%Y-%m-%d %H:%M} UTC have failed. "
        reason = f"{since_text}{row['error']}"
        self._disable(connection, webhook["serial"], reason)
        return ReportedTry(webhook["id"], "failed", reason)

    def _disable(self, connection: sqlite3.Connection, webhook: int, reason: str) -> None:
        now = self._database.clock.wall()
        connection.execute(
            "UPDATE webhooks SET disabled_at = ?, disabled_reason = ? WHERE serial = ?", (now, reason, webhook)
        )
        connection.execute(
            "UPDATE deliveries SET state = 'failed', body = '', leased_until = NULL, ended_at = ?, "
            "error = 'The webhook was disabled.' WHERE webhook = ? AND state = 'pending' AND type <> ?",
            (now, webhook, TEST_EVENT),
        )

    def _end(
        self, connection: sqlite3.Connection, row: sqlite3.Row, state: Literal["delivered", "failed"], error: str = ""
    ) -> None:
        connection.execute(
            "UPDATE deliveries SET state = ?, body = '', leased_until = NULL, ended_at = ?, error = ? WHERE serial = ?",
            (state, self._database.clock.wall(), error, row["serial"]),
        )
        connection.execute(
            "DELETE FROM deliveries WHERE webhook = :webhook AND state <> 'pending' AND serial <= (SELECT serial FROM "
            "deliveries WHERE webhook = :webhook AND state <> 'pending' ORDER BY serial DESC LIMIT 1 OFFSET :kept)",
            {"webhook": row["webhook"], "kept": self._policy.kept},
        )

    def newest(self, webhook_id: str, visibility: Visibility) -> DeliveryList:
        """Return the newest deliveries to a webhook, newest first, as many as fit into a reply.

        Raises
        ------
        NotFoundError
            There is no such webhook.
        """
        webhook = self._webhooks.row(webhook_id, visibility)
        rows = self._database.read.execute(
            "SELECT * FROM deliveries WHERE webhook = ? ORDER BY serial DESC LIMIT ?",
            (webhook["serial"], self._policy.kept),
        )
        return DeliveryList(deliveries=fitting(_record_of(row, webhook_id) for row in rows))

    def waiting(self) -> tuple[int, float]:
        """Return how many deliveries are pending, to webhooks of all owners, and the age of the oldest in seconds."""
        count, since = self._database.read.execute(
            "SELECT count(*), min(created_at) FROM deliveries WHERE state = 'pending'"
        ).fetchone()
        return int(count), 0.0 if since is None else max(0.0, self._database.clock.wall() - float(since))


def _record_of(row: sqlite3.Row, webhook_id: str) -> DeliveryRecord:
    pending = row["state"] == "pending"
    return DeliveryRecord(
        delivery_id=row["id"],
        webhook_id=webhook_id,
        type=row["type"],
        job_id=row["job"],
        state=row["state"],
        tries=row["tries"],
        created_at=to_time(row["created_at"]),
        next_try_at=to_time(row["due_at"]) if pending else None,
        ended_at=None if row["ended_at"] is None else to_time(row["ended_at"]),
        response_status=row["response_status"],
        error=row["error"],
    )
