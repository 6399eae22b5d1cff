"""The table of webhooks: which ends of jobs are sent to which URLs."""

from __future__ import annotations

import json
import sqlite3
import uuid

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError, no_such_webhook
from cryomamba.models.webhooks import WebhookPage, WebhookRecord, WebhookRequest
from cryomamba.wire.webhook_requests import WebhookListRequest
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.rows import fitting, next_cursor, parse_cursor, to_json, to_time

_WITH_PENDING = (
    "SELECT *, (SELECT count(*) FROM deliveries WHERE webhook = webhooks.serial AND state = 'pending') AS pending "
    "FROM webhooks"
)


class WebhookTable:
    """The webhooks. All methods belong to the store's thread.

    A webhook of an administrator gets the jobs of all owners, so only administrators see it.
    Methods that take an id raise :class:`NotFoundError` if there is no such webhook that the caller may see.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, request: WebhookRequest, visibility: Visibility, *, limit: int) -> WebhookRecord:
        """Register a webhook of the request's owner.

        Raises
        ------
        ConflictError
            The owner has `limit` webhooks already.
        """
        with self._database.write() as connection:
            count = "SELECT count(*) FROM webhooks WHERE owner = ?"
            if connection.execute(count, (request.owner,)).fetchone()[0] >= limit:
                raise ConflictError(
                    f"The server allows {limit} webhooks per owner.",
                    hint="Delete one that is not needed: 'cryomamba webhooks list' lists them.",
                )
            row = connection.execute(
                "INSERT INTO webhooks (id, owner, everything, registered_by, url, events, name, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *, 0 AS pending",
                (
                    str(uuid.uuid4()),
                    request.owner,
                    visibility.is_everything,
                    request.registered_by,
                    request.url,
                    to_json(sorted(set(request.events))),
                    request.name,
                    self._database.clock.wall(),
                ),
            ).fetchone()
            return _record_of(row)

    def get(self, webhook_id: str, visibility: Visibility) -> WebhookRecord:
        """Return a webhook."""
        return _record_of(self.row(webhook_id, visibility))

    def page(self, query: WebhookListRequest, visibility: Visibility) -> WebhookPage:
        """Return webhooks, newest first, as many as fit into a reply.

        Raises
        ------
        InvalidRequestError
            The cursor did not come from a listing.
        """
        rows = self._database.read.execute(
            f"{_WITH_PENDING} WHERE serial < :before AND (:owner IS NULL OR (owner = :owner AND NOT everything)) "
            "ORDER BY serial DESC LIMIT :most",
            {"before": parse_cursor(query.cursor), "owner": visibility.owner, "most": query.limit + 1},
        ).fetchall()
        found = fitting(_record_of(row) for row in rows[: query.limit])
        return WebhookPage(webhooks=found, cursor=next_cursor(rows, len(found)))

    def delete(self, webhook_id: str, visibility: Visibility) -> WebhookRecord:
        """Delete a webhook with its deliveries, and return it as it was."""
        with self._database.write() as connection:
            row = self.row(webhook_id, visibility)
            connection.execute("DELETE FROM webhooks WHERE serial = ?", (row["serial"],))
            return _record_of(row)

    def row(self, webhook_id: str, visibility: Visibility) -> sqlite3.Row:
        """Return a webhook's row."""
        found = self._database.read.execute(f"{_WITH_PENDING} WHERE id = ?", (webhook_id,))
        row: sqlite3.Row | None = found.fetchone()
        if row is None or not (
            visibility.is_everything or (visibility.includes(row["owner"]) and not row["everything"])
        ):
            raise no_such_webhook(webhook_id)
        return row


def _record_of(row: sqlite3.Row) -> WebhookRecord:
    return WebhookRecord(
        webhook_id=row["id"],
        url=row["url"],
        events=tuple(json.loads(row["events"])),
        name=row["name"],
        owner=row["owner"],
        everything=bool(row["everything"]),
        created_at=to_time(row["created_at"]),
        pending=row["pending"],
        failing_since=None if row["failing_since"] is None else to_time(row["failing_since"]),
        disabled_at=None if row["disabled_at"] is None else to_time(row["disabled_at"]),
        disabled_reason=row["disabled_reason"],
    )
