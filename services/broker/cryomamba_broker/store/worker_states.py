"""Workers that an administrator has drained or removed; kept across restarts, since workers keep their names."""

from __future__ import annotations

from typing import Final, Literal

from cryomamba_broker.store.database import Database

WorkerState = Literal["drained", "removed"]

STATES_KEPT: Final = 10_000


class WorkerStateTable:
    """The states of workers that are not the usual one. All methods belong to the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> dict[str, WorkerState]:
        """Return the states by name of the worker."""
        rows = self._database.read.execute("SELECT worker, state FROM worker_states")
        return {row["worker"]: row["state"] for row in rows}

    def set(self, worker: str, state: WorkerState | None) -> None:
        """Store the state of a worker, None for the usual one; the oldest of very many are dropped."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM worker_states WHERE worker = ?", (worker,))
            if state is not None:
                connection.execute(
                    "INSERT INTO worker_states (worker, state, since) VALUES (?, ?, ?)",
                    (worker, state, self._database.clock.wall()),
                )
            connection.execute(
                "DELETE FROM worker_states WHERE worker NOT IN "
                "(SELECT worker FROM worker_states ORDER BY since DESC LIMIT ?)",
                (STATES_KEPT,),
            )
