"""The progress of a job over all its stages. Pure; the clock is passed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryomamba.engines.api import Pass, Work
from cryomamba.models.jobs import Progress

MEASURING = "reading the volume"
PREPARING = "preparing"
MERGING = "merging components"
WRITING = "writing files"
_PREVIEW_S = 1.0
# Seconds per million voxels, by `benchmarks/job_updates.py`; only their ratios matter.
_MEASURING_S = 0.03
_MERGING_S = 0.06
_WRITING_S = 0.6
# Below this fraction the remaining time cannot be estimated.
_ETA_FROM = 0.02
_SMOOTHED_S = 5.0
"""Over how many seconds the time left approaches a new estimate."""
_UNKNOWN_STEP = 0.1
"""Of a stage, which may be shown as done before it has reported anything."""
_BEFORE_DUE = 0.8
"""Of a step, which is shown as done when the step is due."""
_EMIT_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a job: its name, and its expected share of the time (any unit)."""

    name: str
    weight: float


def job_stages(
    previews: Sequence[Pass], result: Pass, work: Work, *, voxels: int, measures: bool, merges: bool, concurrent: bool
) -> list[Stage]:
    """Return the stages of a job in order, weighted by the seconds that they are expected to take.

    Parameters
    ----------
    previews : sequence of Pass
        The coarse previews.
    result : Pass
        The pass at full resolution.
    work : Work
        What the engine expects.
    voxels : int
        Of the volume.
    measures : bool
        Whether the statistics of the volume are computed.
    merges : bool
        Whether scores are thresholded and their components merged.
    concurrent : bool
        Whether the coarse previews take no time of their own.
    """
    millions = voxels / 1e6
    stages = [] if concurrent else [Stage(each.stage, max(each.seconds, _PREVIEW_S)) for each in previews]
    stages += [Stage(MEASURING, _MEASURING_S * millions)] if measures else []
    stages += [Stage(PREPARING, work.prepare_s), Stage(result.stage, max(work.tiles_s, result.seconds))]
    stages += [Stage(MERGING, _MERGING_S * millions)] if merges else []
    return [*stages, Stage(WRITING, _WRITING_S * millions)]


class ProgressMeter:
    """Combines the stages and the progress within each into one fraction that never decreases.

    Between two reports it assumes that work goes on at the speed so far, but never quite as far as the next report.

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
        self._started = self._emitted_at = self._left_at = clock()
        self._stage = -1
        self._done_tiles = 0
        self._left_s: float | None = None
        self._begin_stage(self._started)
        self.total_tiles = 0
        self.fraction = 0.0

    def _begin_stage(self, now: float) -> None:
        self._stage_began = self._reported_at = now
        self._reported = 0.0
        self._step = _UNKNOWN_STEP
        self._doing = ""

    def scale(self, name: str, factor: float) -> None:
        """Change the expected time of the coming stages of that name."""
        for n in range(self._stage + 1, len(self._stages)):
            if self._stages[n].name == name:
                self._stages[n] = replace(self._stages[n], weight=self._stages[n].weight * factor)
        self._total = sum(stage.weight for stage in self._stages)

    def enter(self, name: str, *, steps: int | None = None) -> None:
        """Begin the next stage of that name; skipped stages count as done.

        Parameters
        ----------
        steps : int, optional
            How many reports the stage will make, if that is known.
        """
        self._stage = next(n for n in range(self._stage + 1, len(self._stages)) if self._stages[n].name == name)
        self._begin_stage(self._clock())
        if steps is not None:
            self._step = 1 / max(steps, 1)
        self._advance(0.0)
        self._emit()

    def update(self, fraction: float, *, tiles: int = 0, doing: str = "") -> None:
        """Report the fraction of the current stage that is done, and how many more tiles are finished.

        Parameters
        ----------
        doing : str
            What is done now, in a word or two.
        """
        fraction, now = min(fraction, 1.0), self._clock()
        fresh = bool(tiles) or doing != self._doing
        self._done_tiles += tiles
        self._doing = doing
        if fraction > self._reported:
            step = fraction - self._reported
            self._step = max(step, self._step) if self._reported else min(self._step, max(step, 0.01))
            self._reported, self._reported_at = fraction, now
            self._advance(fraction)
            fresh = fresh or self._is_due(now)
        if fresh:
            self._emit()
        else:
            self.tick()

    def tick(self) -> None:
        """Report what has probably been done since the last report; to be called often while work goes on."""
        now = self._clock()
        if self._stage >= 0 and self._is_due(now):
            self._advance(self._expected(now))
            self._emit()

    def _is_due(self, now: float) -> bool:
        return now - self._emitted_at >= _EMIT_EVERY_S

    def _expected(self, now: float) -> float:
        """Return the fraction of the stage that is probably done."""
        if self._reported:
            duration_s = (self._reported_at - self._stage_began) / self._reported
        else:
            duration_s = self._stages[self._stage].weight * self._seconds_per_weight(now)
        step = min(self._step, 1 - self._reported)
        if step <= 0 or duration_s <= 0:
            return self._reported
        waited = (now - self._reported_at) / (step * duration_s)
        # Most of the step until it is due, and then slower and slower, but it never stands.
        share = _BEFORE_DUE * waited if waited < 1 else 1 - (1 - _BEFORE_DUE) / waited
        return self._reported + step * share

    def _seconds_per_weight(self, now: float) -> float:
        done = sum(stage.weight for stage in self._stages[: self._stage])
        return (self._stage_began - self._started) / done if done and now > self._started else 1.0

    def _advance(self, fraction: float) -> None:
        before = sum(stage.weight for stage in self._stages[: self._stage])
        reached = (before + self._stages[self._stage].weight * fraction) / self._total if self._total else 0.0
        self.fraction = min(max(self.fraction, reached), 1.0)

    def finish(self) -> None:
        """Report that the job is done."""
        self.fraction = 1.0
        self._on_progress(self._progress("done"))

    def _emit(self) -> None:
        self._emitted_at = self._clock()
        stage = self._stages[self._stage].name
        self._on_progress(self._progress(f"{stage}: {self._doing}" if self._doing else stage))

    def _progress(self, stage: str) -> Progress:
        return Progress(
            fraction=self.fraction,
            done_tiles=min(self._done_tiles, self.total_tiles),
            total_tiles=self.total_tiles,
            stage=stage[:64],
            eta_s=self._eta_s(),
        )

    def _eta_s(self) -> float | None:
        """Return the time left; a new estimate is approached slowly, so that a slow second does not make it jump."""
        now = self._clock()
        if self.fraction < _ETA_FROM:
            return None
        estimate = (now - self._started) * (1 - self.fraction) / self.fraction
        passed, self._left_at = now - self._left_at, now
        if self._left_s is None or self.fraction >= 1:
            self._left_s = estimate
        else:
            counted = self._left_s - passed
            self._left_s = max(counted + (estimate - counted) * (1 - math.exp(-passed / _SMOOTHED_S)), 0.0)
        return self._left_s
