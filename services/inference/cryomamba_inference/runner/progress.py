"""The progress of a job over all its stages. Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryomamba.engines.api import Pass
from cryomamba.models.jobs import Progress

MEASURING = "reading the volume"
PREPARING = "preparing"
MERGING = "merging components"
WRITING = "writing files"
_PREVIEW_WEIGHT = 2
_TILES_WEIGHT = 60
# Below this fraction the remaining time cannot be estimated.
_ETA_FROM = 0.02


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a job: its name, and its expected share of the time (any unit)."""

    name: str
    weight: float


def job_stages(previews: Sequence[Pass], result: Pass, *, measures: bool, merges: bool) -> list[Stage]:
    """Return the stages of a job in order.

    Parameters
    ----------
    previews : sequence of Pass
        The coarse previews.
    result : Pass
        The pass at full resolution.
    measures : bool
        Whether the statistics of the volume are computed.
    merges : bool
        Whether scores are thresholded and their components merged.
    """
    stages = [Stage(each.stage, each.seconds * _TILES_WEIGHT or _PREVIEW_WEIGHT) for each in previews]
    stages += [Stage(MEASURING, 8), Stage(PREPARING, 8)] if measures else [Stage(PREPARING, 2)]
    stages.append(Stage(result.stage, result.seconds * _TILES_WEIGHT or _TILES_WEIGHT))
    stages += [Stage(MERGING, 12)] if merges else []
    return [*stages, Stage(WRITING, 12)]


class ProgressMeter:
    """Combines the stages and the progress within each into one fraction that never decreases.

    Parameters
    ----------
    stages : sequence of Stage
        In order.
    clock : callable
        Seconds, monotonic.
    on_progress : callable
        Called with each new :class:`~cryomamba.models.jobs.Progress`.
    """

    def __init__(
        self, stages: Sequence[Stage], *, clock: Callable[[], float], on_progress: Callable[[Progress], None]
    ) -> None:
        self._stages = list(stages)
        self._total = sum(stage.weight for stage in stages)
        self._clock, self._on_progress = clock, on_progress
        self._started = clock()
        self._stage = -1
        self._done_tiles = 0
        self.total_tiles = 0
        self.fraction = 0.0

    def scale(self, name: str, factor: float) -> None:
        """Change the expected time of the coming stages of that name."""
        for n in range(self._stage + 1, len(self._stages)):
            if self._stages[n].name == name:
                self._stages[n] = replace(self._stages[n], weight=self._stages[n].weight * factor)
        self._total = sum(stage.weight for stage in self._stages)

    def enter(self, name: str) -> None:
        """Begin the next stage of that name; skipped stages count as done."""
        self._stage = next(n for n in range(self._stage + 1, len(self._stages)) if self._stages[n].name == name)
        self.update(0.0)

    def update(self, fraction: float, *, tiles: int = 0) -> None:
        """Report the fraction of the current stage that is done, and how many more tiles are finished."""
        before = sum(stage.weight for stage in self._stages[: self._stage])
        reached = (before + self._stages[self._stage].weight * min(fraction, 1.0)) / self._total
        self.fraction = min(max(self.fraction, reached), 1.0)
        self._done_tiles += tiles
        self._on_progress(self._progress(self._stages[self._stage].name))

    def finish(self) -> None:
        """Report that the job is done."""
        self.fraction = 1.0
        self._on_progress(self._progress("done"))

    def _progress(self, stage: str) -> Progress:
        eta = None
        if self.fraction >= _ETA_FROM:
            eta = (self._clock() - self._started) * (1 - self.fraction) / self.fraction
        return Progress(
            fraction=self.fraction,
            done_tiles=min(self._done_tiles, self.total_tiles),
            total_tiles=self.total_tiles,
            stage=stage[:64],
            eta_s=eta,
        )
