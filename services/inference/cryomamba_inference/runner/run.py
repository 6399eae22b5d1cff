"""Runs a segmentation from the coarse preview to the finished mask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore

from cryomamba.engines.api import Labels, Points, ReportProgress, Slices, VolumeContext, Voxels
from cryomamba.engines.artifacts import MASK, SCORES, UNCERTAINTY
from cryomamba.engines.strokes import StrokesEngine
from cryomamba.engines.uncertainty import wants_uncertainty
from cryomamba.engines.windows import WindowEngine
from cryomamba.masks.hysteresis import Scores
from cryomamba.volumes import Statistics
from cryomamba_inference.executor import InlineExecutor, TileExecutor
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.result_warnings import finite_estimates, volume_warnings
from cryomamba_inference.runner.background_tasks import BackgroundTasks
from cryomamba_inference.runner.coarse_preview import CoarsePreview, refuse_reading
from cryomamba_inference.runner.compilation import naming_compilation
from cryomamba_inference.runner.control import Control, EventSink
from cryomamba_inference.runner.density import measure_density
from cryomamba_inference.runner.first_windows import FirstWindows
from cryomamba_inference.runner.picks import FoundPicks, picks_of_candidates, picks_of_points
from cryomamba_inference.runner.preview_publisher import PreviewPublisher
from cryomamba_inference.runner.progress import MEASURING, MERGING, PREPARING, ProgressMeter, job_stages
from cryomamba_inference.runner.reported import run_reported
from cryomamba_inference.runner.result_files import ResultFiles
from cryomamba_inference.runner.result_run import result_run
from cryomamba_inference.runner.score_run import ScoreRun
from cryomamba_inference.runner.section_preview import SectionPreview
from cryomamba_inference.runner.sink import Sink, Store
from cryomamba_inference.runner.task import KnownVolume, Outcome, RegionSize, Task
from cryomamba_inference.runner.tile_selection import TileSelection
from cryomamba_inference.runner.window_run import WindowRun
from cryomamba_inference.threads import one_thread
from cryomamba_inference.tiling import Box
from cryomamba_inference.trained_models.engine import DescribedEngine

# Of the time for reading the volume: a mask has one byte per voxel, a tomogram up to four.
_SELECTING_SHARE = 0.2
# Of the time for merging components and saving the score map.
_MERGED_SHARE = 0.7


def run_task(
    task: Task,
    folder: Path,
    executor: TileExecutor,
    control: Control,
    events: EventSink,
    known: KnownVolume | None = None,
) -> Outcome:
    """Run a segmentation; blocks until the mask is finished.

    Parameters
    ----------
    folder : Path
        Existing directory for ``mask.mrc`` and temporary files, which are deleted at the end.
    executor : TileExecutor
        Used for large volumes; small ones are computed in this thread, unless the executor is a remote one.
    events : EventSink
        Receives progress and previews, in this thread.
    known : KnownVolume, optional
        What an earlier run on the same volume has found; what this one finds is entered.

    Raises
    ------
    VolumeError
        ``volume_not_finite``, or ``volume_changed`` while it was read.
    JobFailedError
        ``cancelled``, or the engine or a process of the executor failed.
    InvalidRequestError
        The engine needs a volume and there is none, or the region that limits the task is empty.
    """
    # The task uses several threads, none of which may change how many threads numerical libraries use.
    with one_thread():
        run = _Run(task, folder, executor, control, events, known or KnownVolume())
        try:
            return run.run()
        finally:
            run.remember_preview()
            if executor.remote:
                # Of a job that was cancelled while its engine was prepared.
                executor.end()


class _Run:
    def __init__(
        self, task: Task, folder: Path, executor: TileExecutor, control: Control, events: EventSink, known: KnownVolume
    ) -> None:
        self._task, self._folder, self._control = task, folder, control
        self._engine, self._known = task.engine, known
        self._volume = task.volume if task.engine.needs_volume else None
        self._header = task.header
        self._threads = executor.processes
        self._compute_slot = BoundedSemaphore(executor.processes)
        self._publisher = PreviewPublisher.for_task(task, events.on_preview, known.preview)
        self._pass = result_run(task, folder, self._publisher)
        # Processes can be ended when strokes are added, and a thread cannot.
        many = len(self._pass) >= self._pass.PARALLEL_FROM or isinstance(task.engine, StrokesEngine) or executor.remote
        parallel = self._volume is not None and many
        self._executor = executor if parallel else InlineExecutor()
        self._scores = self._engine.output == "scores"
        self._keep_scores = task.keep_scores and self._scores and self._engine.keeps_scores
        self._points: dict[int, Points] = {}
        self._section_preview: SectionPreview | None = None
        self._coarse_passes, self._result_pass = task.passes
        self._first_windows: FirstWindows | None = None
        self._background: BackgroundTasks[Labels | None] = BackgroundTasks(())
        self._measures = self._volume is not None or task.within is not None
        self._concurrent = (
            self._volume is not None and self._threads > 1 and all(each.concurrent for each in self._coarse_passes)
        )
        self._coarse = [
            CoarsePreview(self._engine, self._volume, self._header, self._publisher.scale, each, index, task.within)
            for index, each in enumerate(self._coarse_passes)
        ]
        stages = job_stages(
            [] if self._concurrent else [each.stage for each in self._coarse],
            self._result_pass,
            task.engine.work(self._header.shape, self._header.voxel_size_A),
            voxels=math.prod(self._header.shape),
            measures=self._measures,
            merges=self._scores,
        )
        self._meter = ProgressMeter(stages, clock=time.monotonic, on_progress=naming_compilation(events.on_progress))
        if task.within is None:
            self._meter.total_tiles = len(self._pass) + len(self._coarse_passes)

    def remember_preview(self) -> None:
        self._known.preview = self._publisher.mask()

    def run(self) -> Outcome:
        self._executor.connect(self._files(), self._folder, self._volume, self._task.job_id)
        self._meter.dashboard_url = self._executor.dashboard_url
        with self._coarse_previews():
            if self._measures:
                self._meter.enter(MEASURING)
            tiles = self._known.tiles = self._select_tiles()
            statistics = self._known.statistics = self._measure(tiles)
            self._meter.enter(PREPARING)
            run_reported(lambda report: self._engine.prepare(self._context(statistics, report)), self._update)
        release_free_memory()
        with ResultFiles(self._engine, self._folder, self._header) as files:
            if self._scores:
                found = self._run_scores(tiles, files)
            else:
                self._publisher.begin_pass(None)
                self._refine(tiles)
                self._run_tiles(tiles, files.store_labels, files.store_uncertainty)
                found = self._find_picks(tiles)
        if self._task.volume is not None:
            self._task.volume.require_unchanged()
        if tiles.region is not None:
            tiles.region.require_unchanged()
        self._publisher.publish(self._meter.fraction, final=True)
        estimates = finite_estimates(self._engine)
        return Outcome(
            self._folder / MASK.name,
            self._header,
            statistics,
            self._meter,
            scores=self._folder / SCORES.name if self._keep_scores else None,
            thresholds=self._engine.thresholds() if self._scores else None,
            uncertainty=self._folder / UNCERTAINTY.name if wants_uncertainty(self._engine) else None,
            picks=found.picks,
            candidates=found.candidates,
            region=None if tiles.region is None else RegionSize(tiles.region.name, tiles.voxels),
            warnings=volume_warnings(self._engine, self._volume, self._header.voxel_size_A, estimates),
            estimates=estimates,
        )

    @contextmanager
    def _coarse_previews(self) -> Iterator[None]:
        """Compute the coarse previews: before the block, or concurrently with it if there is a core to spare."""
        if self._coarse and self._concurrent:
            silent = [partial(_without_progress, task) for task in self._coarse]
            with BackgroundTasks(silent, self._compute_slot) as self._background:
                yield
                for labels in self._background.wait_for_all(self._wait):
                    self._put_coarse(labels)
            return
        for task in self._coarse:
            self._meter.enter(task.coarse_pass.stage)
            until = time.monotonic() + task.coarse_pass.seconds
            self._put_coarse(run_reported(task, self._update))
            self._control.wait(until, self._poll)
        with self._shown_first():
            yield

    @contextmanager
    def _shown_first(self) -> Iterator[None]:
        """Show the first windows while the volume is read; for other engines, start the processes."""
        if self._volume is None or not isinstance(self._pass, WindowRun) or not isinstance(self._engine, WindowEngine):
            if not isinstance(self._engine, StrokesEngine):
                # Of an engine that shows a section first, processes would take the cores that compute it.
                self._executor.warm_up(self._engine)
            yield
            return
        windows = FirstWindows(
            self._pass, self._engine, self._volume, self._executor, region=self._task.within, focus=self._task.focus
        )
        try:
            windows.begin(self._control.check)
            self._first_windows = windows
            yield
            windows.finish(self._wait)
        finally:
            self._first_windows = None
            self._executor.end()

    def _files(self) -> list[Path]:
        """Return what is read where tiles are computed, besides the volume."""
        return [self._engine.model.folder] if isinstance(self._engine, DescribedEngine) else []

    def _put_coarse(self, labels: Labels | None) -> None:
        if labels is not None:
            self._publisher.put_coarse(labels, self._meter.fraction)
        self._meter.update(0.0, tiles=1)

    def _select_tiles(self) -> TileSelection:
        share = 1.0 if self._volume is None else _SELECTING_SHARE
        tiles = self._known.tiles
        if tiles is None or tiles.plan != self._pass.boxes:
            tiles = TileSelection.of(self._pass.boxes, self._task.within, lambda done: self._report(share * done))
        count = self._pass.count(tiles)
        self._meter.total_tiles = count + len(self._coarse_passes)
        self._meter.scale(self._result_pass.stage, count / len(self._pass))
        return tiles

    def _measure(self, tiles: TileSelection) -> Statistics | None:
        if self._volume is None or self._known.statistics is not None:
            return self._known.statistics
        before = 0.0 if tiles.region is None else _SELECTING_SHARE
        return measure_density(
            self._volume,
            tiles,
            report=lambda done: self._report(before + (1 - before) * done),
            cancelled=lambda: self._control.cancelled,
        )

    def _run_scores(self, tiles: TileSelection, files: ResultFiles) -> FoundPicks:
        def write(z: int, block: Scores) -> None:
            files.mask.write(z, 0, 0, block)
            self._publisher.put((z, 0, 0), block)

        with ScoreRun(self._engine, self._header, self._folder / "scores.bin") as scores:
            self._publisher.begin_pass(self._engine.thresholds())
            self._run_tiles(tiles, scores.put, files.store_uncertainty)
            found = self._find_picks(tiles)
            self._meter.enter(MERGING)
            self._publisher.begin_pass(None)
            share = _MERGED_SHARE if self._keep_scores else 1.0
            scores.write_mask(write, self._executor, lambda done: self._report(share * done))
            if self._keep_scores:
                saved = self._folder / SCORES.name
                scores.save(saved, lambda done: self._update(share + (1 - share) * done, "saving the score map"))
        return found

    def _refine(self, tiles: TileSelection) -> None:
        """Show the section under the view, and again with what an engine that learns from strokes computes after it."""
        if not isinstance(self._engine, StrokesEngine):
            return
        self._publisher.put_background(tiles.skipped())
        self._section_preview = SectionPreview(self._engine, self._publisher, tiles.region)
        self._show_section()
        for refine in self._engine.refinements():

            def refined(report: ReportProgress, refine: Callable[[VolumeContext], None] = refine) -> None:
                refine(self._context(self._known.statistics, report))

            run_reported(refined, self._update)
            self._section_preview.forget()
            self._show_section()

    def _run_tiles(self, tiles: TileSelection, store: Store, uncertainty: Store | None) -> None:
        count, done = self._pass.count(tiles), 0
        self._meter.enter(self._result_pass.stage, steps=count)
        until = time.monotonic() + self._result_pass.seconds
        self._publisher.put_background(tiles.skipped())

        def store_and_show(box: Box, labels: Labels) -> None:
            store(box, labels)
            self._publisher.put(box.start, labels)

        def step() -> None:
            nonlocal done
            done += 1
            self._meter.update(done / count, tiles=1)

        sink = Sink(
            self._volume,
            self._task.focus,
            len(self._coarse_passes),
            store=store_and_show,
            points=self._points.__setitem__,
            uncertainty=uncertainty,
            step=step,
            meanwhile=self._poll,
        )
        self._pass.run(tiles, self._executor, self._control, sink)
        self._control.wait(until, self._poll)

    def _show_section(self) -> None:
        if self._section_preview is not None:
            self._section_preview.show(
                self._control.focus or self._task.focus,
                self._context(self._known.statistics, lambda *_: None),
                self._control.check,
                fraction=self._meter.fraction,
            )

    def _find_picks(self, tiles: TileSelection) -> FoundPicks:
        engine, points, candidates = self._engine, self._points, self._task.candidates
        if points:
            return run_reported(
                lambda _: picks_of_points(engine, points, tiles, keeps_scores=self._keep_scores), self._finding_picks
            )
        if candidates is not None and self._scores:
            return picks_of_candidates(engine, candidates, tiles)
        return FoundPicks()

    def _finding_picks(self, _fraction: float, _doing: str) -> None:
        self._update(1.0, "finding picks")

    def _read(self, where: Slices) -> Voxels:
        return refuse_reading(where) if self._volume is None else self._volume.read(*where)

    def _report(self, fraction: float) -> None:
        self._update(fraction, "")

    def _update(self, fraction: float, doing: str) -> None:
        self._control.check()
        self._meter.update(fraction, doing=doing)
        self._poll()

    def _wait(self) -> None:
        self._control.check()
        self._poll()

    def _poll(self) -> None:
        self._meter.tick()
        if self._first_windows is not None:
            self._first_windows.poll()
        for labels in self._background.completed():
            self._put_coarse(labels)
            # Not earlier: starting processes would take the core from the coarse preview.
            self._executor.warm_up(self._engine)
        self._show_section()
        self._publisher.publish_if_due(self._meter.fraction)

    def _context(self, statistics: Statistics | None, report: ReportProgress) -> VolumeContext:
        return VolumeContext(
            self._header.shape,
            self._header.voxel_size_A,
            statistics,
            read=self._read,
            header_labels=self._header.labels,
            imod_signed=self._header.imod_signed,
            scratch=self._folder,
            threads=self._threads,
            compute_slot=self._compute_slot,
            report_progress=report,
            parallel_map=self._executor.map if self._executor.remote else None,
            within=None if self._task.within is None else self._task.within.read,
        )


def _without_progress(preview: CoarsePreview, check: Callable[[], None]) -> Labels | None:
    """Compute a preview beside work that reports its own progress."""
    return preview(lambda *_: check())
