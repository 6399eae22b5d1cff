"""One job from its first look to its finished mask and artifacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, Labels, Pass, Points, Slices, VolumeContext, Voxels
from cryomamba.engines.artifacts import MASK, SCORES
from cryomamba.errors import (
    ErrorCode,
    InternalError,
    InvalidRequestError,
    JobFailedError,
    VolumeError,
)
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.hysteresis import SCORE_MAX, SCORE_SLAB_VOXELS, Scores, write_mask
from cryomamba.masks.slabs import slab_depth
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import PreviewOptions
from cryomamba.picks import Picks
from cryomamba.volumes import HeaderFields, MaskWriter, Statistics, Volume, blank_header, stream_statistics
from cryomamba.wire.buffers import bits_for
from cryomamba_inference.downsample import PreviewCanvas, preview_factor
from cryomamba_inference.executor import InlineExecutor, TileExecutor
from cryomamba_inference.executor.base import Result
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.plan import TilePlan, TileSpec, plan_tiles
from cryomamba_inference.runner.background_tasks import BackgroundTasks
from cryomamba_inference.runner.coarse_preview import CoarsePreview, no_reading
from cryomamba_inference.runner.control import Control, Position, Watcher
from cryomamba_inference.runner.preview_publisher import FrameInfo, PreviewPublisher
from cryomamba_inference.runner.progress import Meter, Stage
from cryomamba_inference.runner.tile_loop import run_tiles
from cryomamba_inference.score_file import Planes, ScoreFile
from cryomamba_inference.threads import one_thread

_SCORES = "scores.bin"
_MEASURING = "reading the volume"
_PREPARING = "preparing"
_JOINING = "joining pieces"
WRITING = "writing files"
_LOOK_WEIGHT = 2
_TILES_WEIGHT = 60
# Below so few tiles, starting processes takes longer than they save.
_SPREAD_FROM = 8


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done.

    Attributes
    ----------
    engine : Engine
        With its parameters, not prepared.
    volume : Volume or None
        Open; None for an engine that works from a shape.
    shape, voxel_size_A : tuple, optional
        ZYX shape and ångström (z, y, x) where there is no volume.
    preview : PreviewOptions
    focus : tuple of float, optional
        Voxel (z, y, x) around which tiles come first.
    job_id, attempt : str, int
        Written into previews.
    keep_scores : bool
        Keep the scores of an engine that says they are worth it.
    candidates : Picks or None
        The places that belong to a volume of scores: those above the engine's cut become the picks.
    """

    engine: Engine[Any]
    volume: Volume | None = None
    shape: Shape | None = None
    voxel_size_A: Spacing = (1.0, 1.0, 1.0)
    preview: PreviewOptions = field(default_factory=PreviewOptions)
    focus: Position | None = None
    job_id: str = "local"
    attempt: int = 1
    keep_scores: bool = False
    candidates: Picks | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished mask on disk, what is known of the volume it came from, and the meter, for what comes after.

    Attributes
    ----------
    scores : Path or None
        The scores that the mask was cut from, where they are kept.
    cut : ScoreCut or None
        How the mask was cut from scores.
    picks : Picks or None
        The places that the engine has found, if it finds any.
    candidates : Picks or None
        What another threshold on kept scores may choose from.
    """

    mask: Path
    facts: HeaderFields
    statistics: Statistics | None
    meter: Meter
    scores: Path | None = None
    cut: HysteresisThreshold | None = None
    picks: Picks | None = None
    candidates: Picks | None = None


def run_task(task: Task, folder: Path, executor: TileExecutor, control: Control, watcher: Watcher) -> Outcome:
    """Make the mask of a task.

    Parameters
    ----------
    task : Task
    folder : Path
        Existing folder for ``mask.mrc`` and scratch files, which are removed.
    executor : TileExecutor
        Used for large volumes; small ones are done in this thread.
    control : Control
    watcher : Watcher
        Told of progress and previews, in this thread.

    Raises
    ------
    VolumeError
        ``volume_not_finite``.
    JobFailedError
        ``cancelled``, or the engine or a process of the executor failed.
    InvalidRequestError
        The engine needs a volume and there is none.
    """
    # Several threads may work for the task, so none of them may change how many the libraries use.
    with one_thread():
        return _Run(task, folder, executor, control, watcher).run()


class _Run:
    def __init__(self, task: Task, folder: Path, executor: TileExecutor, control: Control, watcher: Watcher) -> None:
        self._task, self._folder, self._control = task, folder, control
        self._executor = executor
        self._core = BoundedSemaphore(executor.processes)
        self._tiles: TileExecutor = InlineExecutor()
        self._coming: BackgroundTasks[Labels | None] = BackgroundTasks(())
        self._engine = task.engine
        self._volume = task.volume if task.engine.needs_volume else None
        self._facts = _facts(task)
        self._highest = max(self._engine.labels)
        self._scores = self._engine.output == "scores"
        self._keeps = task.keep_scores and self._scores and self._engine.keeps_scores
        self._points: dict[int, Points] = {}
        self._picks: Picks | None = None
        self._candidates: Picks | None = None
        self._looks, self._result = _split(self._engine.passes())
        self._meter = Meter(self._stages(), clock=time.monotonic, tell=watcher.progress)
        self._feed, self._scale = self._make_feed(watcher)

    def run(self) -> Outcome:
        plan = self._plan()
        self._meter.total_tiles = len(plan) + len(self._looks)
        if self._volume is not None and len(plan) >= _SPREAD_FROM:
            self._tiles = self._executor
        with self._looking_ahead():
            statistics = self._measure()
            self._meter.enter(_PREPARING)
            self._engine.prepare(self._context(statistics))
        release_free_memory()
        with MaskWriter(self._folder / MASK.name, self._facts, labels=self._highest, engine=self._engine.name) as mask:
            if self._scores:
                self._run_scores(plan, mask)
            else:
                self._feed.begin(None)
                self._walk(plan, lambda piece, labels: mask.write(*piece.start, labels))
        self._feed.finish(self._meter.fraction)
        return Outcome(
            self._folder / MASK.name,
            self._facts,
            statistics,
            self._meter,
            scores=self._folder / SCORES.name if self._keeps else None,
            cut=self._engine.thresholds() if self._scores else None,
            picks=self._picks,
            candidates=self._candidates,
        )

    @contextmanager
    def _looking_ahead(self) -> Iterator[None]:
        """Look ahead; where there is a core to spare, do so beside what the block does."""
        looks = [
            CoarsePreview(self._engine, self._volume, self._facts, self._scale, look, index)
            for index, look in enumerate(self._looks)
        ]
        spare = self._volume is not None and self._executor.processes > 1
        if looks and spare and all(look.concurrent for look in self._looks):
            with BackgroundTasks(looks, self._core) as self._coming:
                yield
                for labels in self._coming.rest(self._control.check):
                    self._show(labels)
            return
        for ahead in looks:
            self._meter.enter(ahead.look.stage)
            until = time.monotonic() + ahead.look.seconds
            self._show(ahead(self._control.check))
            self._control.wait(until, self._tick)
        self._tiles.warm_up(self._engine)
        yield

    def _show(self, look: Labels | None) -> None:
        if look is not None:
            self._feed.look(look, self._meter.fraction)
        self._meter.within(0.0, tiles=1)

    def _measure(self) -> Statistics | None:
        if self._volume is None:
            return None
        self._meter.enter(_MEASURING)
        statistics = stream_statistics(self._volume, progress=self._within, cancelled=lambda: self._control.cancelled)
        if statistics.non_finite:
            raise VolumeError(
                f"{statistics.non_finite:,} voxels of the volume are not finite numbers (NaN or infinite).",
                code=ErrorCode.VOLUME_NOT_FINITE,
                hint="Replace them first, for example by the mean; they often stand in the padding of a rotated "
                "tomogram.",
                details={"non_finite": statistics.non_finite, "sampled": False},
            )
        return statistics

    def _run_scores(self, plan: TilePlan, mask: MaskWriter) -> None:
        path = self._folder / _SCORES
        try:
            with ScoreFile(path, self._facts.shape) as scores:
                self._feed.begin(self._engine.thresholds())
                self._walk(plan, lambda piece, block: scores.write(piece.target, _as_scores(block)))
            self._join(Planes(path, self._facts.shape), mask)
        finally:
            path.unlink(missing_ok=True)

    def _join(self, read: Planes, mask: MaskWriter) -> None:
        self._meter.enter(_JOINING)
        self._feed.begin(None)

        def write(z: int, block: Scores) -> None:
            mask.write(z, 0, 0, block)
            self._feed.put((z, 0, 0), block)

        write_mask(read.shape, read, write, self._engine.thresholds(), step=self._within, spread=self._tiles.map)
        if self._keeps:
            self._keep(read)

    def _keep(self, read: Callable[[slice], Scores]) -> None:
        """Write the scores as a volume that lies on the tomogram, for another threshold later."""
        depth, _, _ = self._facts.shape
        planes = slab_depth(self._facts.shape, SCORE_SLAB_VOXELS)
        with MaskWriter(
            self._folder / SCORES.name, self._facts, labels=SCORE_MAX, engine=self._engine.name, what="scores"
        ) as kept:
            for z in range(0, depth, planes):
                kept.write(z, 0, 0, read(slice(z, min(z + planes, depth))).astype(np.uint16))
                self._within(min(z + planes, depth) / depth)

    def _walk(self, plan: TilePlan, keep: Callable[[TileSpec, Labels], None]) -> None:
        self._meter.enter(self._result.stage)
        until = time.monotonic() + self._result.seconds
        done = 0

        def put(piece: TileSpec, result: Result) -> None:
            nonlocal done
            keep(piece, result.labels)
            self._feed.put(piece.start, result.labels)
            if result.points is not None:
                self._points[piece.index] = result.points
            done += 1
            self._meter.within(done / len(plan), tiles=1)

        reads = self._engine.needs_tile_data
        self._tiles.begin(self._engine, tile_voxels=plan.tile_voxels if reads else 0, core_voxels=plan.core_voxels)
        try:
            run_tiles(
                plan,
                self._volume if reads else None,
                self._tiles,
                self._control,
                pass_index=len(self._looks),
                focus=self._task.focus,
                put=put,
                meanwhile=self._tick,
            )
        finally:
            self._tiles.end()
        self._control.wait(until, self._tick)
        self._settle()

    def _settle(self) -> None:
        """Find the places of the whole volume, or cut those that came with its scores."""
        came = self._task.candidates
        if self._points:
            points = np.concatenate([self._points[index] for index in sorted(self._points)])
            self._picks = self._engine.finalize_picks(points)
            self._candidates = self._engine.candidates(points) if self._keeps else None
        elif came is not None and self._scores:
            cut = self._engine.thresholds()
            self._picks = came.cut(cut.high, cut.low)

    def _within(self, fraction: float) -> None:
        self._control.check()
        self._meter.within(fraction)
        self._tick()

    def _tick(self) -> None:
        for labels in self._coming.finished():
            self._show(labels)
            # Not before: starting processes would keep the processor from the look.
            self._tiles.warm_up(self._engine)
        self._feed.tick(self._meter.fraction)

    def _plan(self) -> TilePlan:
        size = self._facts.voxel_size_A
        return plan_tiles(
            self._facts.shape,
            halo=self._engine.halo(size),
            align=self._engine.align(size),
            tile_bytes=self._engine.tile_bytes,
        )

    def _context(self, statistics: Statistics | None) -> VolumeContext:
        facts = self._facts
        read = no_reading if self._volume is None else _reader(self._volume, self._control.check)
        threads = self._executor.processes
        return VolumeContext(
            facts.shape, facts.voxel_size_A, statistics, read, self._folder, threads, self._core, self._within
        )

    def _stages(self) -> list[Stage]:
        looks = [Stage(look.stage, look.seconds * _TILES_WEIGHT or _LOOK_WEIGHT) for look in self._looks]
        measuring = [Stage(_PREPARING, 2)] if self._volume is None else [Stage(_MEASURING, 8), Stage(_PREPARING, 8)]
        result = [Stage(self._result.stage, self._result.seconds * _TILES_WEIGHT or _TILES_WEIGHT)]
        joining = [Stage(_JOINING, 12)] if self._scores else []
        return [*looks, *measuring, *result, *joining, Stage(WRITING, 12)]

    def _make_feed(self, watcher: Watcher) -> tuple[PreviewPublisher, Shape]:
        engine, facts, options = self._engine, self._facts, self._task.preview
        scale = preview_factor(facts.shape, max_voxels=options.max_voxels, bits=bits_for(self._highest))
        title = FrameInfo(
            self._task.job_id, self._task.attempt, engine.name, engine.labels, facts.shape, facts.voxel_size_A
        )
        dtype = np.uint8 if self._highest < 256 else np.uint16
        priority = None if self._scores else engine.priority
        canvas = PreviewCanvas(facts.shape, scale, dtype=dtype, priority=priority)
        return PreviewPublisher(title, canvas, interval_s=options.interval_s, show=watcher.preview), scale


def _facts(task: Task) -> HeaderFields:
    if task.volume is not None:
        return task.volume.facts
    if task.engine.needs_volume or task.shape is None:
        raise InvalidRequestError(
            f"The engine '{task.engine.name}' needs a tomogram.", hint="Give the path of an MRC file."
        )
    return blank_header(task.shape, task.voxel_size_A)


def _split(passes: Sequence[Pass]) -> tuple[list[Pass], Pass]:
    *looks, result = passes
    if result.factor != 1 or any(look.factor == 1 for look in looks):
        raise InternalError("An engine's last pass, and no other, must be at full resolution.")
    return looks, result


def _reader(volume: Volume, check: Callable[[], None]) -> Callable[[Slices], Voxels]:
    def read(where: Slices) -> Voxels:
        check()
        return volume.read(*where)

    return read


def _as_scores(block: Labels) -> Scores:
    if block.dtype != np.uint8:
        raise JobFailedError(
            f"The engine returned scores as {block.dtype}, not as uint8.", hint="Report this to the engine's author."
        )
    return block.astype(np.uint8, copy=False)
