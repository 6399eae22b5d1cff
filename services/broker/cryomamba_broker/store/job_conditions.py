"""The conditions of a listing of jobs in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.models.job_filter import JobFilter

_VOLUME: Final = "coalesce(json_extract(volume, '$.path'), json_extract(volume, '$.name'))"
_SEARCHED: Final = ("id", "name", "engine", "owner", _VOLUME)
_OCCURS: Final = "(" + " OR ".join(f"instr(lower({text}), lower(?))" for text in _SEARCHED) + ")"


def conditions_of(wanted: JobFilter, visibility: Visibility) -> tuple[list[str], list[str | float]]:
    """Return the conditions on a row of ``jobs``, each with one or more ``?``, and the values for them in order.

    Only what is set becomes a condition: with "… OR ? IS NULL" SQLite would use no index.
    """
    conditions: list[str] = []
    values: list[str | float] = []
    for condition, *more in _conditions(wanted, visibility):
        conditions.append(str(condition))
        values += more
    return conditions, values


def _conditions(wanted: JobFilter, visibility: Visibility) -> Iterator[tuple[str | float, ...]]:
    if visibility.owner is not None:
        yield "owner = ?", visibility.owner
    if wanted.owner is not None:
        yield "owner = ?", wanted.owner
    if wanted.state:
        yield f"state IN ({', '.join('?' * len(wanted.state))})", *wanted.state
    if wanted.engine is not None:
        yield "engine = ?", wanted.engine
    if wanted.model is not None:
        yield "model = ?", wanted.model
    if wanted.name is not None:
        yield "name = ?", wanted.name
    if wanted.created_after is not None:
        yield "created_at > ?", wanted.created_after.timestamp()
    if wanted.created_before is not None:
        yield "created_at < ?", wanted.created_before.timestamp()
    for word in wanted.words:
        yield _OCCURS, *([word] * len(_SEARCHED))
