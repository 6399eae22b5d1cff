"""What administrators have decided about workers, and which jobs workers have handed back: pure state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryomamba.errors import AccessError
from cryomamba_broker.store.worker_states import WorkerState

DECLINED_S: Final = 600.0
"""Seconds for which a job is not offered again to a worker that has handed it back; its folders may come back."""


@dataclass(frozen=True, slots=True)
class _Declined:
    reason: str
    until: float


class WorkerStates:
    """Workers that are drained or removed, and the jobs that workers have handed back.

    Parameters
    ----------
    known : mapping
        The states that were stored, by name of the worker.
    """

    def __init__(self, known: Mapping[str, WorkerState]) -> None:
        self._states = dict(known)
        self._declined: dict[str, dict[str, _Declined]] = {}

    def set(self, worker: str, state: WorkerState | None) -> None:
        """Set the state of a worker, None for the usual one."""
        if state is None:
            self._states.pop(worker, None)
        else:
            self._states[worker] = state

    def is_drained(self, worker: str) -> bool:
        """Whether a worker takes no further jobs."""
        return worker in self._states

    def require_not_removed(self, worker: str) -> None:
        """Refuse a worker that was removed.

        Raises
        ------
        AccessError
            ``forbidden``.
        """
        if self._states.get(worker) == "removed":
            raise AccessError(
                "This worker was removed by an administrator.",
                hint="Restart it to have it take jobs again; if its key was revoked, it needs another one.",
            )

    def decline(self, worker: str, job_id: str, reason: str, steady: float) -> None:
        """Note that a worker has handed back a job, and why."""
        self._declined.setdefault(worker, {})[job_id] = _Declined(reason, steady + DECLINED_S)

    def declined(self, worker: str) -> dict[str, str]:
        """Return the jobs that a worker has handed back, and why."""
        return {job_id: one.reason for job_id, one in self._declined.get(worker, {}).items()}

    def forget(self, steady: float, *, silent: list[str]) -> None:
        """Forget what was handed back long ago, or by workers that are gone."""
        for worker in silent:
            self._declined.pop(worker, None)
        for jobs in self._declined.values():
            for job_id in [job_id for job_id, one in jobs.items() if one.until < steady]:
                del jobs[job_id]
