"""What the shipped network recognizes, as further features of voxels: it tells shapes apart that filters do not.

The probabilities are computed in fixed blocks of nodes, each with its surroundings, so that a voxel has the same ones
in whatever tile or section it is needed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from cryomamba.engines.api import VolumeContext
from cryomamba.geometry import Shape
from cryomamba_inference.failures import cancelled_error
from cryomamba_inference.network.engine import to_scores
from cryomamba_inference.network.inputs import Inputs
from cryomamba_inference.network.model import HALO, MULTIPLE, Structure, probabilities
from cryomamba_inference.pixels.features import MapBox
from cryomamba_inference.threads import ThreadTeam
from cryomamba_inference.volume_preparation.grid import WorkingGrid
from cryomamba_inference.volume_preparation.node_map import NodeMap

MAPS: Final = len(Structure)
"""One for each structure that the network knows, and the background."""
MAPS_FROM: Final = 0.5
"""Of the time for all maps: when the volume is prepared, and the network is applied to it."""
_BLOCK: Final = 64
"""Nodes of the side of a block, a multiple of the network's coarsest."""
_MARGIN: Final = -(-HALO // MULTIPLE) * MULTIPLE
_POLL_S: Final = 0.1

Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MapFile:
    """The maps of a volume, on disk; picklable.

    Attributes
    ----------
    grid : WorkingGrid
        The grid of the network.
    maps : NodeMap
        Probabilities (structure, z, y, x) from 0 to 255, uint8.
    """

    grid: WorkingGrid
    maps: NodeMap

    def box(self, start: Shape, shape: Shape) -> MapBox:
        """Return what the voxels of a box are interpolated from; the blocks that have them must be there."""
        counts = self.grid.node_shape
        scale = np.array([size / self.grid.step_A for size in self.grid.voxel_size_A])
        ends = zip(start, shape, scale, counts, strict=True)
        spans = [(_before(at * a, n), min(_before((at + size - 1) * a, n) + 1, n - 1)) for at, size, a, n in ends]
        z, y, x = (slice(low, high + 1) for low, high in spans)
        values = np.ascontiguousarray(self.maps.array[:, z, y, x], np.float32)
        return MapBox(values, np.array([low for low, _ in spans], np.int64), np.array(counts, np.int64), scale)


def _before(place: float, count: int) -> int:
    return min(int(min(place, count - 1.0)), max(count - 2, 0))


@dataclass
class NetworkMaps:
    """Prepares the maps of a volume and computes their blocks as they are needed; for several threads.

    The preparation of the whole volume goes on in a thread of its own when its caller is stopped by further strokes.

    Parameters
    ----------
    inputs_of : callable
        Prepares a volume, and returns what the network sees of it and the sign of dense matter.
    """

    inputs_of: Callable[[VolumeContext], tuple[Inputs, int]]
    file: MapFile | None = None
    _inputs: Inputs | None = None
    _sign: int = 0
    _done: set[Block] = field(default_factory=set)
    _preparing: Future[None] | None = None
    _thread: threading.Thread | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _progress: tuple[float, str] = (0.0, "")

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume as the network needs it, once; blocks until that is done.

        What ``context.report_progress`` raises ends the wait, and not the preparation.
        """
        if self.file is not None:
            return
        if self._preparing is None:
            self._preparing = Future()
            self._thread = threading.Thread(target=self._prepare, args=(context,), name="network-maps", daemon=True)
            self._thread.start()
        while not wait([self._preparing], _POLL_S).done:
            fraction, doing = self._progress
            context.report_progress(MAPS_FROM * fraction, doing)
        self._preparing.result()

    def stop(self) -> None:
        """End the preparation; before the volume is closed."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def blocks_of(self, boxes: Iterable[tuple[Shape, Shape]]) -> set[Block]:
        """Return the blocks that boxes of voxels, start and shape, are interpolated from."""
        grid = self._prepared.grid
        found: set[Block] = set()
        for start, shape in boxes:
            # One more than is needed, however positions are rounded.
            first, last = grid.nodes_around(start, shape, 1)
            found.update(_blocks(first, last))
        return found

    def all_blocks(self) -> list[Block]:
        """Return all blocks, z slowest."""
        return list(_blocks((0, 0, 0), self._prepared.grid.node_shape))

    def missing(self, blocks: Iterable[Block]) -> list[Block]:
        """Return those that are not computed yet, in order."""
        return sorted(set(blocks) - self._done)

    def compute(self, blocks: Iterable[Block], team: ThreadTeam, report: Callable[[float], None]) -> None:
        """Compute the blocks that are missing; what `report` raises, given the fraction that is done, ends it."""
        wanted = self.missing(blocks)
        team.run([partial(self._compute, block) for block in wanted], lambda count: report(count / max(len(wanted), 1)))

    @property
    def _prepared(self) -> MapFile:
        if self.file is None:
            raise RuntimeError("call prepare() first")
        return self.file

    def _prepare(self, context: VolumeContext) -> None:
        def report(fraction: float, doing: str = "", /) -> None:
            if self._stopped.is_set():
                raise cancelled_error()
            self._progress = fraction, doing or self._progress[1]

        try:
            # Strokes may be anywhere, also where nothing is to be segmented.
            everywhere = replace(context, within=None, report_progress=report)
            self._inputs, self._sign = self.inputs_of(everywhere)
            grid = self._inputs.grid
            self.file = MapFile(grid, NodeMap((MAPS, *grid.node_shape), context.scratch, np.uint8))
        except BaseException as error:  # noqa: BLE001 (raised where the end is awaited)
            self._future.set_exception(error)
        else:
            self._future.set_result(None)

    @property
    def _future(self) -> Future[None]:
        if self._preparing is None:
            raise RuntimeError("call prepare() first")
        return self._preparing

    def _compute(self, block: Block) -> None:
        file, inputs = self._prepared, self._inputs
        if block in self._done or inputs is None:
            return
        inner, wide = [], []
        for at, count in zip(block, file.grid.node_shape, strict=True):
            low, high = at * _BLOCK, min((at + 1) * _BLOCK, count)
            inner.append(slice(low, high))
            wide.append(slice(max(low - _MARGIN, 0), min(high + _MARGIN, count)))
        z, y, x = wide
        found = probabilities(*inputs.view(self._sign, (z, y, x)))
        part = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, wide, strict=True))
        file.maps.array[(slice(None), *inner)] = to_scores(found[(slice(None), *part)])
        self._done.add(block)


def _blocks(first: Shape, last: Shape) -> Iterator[Block]:
    z, y, x = (range(a // _BLOCK, -(-b // _BLOCK)) for a, b in zip(first, last, strict=True))
    return itertools.product(z, y, x)
