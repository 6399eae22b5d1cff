"""Runs an engine that predicts windows: adds windows up, and stores each block of the result once it is final."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Labels
from cryomamba.engines.windows import Scores, WindowEngine
from cryomamba.errors import InternalError
from cryomamba.geometry import Shape
from cryomamba.masks.region import Region
from cryomamba.volumes import Volume
from cryomamba_inference.downsample import fold
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.executor.base import Result
from cryomamba_inference.runner.control import Control, Position
from cryomamba_inference.runner.preview_publisher import PreviewPublisher
from cryomamba_inference.runner.sink import Sink
from cryomamba_inference.runner.tile_loop import run_tiles
from cryomamba_inference.runner.tile_selection import TileSelection
from cryomamba_inference.tiling import Partition, TileOrder
from cryomamba_inference.windows.block_sums import BlockSums, needed_windows
from cryomamba_inference.windows.grid import Range
from cryomamba_inference.windows.plan import BlockSpec, WindowPlan, WindowSpec
from cryomamba_inference.windows.predictor import Sums, WindowPredictor, averaged, own_scores


class WindowRun:
    """A pass that adds windows up, and stores each block of the result once it is final.

    Parameters
    ----------
    engine : WindowEngine
        Prepared before :meth:`run` is called.
    folder : Path
        For the sums of windows.
    """

    PARALLEL_FROM: Final = 4

    def __init__(self, engine: WindowEngine[Any], plan: WindowPlan, folder: Path, publisher: PreviewPublisher) -> None:
        self._engine, self._plan = engine, plan
        self._folder, self._publisher = folder, publisher

    def __len__(self) -> int:
        return len(self._plan)

    @property
    def boxes(self) -> Partition:
        """The blocks that are stored."""
        return self._plan.blocks

    def count(self, tiles: TileSelection) -> int:
        """Return how many windows the selected blocks need."""
        return len(needed_windows(self._plan, tiles.inside))

    def run(self, tiles: TileSelection, executor: TileExecutor, control: Control, sink: Sink) -> None:
        """Compute every window that is needed once."""
        plan, volume = self._plan, sink.volume
        if volume is None:
            raise InternalError("An engine that predicts windows needs a volume.")
        with BlockSums(self._folder, plan, self._engine.blended_channels, tiles.inside) as sums:

            def put(spec: WindowSpec, result: Result) -> None:
                self.show(spec, result, self._engine, tiles.region)
                for block, total in sums.add(spec.index, np.asarray(result.labels, np.int32)):
                    blended = self._blended(block, total)
                    if sink.uncertainty is not None:
                        sink.uncertainty(block, tiles.labels(block, self._engine.uncertainty(blended)))
                    sink.store(block, tiles.labels(block, _decoded(self._engine, blended, block.shape)))
                sink.step()

            self.begin(executor, self._engine, volume)
            try:
                run_tiles(
                    TileOrder(plan, sink.focus, indices=needed_windows(plan, tiles.inside)),
                    executor,
                    control,
                    put=put,
                    meanwhile=sink.meanwhile,
                )
            finally:
                executor.end()

    def _blended(self, block: BlockSpec, total: Sums) -> Scores:
        """Return the mean of all windows at the voxels of a block."""
        first = _shape(low for low, _ in block.nodes)
        z, y, x = ((start, start + size) for start, size in zip(block.start, block.shape, strict=True))
        return self._plan.grid.interpolate(averaged(total), first, (z, y, x))

    def first_windows(self, focus: Position | None, most: int) -> list[WindowSpec]:
        """Return the windows that are to be seen first: those in the section of the focus that do not overlap."""
        order = TileOrder(self._plan, focus)
        first = [order.next() for _ in range(min(len(order), most))]
        return [spec for spec in first if spec.box[0] == first[0].box[0]]

    def is_inside(self, spec: WindowSpec, region: Region | None) -> bool:
        """Return whether any of the voxels that a window shows is in the region."""
        z, y, x = (slice(*each) for each in self._plan.grid.voxels_in(self._plan.inner(spec)))
        return region is None or region.count((z, y, x)) > 0

    def begin(self, executor: TileExecutor, engine: WindowEngine[Any], volume: Volume) -> None:
        """Begin with windows of a prepared engine."""
        nbytes = self._plan.node_count * engine.blended_channels * 4
        predictor = WindowPredictor(engine, self._plan)
        executor.begin(
            predictor,
            partial(predictor.tile, volume=volume),
            tile_voxels=self._plan.tile_voxels,
            result_nbytes=nbytes,
            in_threads=engine.in_threads,
        )

    def show(self, spec: WindowSpec, result: Result, engine: WindowEngine[Any], region: Region | None) -> None:
        """Show what a window alone says of the voxels around its centre; as always, no label disappears."""
        scale, grid = self._publisher.scale, self._plan.grid
        seen = [
            _preview_voxels(voxels, factor, count)
            for voxels, factor, count in zip(grid.voxels_in(self._plan.inner(spec)), scale, grid.shape, strict=True)
        ]
        if not all(len(each) for each in seen):
            return
        starts, parts = [], []
        for axis, (each, factor, (low, high)) in enumerate(zip(seen, scale, spec.box, strict=True)):
            last = min((int(each[-1]) + 1) * factor, grid.shape[axis]) - 1
            nodes = np.clip(grid.nearest_nodes(axis, np.append(each * factor, last)), low, high - 1) - low
            starts.append(nodes[:-1] - nodes[0])
            parts.append(slice(int(nodes[0]), int(nodes[-1]) + 1))
        added = np.asarray(result.labels, np.int32)[(slice(engine.channels), *parts)]
        z, y, x = (weights[part] for weights, part in zip(self._plan.weights(spec), parts, strict=True))
        labels = _decoded(engine, own_scores(added, (z, y, x)), _shape(added.shape[1:]))
        if engine.output == "scores":
            labels = (labels >= engine.thresholds().high).astype(np.uint8)
        for axis, each in enumerate(starts):
            labels = np.maximum.reduceat(labels, each, axis=axis)
        first = _shape(int(each[0]) for each in seen)
        if region is not None:
            labels = np.where(_region_seen(region, seen, scale), labels, labels.dtype.type(0))
        self._publisher.put_provisional(first, labels)


def _decoded(engine: WindowEngine[Any], blended: Scores, shape: Shape) -> Labels:
    labels = engine.decode(blended[: engine.channels])
    if labels.shape != shape or labels.dtype not in (np.uint8, np.uint16):
        raise InternalError(f"The engine decoded {labels.dtype} of shape {labels.shape} instead of {shape}.")
    return labels


def _preview_voxels(voxels: Range, factor: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the voxels of the preview whose centre is in a range of voxels along an axis."""
    first, last = voxels
    each = np.arange(first // factor, -(-last // factor))
    centres = np.minimum(each * factor + factor // 2, count - 1)
    return each[(centres >= first) & (centres < last)]


def _region_seen(
    region: Region, seen: list[np.ndarray[tuple[int], np.dtype[np.intp]]], scale: Shape
) -> npt.NDArray[np.bool_]:
    """Return which voxels of the preview have a voxel of the region."""
    z, y, x = (
        slice(int(each[0]) * factor, min((int(each[-1]) + 1) * factor, count))
        for each, factor, count in zip(seen, scale, region.shape, strict=True)
    )
    return fold(region.read((z, y, x)).view(np.uint8), (0, 0, 0), scale).view(np.bool_)


def _shape(values: Any) -> Shape:  # noqa: ANN401 (an iterable of three)
    z, y, x = values
    return z, y, x
