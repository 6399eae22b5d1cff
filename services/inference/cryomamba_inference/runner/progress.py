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
# Seconds per million voxels, by `benchmarks/job_updates.py`; only their ratios matter.
_MEASURING_S = 0.03
_MERGING_S = 0.06
_WRITING_S = 0.6
# Below this fraction the remaining time cannot be estimated.
_ETA_FROM = 0.02
_SMOOTHED_S = 5.0
"""Over how many seconds the time left approaches a lower estimate, at most."""
_SMOOTHED_SHARE = 0.1
"""Of the time so far, likewise: a job of seconds has no time to approach anything slowly."""
_RISES_FACTOR, _RISES_BY_S = 1.25, 5.0
"""The time left counts down until an estimate is longer than it times the factor plus the seconds: then it is that."""
_MEASURED_FROM = 0.2
"""Of a stage: when so much is done, its duration is estimated from its own speed alone."""
_UNKNOWN_STEP = 0.1
"""Of a stage: what may be shown as done between two reports if their number is not known."""
_STEP_MIN = 0.01
"""Of a stage: the least that a report is expected to add, whatever the first one did."""
_BEFORE_DUE = 0.8
"""Of a step, which is shown as done when the step is due."""
_STANDS_AFTER = 3.0
"""Times a step's expected duration: after it, nothing more is shown as done without a report."""
_SILENT_S = 10.0
"""Without a report for so long, and for longer than that, the time left is unknown."""
_EMIT_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a job: its name, and its expected share of the time (any unit)."""

    name: str
    weight: float


def job_stages(
    previews: Sequence[Stage], result: Pass, work: Work, *, voxels: int, measures: bool, merges: bool
) -> list[Stage]:
    """Return the stages of a job in order, weighted by the seconds that they are expected to take.

    Parameters
    ----------
    previews : sequence of Stage
        The coarse previews that take time of their own, weighted by the same seconds.
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
    """
    millions = voxels / 1e6
    stages = list(previews)
    stages += [Stage(MEASURING, _MEASURING_S * millions)] if measures else []
    stages += [Stage(PREPARING, work.prepare_s), Stage(result.stage, max(work.tiles_s, result.seconds))]
    stages += [Stage(MERGING, _MERGING_S * millions)] if merges else []
    return [*stages, Stage(WRITING, _WRITING_S * millions)]


class ProgressMeter:
    """Combines the stages and the progress within each into one fraction that never decreases.

    Between two reports the fraction is an estimate: work is assumed to go on at the speed so far, but only within the
    next step, which is what the next report is expected to add: a known share of the stage, or else at most a tenth of
    it. When the step is due, 80 % of it are shown as done, and at three times that, 93 %. There the fraction stands
    until the work reports again, and after at least ten seconds without a report the time left is unknown, so that
    work that hangs is seen to hang.

    The time left is estimated from this run: the rest of the stage from its own speed, the coming stages from how long
    the ones before took. It counts down with the clock or faster. Only when an estimate is longer by a quarter and
    five seconds, it is set to the estimate, so it rises at once and seldom, and is never further off than that.

    Parameters
    ----------
    stages : sequence of Stage
        In order.
    clock : callable
        Seconds, monotonic.
    on_progress : callable
        Called with each new :class:`~cryomamba.models.jobs.Progress`.

    Attributes
    ----------
    dashboard_url : str or None
        A part of each progress, as it is.
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
        self.dashboard_url: str | None = None

    def _begin_stage(self, now: float, steps: int | None = None) -> None:
        self._stage_began = self._reported_at = now
        self._reported = 0.0
        self._step = self._step_max = _UNKNOWN_STEP if steps is None else 1 / max(steps, 1)
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
        self._begin_stage(self._clock(), steps)
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
            self._step = min(max(step, self._step if self._reported else _STEP_MIN), self._step_max)
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
        due_s = self._due_s(now)
        if due_s <= 0:
            return self._reported
        waited = min((now - self._reported_at) / due_s, _STANDS_AFTER)
        share = _BEFORE_DUE * waited if waited < 1 else 1 - (1 - _BEFORE_DUE) / waited
        return self._reported + self._next_step() * share

    def _next_step(self) -> float:
        """Return the fraction of the stage that the next report is expected to add."""
        return min(self._step, 1 - self._reported)

    def _due_s(self, now: float) -> float:
        """Return after how many seconds without a report the next one is expected."""
        if self._reported:
            duration_s = (self._reported_at - self._stage_began) / self._reported
        else:
            duration_s = self._stages[self._stage].weight * self._seconds_per_weight(now)
        return self._next_step() * duration_s

    def _is_silent(self, now: float) -> bool:
        return now - self._reported_at > max(_STANDS_AFTER * self._due_s(now), _SILENT_S)

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
            dashboard_url=self.dashboard_url,
        )

    def _eta_s(self) -> float | None:
        """Return the time left, see the class."""
        now = self._clock()
        if self.fraction < _ETA_FROM or (self.fraction < 1 and self._is_silent(now)):
            self._left_s = None
            return None
        estimate = self._estimated_s(now)
        passed, self._left_at = now - self._left_at, now
        if self._left_s is None or self.fraction >= 1:
            self._left_s = estimate
            return self._left_s
        counted = max(self._left_s - passed, 0.0)
        if estimate > _RISES_FACTOR * counted + _RISES_BY_S:
            self._left_s = estimate
        else:
            smoothed_s = min(_SMOOTHED_S, _SMOOTHED_SHARE * (now - self._started))
            share = 1 - math.exp(-passed / smoothed_s) if smoothed_s > 0 else 1.0
            approached = counted + (estimate - counted) * share
            self._left_s = min(counted, approached)
        return self._left_s

    def _estimated_s(self, now: float) -> float:
        """Return the seconds that the rest of the stage and the coming stages will probably take."""
        if self.fraction >= 1:
            return 0.0
        weight = self._stages[self._stage].weight
        stage_s = weight * self._seconds_per_weight(now)
        if self._reported:
            measured_s = (self._reported_at - self._stage_began) / self._reported
            stage_s += (measured_s - stage_s) * min(self._reported / _MEASURED_FROM, 1.0)
        reached = sum(stage.weight for stage in self._stages[: self._stage + 1])
        per_weight = (self._stage_began - self._started + stage_s) / reached if reached else 0.0
        return (1 - self._expected(now)) * stage_s + (self._total - reached) * per_weight
