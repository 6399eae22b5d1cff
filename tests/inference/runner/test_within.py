"""A task that is limited to a region: what is computed, measured, published and kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import mrcfile
import numpy as np
import numpy.typing as npt
import pytest

from cryomamba.engines.api import Engine, EngineParameters, Labels, Pass, Points, Tile, TileResult, VolumeContext
from cryomamba.errors import InvalidRequestError, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.region import Region
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import PreviewOptions
from cryomamba.picks import Picks
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.threshold import ThresholdEngine, ThresholdParameters
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.runner import Control, Outcome, Task, run_task

SHAPE: Shape = (24, 30, 36)
Mask = npt.NDArray[np.uint8]


class NoParameters(EngineParameters):
    """None."""


class MarkAll(Engine[NoParameters]):
    """Marks every voxel, after a coarse preview that does, and keeps what it saw; tiles of 6 × 10 × 36 voxels."""

    name: ClassVar[str] = "all"
    summary: ClassVar[str] = "all"
    Parameters: ClassVar[type[EngineParameters]] = NoParameters
    labels: Mapping[int, str] = {1: "anything"}
    tile_bytes: ClassVar[int] = 6 * 10 * 36 * 4

    def __init__(self, parameters: NoParameters | None = None) -> None:
        super().__init__(parameters or NoParameters())
        self.seen: list[Tile] = []
        self.context: VolumeContext | None = None

    def passes(self) -> tuple[Pass, ...]:
        return (Pass("coarse", factor=2), Pass())

    def align(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (the interface)
        return (6, 10, 36)

    def prepare(self, context: VolumeContext) -> None:
        self.context = context

    def predict(self, tile: Tile) -> Labels | TileResult:
        self.seen.append(tile)
        return np.ones(tile.shape, np.uint8)


class ScoreAll(MarkAll):
    """The same with scores, which are kept."""

    name: ClassVar[str] = "scores"
    keeps_scores: bool = True

    def __init__(self, parameters: NoParameters | None = None) -> None:
        super().__init__(parameters)
        self.output = "scores"

    def thresholds(self) -> HysteresisThreshold:
        return HysteresisThreshold(200, 100, 0)

    def predict(self, tile: Tile) -> Labels | TileResult:
        self.seen.append(tile)
        return np.full(tile.shape, 210, np.uint8)


class Picking(ScoreAll):
    """A filament along x in the middle of each tile, and everything as candidates."""

    name: ClassVar[str] = "picking"
    picks: ClassVar[Any] = "filaments"

    def predict(self, tile: Tile) -> TileResult:
        scores = super().predict(tile)
        assert isinstance(scores, np.ndarray)
        z, y, x = tile.start
        row = np.arange(tile.shape[2], dtype=float)
        points = np.column_stack([np.full_like(row, z + 3), np.full_like(row, y + 5), x + row, np.full_like(row, z)])
        return TileResult(scores, points)

    def finalize_picks(self, points: Points) -> Picks:
        self.given = points
        # As an engine may: a filament is extended beyond the points that are inside.
        _, numbers = np.unique(points[:, :2], axis=0, return_inverse=True)
        longer = [
            np.column_stack([np.repeat(one[:1, :2], 36, axis=0), np.arange(36.0)])
            for number in range(numbers.max() + 1)
            if len(one := points[numbers == number])
        ]
        labels = np.repeat(np.arange(1, len(longer) + 1), 36)
        return Picks(np.concatenate(longer), np.full(len(labels), 210.0), labels, "filaments")


def box_mask() -> Mask:
    """Return a region in a part of the tiles, with a gap along x."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[7:15, 2:18, 3:30] = 2
    mask[:, :, 12:15] = 0
    return mask


def run(
    path: Path,
    engine: Engine[Any],
    folder: Path,
    watcher: Any,
    mask: Mask | None,
    *,
    executor: TileExecutor | None = None,
    **task: Any,
) -> Outcome:
    folder.mkdir(exist_ok=True)
    with ExitStack() as files:
        volume = files.enter_context(open_volume(path))
        region = None
        if mask is not None:
            mask_path = folder / "region.mrc"
            with mrcfile.new(mask_path, overwrite=True) as file:
                file.set_data(mask.astype(np.int8))
                file.voxel_size = 10.0
            region = Region.of_volume(files.enter_context(open_volume(mask_path)), volume.shape, volume.voxel_size_A)
        made = Task(engine, volume, within=region, **task)
        return run_task(made, folder, executor or InlineExecutor(), Control(), watcher)


def voxels(path: Path) -> npt.NDArray[Any]:
    with mrcfile.open(path) as file:
        return np.array(file.data)


@pytest.mark.parametrize("engine_class", [MarkAll, ScoreAll])
def test_only_tiles_with_voxels_inside_are_computed(
    engine_class: type[MarkAll], make_volume: Any, tmp_path: Path, recorder: Any
) -> None:
    """The mask is the region itself, progress counts the computed tiles only, and the preview has nothing outside."""
    engine = engine_class()
    preview = PreviewOptions(interval_s=0.05, max_voxels=512)
    outcome = run(make_volume(SHAPE), engine, tmp_path / "a", recorder, box_mask(), preview=preview, keep_scores=True)
    inside = box_mask() != 0
    assert np.array_equal(voxels(outcome.mask), inside)
    touched = {tile.start for tile in engine.seen if tile.factor == 1}
    assert touched == {(z, y, 0) for z in (6, 12) for y in (0, 10)}
    tiles = [report for report in recorder.reports if report.total_tiles]
    assert {report.total_tiles for report in tiles} == {len(touched) + 1}
    assert tiles[-1].done_tiles == len(touched) + 1
    fractions = [report.fraction for report in recorder.reports]
    assert fractions == sorted(fractions)
    if outcome.scores is not None:
        assert np.array_equal(voxels(outcome.scores), np.where(inside, 210, 0))
    last = recorder.frames[-1]
    assert last.final
    blocks = np.argwhere(last.mask) * last.scale
    assert all(inside[z : z + last.scale[0], y : y + last.scale[1], x : x + last.scale[2]].any() for z, y, x in blocks)
    coarse = [frame for frame in recorder.frames if frame.coarse]
    assert coarse
    assert 0 < np.count_nonzero(coarse[0].mask) < coarse[0].mask.size / 2


def test_statistics_and_calibration_see_the_region_only(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """The engine learns where to calibrate, and the statistics are those of the voxels inside."""
    path, engine = make_volume(SHAPE), MarkAll()
    outcome = run(path, engine, tmp_path / "a", recorder, box_mask())
    inside = box_mask() != 0
    values = voxels(path)[inside].astype(np.float64)
    context, found = engine.context, outcome.statistics
    assert context is not None
    assert context.within is not None
    assert context.statistics == found
    assert found is not None
    assert found.count == values.size == inside.sum()
    assert found.mean == pytest.approx(values.mean(), rel=1e-5)
    assert found.std == pytest.approx(values.std(), rel=1e-5)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert outcome.region is not None
    assert (outcome.region.name, outcome.region.voxels) == ("region.mrc", values.size)


def test_a_threshold_is_that_of_the_region(tmp_path: Path, recorder: Any) -> None:
    """Bright carbon around a lamella does not move the threshold, wherever the lamella is."""
    rng = np.random.default_rng(3)
    density = rng.normal(0, 1, (40, 120, 120)).astype(np.float32)
    density[:, :60] += 500
    mask = np.zeros(density.shape, np.uint8)
    mask[18:24, 70:90, 10:30] = 1
    density[20:22, 75:85, 15:25] += 20
    write_volume(tmp_path / "carbon.mrc", density, 10.0)
    parameters = ThresholdParameters(sigma_A=0, contrast="bright")
    outcome = run(tmp_path / "carbon.mrc", ThresholdEngine(parameters), tmp_path / "a", recorder, mask)
    assert np.argwhere(voxels(outcome.mask)).min(axis=0).tolist() == [20, 75, 15]
    assert voxels(outcome.mask).sum() == 2 * 10 * 10


def test_picks_outside_are_dropped(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """The engine gets the points inside alone, and what it makes of them ends where the region ends."""
    engine = Picking()
    outcome = run(make_volume(SHAPE), engine, tmp_path / "a", recorder, box_mask(), keep_scores=True)
    inside = box_mask() != 0
    assert len(engine.given)
    assert inside[tuple(engine.given[:, :3].astype(int).T)].all()
    for picks in (outcome.picks, outcome.candidates):
        assert picks is not None
        assert inside[tuple(picks.positions.astype(int).T)].all()
        # Two rows of tiles are cut by the gap along x into two filaments each.
        assert picks.objects == 2 * len({tuple(row) for row in picks.positions[:, :2].tolist()})


def test_order_and_attempt_do_not_change_the_bytes(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Another focus, another preview and another attempt give the same file, byte for byte."""
    path, files = make_volume(SHAPE), []
    for name, focus, attempt in (("a", None, 1), ("b", (0.0, 0.0, 0.0), 3)):
        engine = ThresholdEngine(ThresholdParameters(contrast="dark"))
        outcome = run(path, engine, tmp_path / name, recorder, box_mask(), focus=focus, attempt=attempt)
        files.append(outcome.mask.read_bytes())
    assert files[0] == files[1]
    assert any(files[0][1024:])


@pytest.mark.slow
def test_processes_do_not_change_the_bytes(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """One process and two give the same file."""
    path, files, pool = make_volume((64, 160, 160)), [], ProcessExecutor(2)
    mask = np.zeros((64, 160, 160), np.uint8)
    mask[5:60, 10:150, 20:140] = 1
    parameters = ThresholdParameters(contrast="dark", hysteresis=0.5)
    try:
        for name, executor in (("one", InlineExecutor()), ("two", pool)):
            outcome = run(path, ThresholdEngine(parameters), tmp_path / name, recorder, mask, executor=executor)
            files.append(outcome.mask.read_bytes())
    finally:
        pool.close()
    assert files[0] == files[1]
    assert any(files[0][1024:])


def test_an_empty_region_is_refused(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """There would be nothing to segment, so the mask is the wrong one."""
    with pytest.raises(InvalidRequestError, match="nothing to segment"):
        run(make_volume(SHAPE), MarkAll(), tmp_path / "a", recorder, np.zeros(SHAPE, np.uint8))
    assert not (tmp_path / "a" / "mask.mrc").exists()


def test_not_a_number_outside_is_refused_too(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Filters reach beyond the region, so that NaN around it would get in."""
    density = np.zeros(SHAPE, np.float32)
    density[0, 0, 0] = math.nan
    write_volume(tmp_path / "nan.mrc", density, 10.0)
    with pytest.raises(VolumeError, match="NaN"):
        run(tmp_path / "nan.mrc", MarkAll(), tmp_path / "a", recorder, box_mask())
