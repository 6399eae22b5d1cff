"""The queue of pending jobs: which one a worker is given, and where each stands."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from cryomamba_broker.fair_share import PRIORITY_S, Abilities, Turn, next_owner, owner_order, place_in_queue
from cryomamba_broker.placement import Placement
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog

TURNS_KEPT: Final = 4096
_POOLS_KEPT: Final = 8
# As in fair_share.queue_key, and as in the index of the table.
_KEY: Final = f"created_at - priority * {PRIORITY_S:.1f}"
_ORDER: Final = f"{_KEY}, serial"
_CAN_RUN: Final = (
    "state = 'pending' AND engine IN (SELECT value FROM json_each(:engines)) "
    "AND model IN (SELECT value FROM json_each(:models)) AND id NOT IN (SELECT value FROM json_each(:declined))"
)


class JobQueue:
    """Pending jobs. All methods belong to the store's thread."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database, self._events = database, events
        self._waiting: OrderedDict[tuple[int, Abilities], tuple[dict[str, int], list[str]]] = OrderedDict()

    def next(self, connection: sqlite3.Connection, abilities: Abilities) -> int | None:
        """Return the serial number of the job that a worker is given, None for none, and note whose turn it was."""
        found = self._first_jobs(connection, abilities)
        if not found:
            return None
        owner = next_owner(found, self._turns(abilities.pool))
        (turn,) = connection.execute("SELECT coalesce(max(turn), 0) + 1 FROM turns").fetchone()
        connection.execute(
            "INSERT INTO turns (pool, owner, turn) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET turn = excluded.turn",
            (abilities.pool, owner, turn),
        )
        connection.execute("DELETE FROM turns WHERE turn <= ?", (turn - TURNS_KEPT,))
        return found[owner]

    def place(self, job_id: str, placement: Placement) -> tuple[int | None, str]:
        """Return the place of a pending job in the queue, from 1, and the reason if no worker can run it.

        Of a job that is not pending, or no longer, nothing is returned.
        """
        job = self._database.read.execute(
            f"SELECT id, owner, engine, model, {_ORDER} FROM jobs WHERE id = ? AND state = 'pending'",  # noqa: S608 (constants)  # nosec B608
            (job_id,),
        ).fetchone()
        if job is None:
            return None, ""
        places = [self._place(job, pool) for pool in placement.pools if _can_run(job, pool)]
        if places:
            return min(places), ""
        return None, placement.blocked_reason(job_id, job["engine"], job["model"])

    def _place(self, job: sqlite3.Row, abilities: Abilities) -> int:
        # Every change of the queue has an event.
        known = self._events.last(), abilities
        if known not in self._waiting:
            self._waiting[known] = self._count(abilities)
            if len(self._waiting) > _POOLS_KEPT:
                self._waiting.popitem(last=False)
        counts, order = self._waiting[known]
        values = {**_values(abilities), "owner": job["owner"], "key": job[4], "serial": job["serial"]}
        (before,) = self._database.read.execute(
            f"SELECT count(*) FROM jobs WHERE owner = :owner AND ({_ORDER}) < (:key, :serial) AND {_CAN_RUN}",  # noqa: S608 (constants)  # nosec B608
            values,
        ).fetchone()
        return place_in_queue(before + 1, job["owner"], counts, order)

    def _count(self, abilities: Abilities) -> tuple[dict[str, int], list[str]]:
        """Return how many jobs of each owner a pool can run, and the owners in the order of their turns."""
        rows = self._database.read.execute(
            # Constants alone, and the index, by which the table itself is not read.
            f"SELECT owner, count(*) AS jobs, serial, min({_KEY}) FROM jobs INDEXED BY jobs_queued "  # noqa: S608  # nosec B608
            f"WHERE {_CAN_RUN} GROUP BY owner",
            _values(abilities),
        ).fetchall()
        first = {row["owner"]: row["serial"] for row in rows}
        return {row["owner"]: row["jobs"] for row in rows}, owner_order(first, self._turns(abilities.pool))

    def _first_jobs(self, connection: sqlite3.Connection, abilities: Abilities) -> dict[str, int]:
        """Return the owners with a job that can run now, and the first such job of each."""
        values = {**_values(abilities), "now": self._database.clock.steady()}
        found: dict[str, int] = {}
        for (owner,) in connection.execute("SELECT DISTINCT owner FROM jobs WHERE state = 'pending'").fetchall():
            row = connection.execute(
                f"SELECT serial FROM jobs WHERE owner = :owner AND not_before <= :now AND {_CAN_RUN} "  # noqa: S608 (constants)  # nosec B608
                f"ORDER BY {_ORDER} LIMIT 1",
                {**values, "owner": owner},
            ).fetchone()
            if row is not None:
                found[owner] = row["serial"]
        return found

    def _turns(self, pool: str) -> dict[str, Turn]:
        rows = self._database.read.execute(
            "SELECT owner, max(CASE WHEN pool = ? THEN turn ELSE 0 END) AS here, max(turn) AS anywhere "
            "FROM turns GROUP BY owner",
            (pool,),
        )
        return {row["owner"]: Turn(row["here"], row["anywhere"]) for row in rows}


def _values(abilities: Abilities) -> dict[str, Any]:
    def listed(names: Sequence[str]) -> str:
        return json.dumps(list(names))

    return {
        "engines": listed(abilities.engines),
        "models": listed(["", *abilities.models]),
        "declined": listed(abilities.declined),
    }


def _can_run(job: sqlite3.Row, abilities: Abilities) -> bool:
    return (
        job["engine"] in abilities.engines
        and job["model"] in {"", *abilities.models}
        and job["id"] not in abilities.declined
    )
