"""A clock that tests set, and new and claimed jobs of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.models.jobs import JobRecord, SubmitRequest, VolumeSummary
from cryomamba_broker.store import Attempt, Clock, NewJob, Store

ALL: Final = Visibility.everything()
OpenStore = Callable[[], Store]


class SettableClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, steady=lambda: self.now)


def new_job(**fields: object) -> NewJob:
    request = SubmitRequest.model_validate({"volume": {"shape": (4, 4, 4)}, "engine": "demo", **fields})
    return NewJob(request, "demo", VolumeSummary(name="demo", shape=(4, 4, 4), voxel_size_A=(1, 1, 1)))


def claimed(store: Store, worker: str = "w") -> tuple[JobRecord, Attempt]:
    held = store.leases.claim(worker, ["demo"])
    assert held is not None
    return held.record, Attempt(held.record.job_id, worker, held.record.attempt)


def damage_pages(path: Path) -> None:
    """Overwrite everything but the first page of a database, as a failing disk might."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
