"""The engines that workers have offered; kept across restarts, so that a submit need not wait for a worker."""

from __future__ import annotations

from collections.abc import Iterable

from cryomamba.engines.info import EngineInfo
from cryomamba_broker.store.database import Database


class EngineTable:
    """The newest description of each engine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, engines: Iterable[EngineInfo]) -> None:
        """Store descriptions of engines, replacing older ones of the same name."""
        now = self._database.clock.wall()
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO engines (name, info, seen_at) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET info = excluded.info, seen_at = excluded.seen_at",
                [(engine.name, engine.model_dump_json(), now) for engine in engines],
            )

    def load(self) -> tuple[EngineInfo, ...]:
        """Return all engines that were ever offered, sorted by name."""
        rows = self._database.read.execute("SELECT info FROM engines ORDER BY name")
        return tuple(EngineInfo.model_validate_json(row["info"]) for row in rows)
