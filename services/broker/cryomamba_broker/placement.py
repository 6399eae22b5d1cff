"""Which of the connected workers can run a job, and if none can, why: pure state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryomamba_broker.fair_share import Abilities

_QUOTED_MAX = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """A connected worker, as far as it matters for the choice of its jobs.

    Attributes
    ----------
    engines, models : tuple of str
        Engines that can run on it, and trained models that it may use.
    drained : bool
        Whether it takes no further jobs.
    declined : mapping of str to str
        Jobs that it has handed back, and why.
    memory_bytes : int
        Memory that a job may use on it; 0 if that is not known.
    """

    engines: tuple[str, ...]
    models: tuple[str, ...] = ()
    drained: bool = False
    declined: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0

    @property
    def abilities(self) -> Abilities:
        """Which jobs it may be given."""
        return Abilities(self.engines, self.models, tuple(sorted(self.declined)))


@dataclass(frozen=True, slots=True)
class Placement:
    """The connected workers at one moment."""

    workers: tuple[Candidate, ...] = ()

    @property
    def pools(self) -> frozenset[Abilities]:
        """What the workers that take jobs can run; those with the same abilities are one pool."""
        return frozenset(worker.abilities for worker in self.workers if not worker.drained)

    def blocked_reason(self, job_id: str, engine: str, model: str) -> str:
        """Return why no worker can run a job, in a sentence; empty if one can.

        Parameters
        ----------
        model : str
            The trained model that the job needs; empty for none.
        """
        if not self.workers:
            return "No worker is connected."
        able = [worker for worker in self.workers if engine in worker.engines]
        if not able:
            return f"No worker has the engine '{engine}'."
        able = [worker for worker in able if not model or model in worker.models]
        if not able:
            return f"No worker with the engine '{engine}' has the model '{model[:_QUOTED_MAX]}'."
        taking = [worker for worker in able if not worker.drained]
        if not taking:
            return "All workers that could run it are drained: they take no further jobs."
        reasons = [worker.declined.get(job_id) for worker in taking]
        if any(reason is None for reason in reasons):
            return ""
        return next(reason for reason in reasons if reason is not None)

    def can_run(self, job_id: str, engine: str, model: str) -> bool:
        """Whether a worker can run a job; parameters as for :meth:`blocked_reason`."""
        return self.blocked_reason(job_id, engine, model) == ""

    def larger_than(self, memory_bytes: int) -> Placement:
        """Return only the workers with more memory than this."""
        return Placement(tuple(worker for worker in self.workers if worker.memory_bytes > memory_bytes))


NOBODY = Placement()
