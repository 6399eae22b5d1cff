"""The queue of pending jobs: which one a worker is given, and where each stands."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryomamba_broker.fair_share import PRIORITY_S, Abilities, Turn, next_owner, start_order
from cryomamba_broker.placement import Placement
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog

TURNS_KEPT: Final = 4096
_ORDERS_KEPT: Final = 8
# As in fair_share.queue_key, and as in the index of the table.
_ORDER: Final = f"created_at - priority * {PRIORITY_S:.1f}, serial"
_CAN_RUN: Final = (
    "state = 'pending' AND engine IN (SELECT value FROM json_each(:engines)) "
    "AND model IN (SELECT value FROM json_each(:models)) AND id NOT IN (SELECT value FROM json_each(:declined))"
)


class JobQueue:
    """Pending jobs. All methods belong to the store's thread."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database, self._events = database, events
        self._orders: OrderedDict[tuple[int, Abilities], dict[str, int]] = OrderedDict()

    def next(self, connection: sqlite3.Connection, abilities: Abilities) -> int | None:
        """Return the serial number of the job that a worker is given, None for none, and note whose turn it was."""
        found = self._first_jobs(connection, abilities)
        if not found:
            return None
        owner = next_owner(found, self._turns(abilities.pool))
        (turn,) = connection.execute("SELECT coalesce(max(turn), 0) + 1 FROM turns").fetchone()
        connection.execute(
            "INSERT INTO turns (pool, owner, turn) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET turn = ?3",
            (abilities.pool, owner, turn),
        )
        connection.execute("DELETE FROM turns WHERE turn <= ?", (turn - TURNS_KEPT,))
        return found[owner]

    def places(self, abilities: Abilities) -> Mapping[str, int]:
        """Return the place in the queue, from 1, of each job that such workers can run, by job id."""
        # Every change of the queue has an event.
        key = self._events.last(), abilities
        if key not in self._orders:
            self._orders[key] = self._places(abilities)
            if len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[key]

    def place(self, job_id: str, engine: str, placement: Placement) -> tuple[int | None, str]:
        """Return the place of a pending job in the queue, and the reason if no worker can run it."""
        places = [place for pool in placement.pools if (place := self.places(pool).get(job_id)) is not None]
        if places:
            return min(places), ""
        row = self._database.read.execute("SELECT model FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None, "" if row is None else placement.blocked_reason(job_id, engine, row["model"])

    def _places(self, abilities: Abilities) -> dict[str, int]:
        rows = self._database.read.execute(
            f"SELECT owner, serial, id FROM jobs WHERE {_CAN_RUN} ORDER BY owner, {_ORDER}",  # noqa: S608 (constants)  # nosec B608
            _values(abilities),
        )
        queues: dict[str, list[int]] = {}
        ids: dict[int, str] = {}
        for row in rows:
            queues.setdefault(row["owner"], []).append(row["serial"])
            ids[row["serial"]] = row["id"]
        order = start_order(queues, self._turns(abilities.pool))
        return {ids[serial]: place for place, serial in enumerate(order, 1)}

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
