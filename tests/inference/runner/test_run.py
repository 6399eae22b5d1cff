"""The runner: the same bytes whatever the order, processes and attempts; cancel, focus, previews and progress."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import mrcfile
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cryomamba.engines.api import Engine, EngineParameters, Estimate, Labels, Pass, Tile, VolumeContext, Work
from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, InvalidRequestError, JobFailedError, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import PreviewOptions
from cryomamba.volumes import VolumeWarning, open_volume, write_volume
from cryomamba_inference.downsample import fold
from cryomamba_inference.engines.demo import DemoEngine, DemoParameters
from cryomamba_inference.engines.threshold import ThresholdEngine, ThresholdParameters
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.runner import Control, Outcome, Task, run_task

EAGER = PreviewOptions(interval_s=0.05, max_voxels=512)


class NoParameters(EngineParameters):
    """None."""


class MeanEngine(Engine[NoParameters]):
    """Marks voxels whose neighbourhood's mean is below zero; a halo of two voxels, tiny tiles."""

    name: ClassVar[str] = "mean"
    summary: ClassVar[str] = "mean"
    Parameters: ClassVar[type[EngineParameters]] = NoParameters
    labels: Mapping[int, str] = {1: "low", 2: "very low"}
    tile_bytes: ClassVar[int] = 12_000

    def __init__(self, parameters: NoParameters | None = None) -> None:
        super().__init__(parameters or NoParameters())
        self.seen: list[Tile] = []
        self.on_tile: Callable[[], None] = lambda: None

    def halo(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (the interface)
        return (2, 2, 2)

    def align(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (the interface)
        return (2, 3, 1)

    def predict(self, tile: Tile) -> Labels:
        self.seen.append(tile)
        self.on_tile()
        return mean_labels(tile.data)[tile.core]


class ScoreEngine(MeanEngine):
    """The same as scores, with hysteresis and a least size."""

    name: ClassVar[str] = "scores"
    labels: Mapping[int, str] = {1: "low"}

    def __init__(self, parameters: NoParameters | None = None) -> None:
        super().__init__(parameters)
        self.output = "scores"

    def thresholds(self) -> HysteresisThreshold:
        return HysteresisThreshold(200, 100, 9)

    def predict(self, tile: Tile) -> Labels:
        return mean_labels(tile.data)[tile.core] * np.uint8(100)


def mean_labels(data: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    mean = ndimage.uniform_filter(data, 5, mode="reflect")
    return (mean < -0.5).astype(np.uint8) + (mean < -3).astype(np.uint8)


@contextmanager
def outcome_of(
    path: Path | None,
    engine: Engine[Any],
    folder: Path,
    watcher: Any,
    *,
    executor: TileExecutor | None = None,
    control: Control | None = None,
    **task: Any,
) -> Iterator[Outcome]:
    folder.mkdir(exist_ok=True)
    with nullcontext() if path is None else open_volume(path) as volume:
        yield run_task(
            Task(engine, volume, **task), folder, executor or InlineExecutor(), control or Control(), watcher
        )


def mask_of(outcome: Outcome) -> npt.NDArray[Any]:
    with mrcfile.open(outcome.mask) as mask:
        return np.array(mask.data)


def test_tiles_with_halo_give_the_whole_volumes_answer(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Many small tiles on the engine's grid give exactly what one call on the whole volume gives."""
    path, engine = make_volume(), MeanEngine()
    with outcome_of(path, engine, tmp_path / "a", recorder) as outcome:
        mask = mask_of(outcome)
    with open_volume(path) as volume:
        everything = slice(None)
        expected = mean_labels(volume.read(everything, everything, everything))
    assert len(engine.seen) > 10
    assert np.array_equal(mask, expected)


def test_scores_give_the_whole_volumes_answer(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Hysteresis and least size over the scores of all tiles are those of the whole volume, and no scratch is left."""
    path = make_volume()
    with outcome_of(path, ScoreEngine(), tmp_path / "a", recorder, preview=EAGER) as outcome:
        mask = mask_of(outcome)
    with open_volume(path) as volume:
        labels = mean_labels(volume.read(slice(None), slice(None), slice(None)))
    components, count = ndimage.label(labels >= 1, np.ones((3, 3, 3)))
    keep = [n for n in range(1, count + 1) if (labels[components == n] == 2).any() and (components == n).sum() >= 9]
    assert 0 < len(keep) < count
    assert np.array_equal(mask, np.isin(components, keep))
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["mask.mrc"]


class Telling(MeanEngine):
    """An engine that has estimated something, in part without success, and warns."""

    def estimates(self) -> Mapping[str, Estimate]:
        return {"contrast": "dark", "contrast_margin": np.float64(0.125), "noise": float("nan"), "threshold": 5}

    def warnings(self) -> Sequence[VolumeWarning]:
        return (VolumeWarning(code="denoised", message="The volume looks denoised.", hint="Use the raw one."),)


def test_what_an_engine_says_is_in_the_outcome(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Its estimates as plain numbers, without those that failed; its warnings after the runner's own."""
    with outcome_of(make_volume(), Telling(), tmp_path / "a", recorder) as outcome:
        assert outcome.estimates == {"contrast": "dark", "contrast_margin": 0.125, "threshold": 5}
        assert [warning.code for warning in outcome.warnings] == ["contrast_uncertain", "denoised"]


def test_order_does_not_change_the_bytes(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Another focus, another preview and another attempt give the same file, byte for byte."""
    path = make_volume()
    files = []
    for name, focus, preview in (("a", None, PreviewOptions()), ("b", (0, 0, 0), EAGER), ("c", (23, 29, 0), EAGER)):
        engine = MeanEngine()
        with outcome_of(path, engine, tmp_path / name, recorder, focus=focus, preview=preview, attempt=3) as outcome:
            files.append(outcome.mask.read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.slow
def test_processes_do_not_change_the_bytes(tmp_path: Path, recorder: Any, make_volume: Any) -> None:
    """One process, two and three give the same file, with and without hysteresis; processes serve several jobs."""
    path = make_volume((40, 60, 50))
    pool = ProcessExecutor(2)
    try:
        for parameters in (ThresholdParameters(), ThresholdParameters(hysteresis=0.5, min_volume_nm3=3)):
            files = []
            for name, executor in (("one", InlineExecutor()), ("two", pool)):
                engine = SmallTiles(parameters)
                with outcome_of(path, engine, tmp_path / name, recorder, executor=executor) as outcome:
                    files.append(outcome.mask.read_bytes())
            assert files[0] == files[1]
            assert sum(files[0][1024:]) > 0
            assert len(pool.pids()) == 2
    finally:
        pool.close()


class SmallTiles(ThresholdEngine):
    """Many tiles for a small volume."""

    tile_bytes: ClassVar[int] = 60_000

    def __reduce__(self) -> tuple[Any, ...]:
        # Processes of the pool cannot import this test, but the engine is the same beyond the size of its tiles.
        plain = ThresholdEngine(self.parameters)
        plain.__dict__.update(self.__dict__)
        return _same, (plain,)


def _same(engine: Any) -> Any:
    return engine


@pytest.mark.parametrize("stop_at", [1, 4])
def test_a_cancel_stops_within_one_tile(make_volume: Any, tmp_path: Path, recorder: Any, stop_at: int) -> None:
    """A cancel while a tile is computed: that tile is the last, the error says so, and no file is left."""
    control, engine = Control(), MeanEngine()
    engine.on_tile = lambda: control.cancel() if len(engine.seen) == stop_at else None
    with (
        pytest.raises(JobFailedError, match="cancelled") as caught,
        outcome_of(make_volume(), engine, tmp_path / "a", recorder, control=control),
    ):
        pass
    assert caught.value.code is ErrorCode.CANCELLED
    assert len(engine.seen) == stop_at
    assert list((tmp_path / "a").iterdir()) == []


def test_a_cancel_ends_a_wait(tmp_path: Path, recorder: Any) -> None:
    """A demo of an hour ends at once when it is cancelled from another thread."""
    control = Control()
    recorder.on_preview = lambda _frame: threading.Thread(target=control.cancel).start()
    with (
        pytest.raises(JobFailedError, match="cancelled"),
        outcome_of(
            None,
            DemoEngine(DemoParameters(seconds=3600)),
            tmp_path / "a",
            recorder,
            control=control,
            shape=(16, 16, 16),
        ),
    ):
        pass


def test_a_cancel_while_measuring(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """A cancel stops the statistics, before the engine gets a tile."""
    engine = MeanEngine()
    asked = iter([False, True, True, True, True])
    with (
        pytest.raises(JobFailedError, match="cancelled"),
        outcome_of(make_volume(), engine, tmp_path / "a", recorder, control=Control(lambda: next(asked))),
    ):
        pass
    assert engine.seen == []


def test_a_focus_while_running_reorders_the_rest(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """After the focus has moved, the next tile is the nearest to it."""
    control, engine = Control(), MeanEngine()
    engine.on_tile = lambda: control.set_focus((0, 0, 0)) if len(engine.seen) == 2 else None
    with outcome_of(make_volume(), engine, tmp_path / "a", recorder, control=control):
        pass
    assert engine.seen[0].start[0] > 0
    assert engine.seen[2].start == (0, 0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_voxels_are_refused(tmp_path: Path, recorder: Any, value: float) -> None:
    """One NaN or infinite voxel ends the job before the engine gets a tile; the error has their number."""
    data = np.zeros((9, 9, 9), np.float32)
    data[4, 4, 4] = value
    write_volume(tmp_path / "bad.mrc", data, 10.0)
    engine = MeanEngine()
    with pytest.raises(VolumeError) as caught, outcome_of(tmp_path / "bad.mrc", engine, tmp_path / "a", recorder):
        pass
    assert caught.value.code is ErrorCode.VOLUME_NOT_FINITE
    assert caught.value.details["non_finite"] == 1
    assert caught.value.hint
    assert list((tmp_path / "a").iterdir()) == []
    assert engine.seen == []


def test_the_last_preview_is_the_finished_mask(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """The first frame is coarse; the last is final and equals the exact downsampling of the mask."""
    engine = ThresholdEngine(ThresholdParameters())
    options = PreviewOptions(interval_s=60, max_voxels=2000)
    with outcome_of(make_volume(), engine, tmp_path / "a", recorder, preview=options, job_id="j", attempt=2) as outcome:
        mask = mask_of(outcome).astype(np.uint8)
    first, last = recorder.frames
    assert (first.coarse, first.final, last.coarse, last.final) == (True, False, False, True)
    assert first.mask.any()
    assert last.mask.size <= 2000
    assert np.array_equal(last.mask, fold(mask, (0, 0, 0), last.scale))
    assert (last.job_id, last.attempt, last.engine, last.labels) == ("j", 2, "threshold", {1: "feature"})
    assert (last.volume_shape, last.voxel_size_A) == ((24, 30, 36), (10.0, 10.0, 10.0))
    assert not np.shares_memory(first.mask, last.mask)


def test_a_small_volume_gets_its_first_preview_from_its_tiles(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """If nothing would be binned there is no coarse preview, but still a first and a last frame."""
    engine = MeanEngine()
    with outcome_of(make_volume(), engine, tmp_path / "a", recorder, preview=PreviewOptions(interval_s=60)):
        pass
    assert [frame.final for frame in recorder.frames] == [False, True]
    assert recorder.frames[-1].scale == (1, 1, 1)


def test_scores_are_shown_as_labels(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Previews of an engine that yields scores hold labels from the first to the last."""
    options = PreviewOptions(interval_s=0.05, max_voxels=4000)
    with outcome_of(make_volume(), ScoreEngine(), tmp_path / "a", recorder, preview=options) as outcome:
        mask = mask_of(outcome).astype(np.uint8)
    assert {int(frame.mask.max()) for frame in recorder.frames} <= {0, 1}
    assert np.array_equal(recorder.frames[-1].mask, fold(mask, (0, 0, 0), recorder.frames[-1].scale))


def test_progress_never_goes_back(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Fraction and tiles only grow, all tiles are counted, and every report has a stage."""
    with outcome_of(make_volume(), ScoreEngine(), tmp_path / "a", recorder) as outcome:
        outcome.meter.finish()
    fractions = [report.fraction for report in recorder.reports]
    tiles = [report.done_tiles for report in recorder.reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert tiles == sorted(tiles)
    assert tiles[-1] == recorder.reports[-1].total_tiles > 10
    assert all(report.stage for report in recorder.reports)
    assert recorder.reports[-1].eta_s == 0


def test_the_demo_moves_once_a_second(tmp_path: Path, recorder: Any) -> None:
    """The demo shows the whole volume's shape, changed in each frame, and leaves a mask of that shape."""
    engine = DemoEngine(DemoParameters(seconds=2))
    with outcome_of(None, engine, tmp_path / "a", recorder, shape=(40, 50, 60), preview=EAGER) as outcome:
        mask = mask_of(outcome)
    assert mask.shape == (40, 50, 60)
    assert set(np.unique(mask)) == {0, 1, 2}
    moving = [frame.mask for frame in recorder.frames if frame.coarse]
    assert len(moving) == 2
    assert not np.array_equal(moving[0], moving[1])
    assert all(set(np.unique(frame)) == {0, 1, 2} for frame in moving)


def test_the_demo_takes_the_shape_of_a_volume(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """For a tomogram, the demo's mask has its shape."""
    engine = DemoEngine(DemoParameters(seconds=0))
    with outcome_of(make_volume(), engine, tmp_path / "a", recorder) as outcome:
        assert mask_of(outcome).shape == (24, 30, 36)
        assert outcome.statistics is None


def test_a_coarse_preview_that_fails_is_skipped(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """An engine that fails on the binned copy still segments the volume."""

    class Picky(MeanEngine):
        def passes(self) -> Sequence[Pass]:
            return (Pass("preview", factor=0), Pass())

        def prepare(self, context: VolumeContext) -> None:
            if context.voxel_size_A[0] > 10:
                raise InvalidRequestError("too coarse")

    with outcome_of(make_volume(), Picky(), tmp_path / "a", recorder, preview=EAGER) as outcome:
        assert mask_of(outcome).any()
    assert not any(frame.coarse for frame in recorder.frames)


class Announcing(MeanEngine):
    """Says what it does when it prepares, and expects that to take most of the time."""

    def passes(self) -> Sequence[Pass]:
        return (Pass("preview", factor=0), Pass("segmenting"))

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:  # noqa: ARG002 (the interface)
        return Work(float(math.prod(shape)), 1.0)

    def prepare(self, context: VolumeContext) -> None:
        context.report_progress(0.5, "filtering")


def test_a_coarse_preview_reports_what_it_does(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """What the engine reports while it prepares the binned copy is reported, as a part of the preview's stage."""
    with outcome_of(make_volume(), Announcing(), tmp_path / "a", recorder, preview=EAGER):
        pass
    (within,) = {report.fraction for report in recorder.reports if report.stage == "preview: filtering"}
    (after,) = {report.fraction for report in recorder.reports if report.stage == "preparing"}
    assert 0 < within < after


def test_a_preview_that_is_needless_has_no_share_of_the_progress(
    make_volume: Any, tmp_path: Path, recorder: Any
) -> None:
    """Where nothing would be binned, the progress begins at 0 with the volume."""
    with outcome_of(make_volume(), Announcing(), tmp_path / "a", recorder, preview=PreviewOptions(interval_s=60)):
        pass
    first = next(report for report in recorder.reports if report.stage == "reading the volume")
    assert first.fraction == 0


class Spare(InlineExecutor):
    """Computes in this process, but reports a second core."""

    @property
    def processes(self) -> int:
        return 2


def test_a_concurrent_preview_is_shown(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """With a spare core the coarse preview is computed in a thread: the same first frame, and the same mask."""

    class Concurrent(ThresholdEngine):
        def passes(self) -> Sequence[Pass]:
            return [replace(each, concurrent=each.factor != 1) for each in super().passes()]

    masks = []
    for name, executor in (("a", InlineExecutor()), ("b", Spare())):
        options = PreviewOptions(interval_s=60, max_voxels=2000)
        engine = Concurrent(ThresholdParameters())
        with outcome_of(
            make_volume(), engine, tmp_path / name, recorder, executor=executor, preview=options
        ) as outcome:
            masks.append(outcome.mask.read_bytes())
    alone, last, concurrent, final = recorder.frames
    assert (alone.coarse, last.coarse, concurrent.coarse, final.coarse) == (True, False, True, False)
    assert np.array_equal(alone.mask, concurrent.mask)
    assert masks[0] == masks[1]
    assert recorder.reports[-1].done_tiles == recorder.reports[-1].total_tiles


def test_a_cancel_ends_a_concurrent_preview(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """A coarse preview that would never end is cancelled with the job, and no thread is left."""
    before, control, begun = threading.active_count(), Control(), threading.Event()

    class Endless(MeanEngine):
        def passes(self) -> Sequence[Pass]:
            return (Pass("preview", factor=0, concurrent=True), Pass())

        def prepare(self, context: VolumeContext) -> None:
            while context.voxel_size_A[0] > 10:
                begun.set()
                context.report_progress(0.5)
            begun.wait()
            control.cancel()

    with (
        pytest.raises(JobFailedError, match="cancelled"),
        outcome_of(
            make_volume(), Endless(), tmp_path / "a", recorder, executor=Spare(), control=control, preview=EAGER
        ),
    ):
        pass
    assert threading.active_count() == before


def wrong_shape(tile: Tile) -> Labels:
    return np.zeros((1, 1, 1), np.uint8)


def wrong_type(tile: Tile) -> Labels:
    return np.zeros(tile.shape, np.float32)  # type: ignore[return-value]


@pytest.mark.parametrize("predict", [wrong_shape, wrong_type])
def test_what_an_engine_must_not_return(
    make_volume: Any, tmp_path: Path, recorder: Any, predict: Callable[[Tile], Labels]
) -> None:
    """Labels of another shape or type are an error that names the engine's author, and no mask is left."""
    engine = MeanEngine()
    engine.predict = predict  # type: ignore[method-assign,assignment]
    with pytest.raises(JobFailedError), outcome_of(make_volume(), engine, tmp_path / "a", recorder):
        pass
    assert list((tmp_path / "a").iterdir()) == []


def test_wrong_tasks_are_refused(tmp_path: Path, recorder: Any) -> None:
    """An engine without the volume it needs, and one with invalid passes, are refused at once."""
    with (
        pytest.raises(InvalidRequestError, match="needs a tomogram"),
        outcome_of(None, MeanEngine(), tmp_path / "a", recorder, shape=(8, 8, 8)),
    ):
        pass
    demo = DemoEngine(DemoParameters())
    demo.passes = lambda: (Pass(factor=2),)  # type: ignore[method-assign]
    with pytest.raises(InternalError), outcome_of(None, demo, tmp_path / "a", recorder, shape=(8, 8, 8)):
        pass


def test_an_engines_own_error_comes_through(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """A typed error of an engine is what the caller gets."""

    class Refusing(MeanEngine):
        def prepare(self, context: VolumeContext) -> None:  # noqa: ARG002 (the interface)
            raise InvalidRequestError("no")

    with pytest.raises(CryoMambaError, match="no"), outcome_of(make_volume(), Refusing(), tmp_path / "a", recorder):
        pass
