"""How far a job is, over all its stages. Pure but for the clock that is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryomamba.models.jobs import Progress

_ETA_FROM = 0.02


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a job: what people read, and its expected share of the time (any unit)."""

    name: str
    weight: float


class Meter:
    """Turns stages and fractions within them into one fraction that never goes back.

    Parameters
    ----------
    stages : sequence of Stage
        In the order in which they come.
    clock : callable
        Seconds, monotonic.
    tell : callable
        Called with each new :class:`~cryomamba.models.jobs.Progress`.
    """

    def __init__(
        self, stages: Sequence[Stage], *, clock: Callable[[], float], tell: Callable[[Progress], None]
    ) -> None:
        self._stages = list(stages)
        self._total = sum(stage.weight for stage in stages)
        self._clock = clock
        self._tell = tell
        self._began = clock()
        self._at = -1
        self._done_tiles = 0
        self.total_tiles = 0
        self.fraction = 0.0

    def enter(self, name: str) -> None:
        """Go to the next stage of that name; stages skipped over count as done."""
        self._at = next(n for n in range(self._at + 1, len(self._stages)) if self._stages[n].name == name)
        self.within(0.0)

    def within(self, fraction: float, *, tiles: int = 0) -> None:
        """Say how much of the present stage is done, and how many tiles were finished since the last time."""
        before = sum(stage.weight for stage in self._stages[: self._at])
        reached = (before + self._stages[self._at].weight * min(fraction, 1.0)) / self._total
        self.fraction = min(max(self.fraction, reached), 1.0)
        self._done_tiles += tiles
        self._tell(self.now(self._stages[self._at].name))

    def finish(self) -> None:
        """Say that all is done."""
        self.fraction = 1.0
        self._tell(self.now("done"))

    def now(self, stage: str) -> Progress:
        """Return the progress at this moment."""
        eta = None
        if self.fraction >= _ETA_FROM:
            eta = (self._clock() - self._began) * (1 - self.fraction) / self.fraction
        return Progress(
            fraction=self.fraction,
            done_tiles=min(self._done_tiles, self.total_tiles),
            total_tiles=self.total_tiles,
            stage=stage[:64],
            eta_s=eta,
        )
