"""Where windows are, how they are weighted, and the blocks in which their sums become final. Pure.

Windows are evenly spaced along each axis, as nnU-Net's are, so they form a regular grid. On such a grid the sum of all
weights is the outer product of three vectors: each window is divided by it beforehand, and no array of weights is
needed. *Blocks* partition the nodes where windows begin; a block is final when all windows that have nodes of it, and
of the next node where voxels are interpolated, are computed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.windows.grid import Box, NetworkGrid, Range

_SIGMA: Final = 1 / 8
"""Standard deviation of the weights, as a fraction of the window: that of nnU-Net, MONAI and MemBrain-seg."""
_LEAST: Final = 1e-6
"""Least weight, relative to the largest: no node of a window is without."""
_COPIES_MAX: Final = 4.0
"""Voxels per node above which a window is resampled while it is read, as its voxels would fill the memory."""


_FINER_MAX: Final = 16
"""Nodes per voxel along an axis: models are not trained on voxels so much smaller than a tomogram's."""
_WINDOWS_MAX: Final = 500_000
"""Over a volume: windows of 64³ that overlap by half over a file of 60 GB. Each takes a kilobyte of memory."""


def require_bounded(grid: NetworkGrid, window: Shape, overlap: Spacing) -> None:
    """Refuse windows of which there would be too many, before any is counted one by one.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``.
    """
    if any(nodes > _FINER_MAX * count for nodes, count in zip(grid.nodes, grid.shape, strict=True)):
        raise InvalidRequestError(
            f"The model needs voxels that are more than {_FINER_MAX} times as small as the tomogram's.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Check the voxel size in the description of the model, and that of the tomogram.",
        )
    steps = (
        max(nodes - size, 0) / (size * (1 - share))
        for nodes, size, share in zip(grid.nodes, window, overlap, strict=True)
    )
    count = math.prod(math.ceil(each) + 1 for each in steps)
    if count > _WINDOWS_MAX:
        raise InvalidRequestError(
            f"The model needs {count:,} windows of {' × '.join(map(str, window))} voxels for this tomogram; "
            f"at most {_WINDOWS_MAX:,} are possible.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Give the model a larger window or a smaller overlap in its description.",
        )


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One window.

    Attributes
    ----------
    index : int
        z slowest.
    box : Box
        Its nodes that are in the volume.
    start : tuple of int
        Its first node; negative where the volume is smaller than the window.
    centre : tuple of float
        In voxels of the volume.
    """

    index: int
    box: Box
    start: Shape
    centre: Spacing


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block of the result.

    Attributes
    ----------
    index : int
    nodes : Box
        The nodes from which its voxels are interpolated.
    start, shape : tuple of int
        Its voxels.
    """

    index: int
    nodes: Box
    start: Shape
    shape: Shape

    @property
    def target(self) -> Slices:
        """Slices of its voxels in the volume."""
        z, y, x = (slice(first, first + size) for first, size in zip(self.start, self.shape, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WindowPlan:
    """The windows over a volume, as a sequence of :class:`WindowSpec`.

    Attributes
    ----------
    grid : NetworkGrid
    window : tuple of int
        Nodes of a window.
    overlap : tuple of float
        Fraction by which neighbours overlap at least.
    weights_offset : tuple of float
        Nodes from the centre of a window to where its weights are largest.
    """

    grid: NetworkGrid
    window: Shape
    overlap: Spacing
    weights_offset: Spacing = (0.0, 0.0, 0.0)

    @property
    def shape(self) -> Shape:
        """Voxels of the volume."""
        return self.grid.shape

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """First nodes of the windows along z, y and x."""
        return tuple(
            _positions(nodes, size, share)
            for nodes, size, share in zip(self.grid.nodes, self.window, self.overlap, strict=True)
        )

    @property
    def counts(self) -> Shape:
        """Windows along z, y, x."""
        z, y, x = (len(starts) for starts in self.starts)
        return z, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[WindowSpec]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> WindowSpec:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = [starts[at] for starts, at in zip(self.starts, self._cell(index), strict=True)]
        z, y, x = (
            (max(first, 0), min(first + size, nodes))
            for first, size, nodes in zip(start, self.window, self.grid.nodes, strict=True)
        )
        cz, cy, cx = (
            (low + high) / 2 * factor - 0.5 for (low, high), factor in zip((z, y, x), self.grid.factors, strict=True)
        )
        return WindowSpec(index, (z, y, x), (start[0], start[1], start[2]), (cz, cy, cx))

    def priority(self, index: int, focus: Spacing | None) -> tuple[float, ...]:
        """Return the key by which windows are sorted: section by section away from the focus.

        In a section, those that do not overlap come first, so that all of it is seen after a quarter of the time.
        """
        _, row, column = self._cell(index)
        middle = tuple((size - 1) / 2 for size in self.shape)
        centre, about = self[index].centre, focus or middle
        between = row % 2 + column % 2 if max(self.overlap[1:]) > 0 else 0
        return abs(centre[0] - about[0]), between, math.dist(centre[1:], about[1:]), index

    def weights(self, spec: WindowSpec) -> tuple[npt.NDArray[np.float32], ...]:
        """Return the weights of a window's nodes in the volume along z, y and x; over all windows, they add up to 1."""
        return tuple(each[at] for each, at in zip(self._axis_weights, self._cell(spec.index), strict=True))

    def inner(self, spec: WindowSpec) -> Box:
        """Return the nodes of a window that are nearer to its centre than to any other's."""
        cell = self._cell(spec.index)
        z, y, x = (
            _inner(starts, at, size, nodes)
            for starts, at, size, nodes in zip(self.starts, cell, self.window, self.grid.nodes, strict=True)
        )
        return z, y, x

    @property
    def reads_resampled(self) -> bool:
        """Whether windows are resampled while they are read, rather than where they are computed."""
        return math.prod(self.grid.factors) > _COPIES_MAX

    @property
    def tile_voxels(self) -> int:
        """Voxels of the largest tile that is passed to a process."""
        if self.reads_resampled:
            return self.node_count
        return max(math.prod(int(axis.stop - axis.start) for axis in self.grid.voxels_for(spec.box)) for spec in self)

    @property
    def node_count(self) -> int:
        """Nodes of the largest window in the volume."""
        return math.prod(min(size, nodes) for size, nodes in zip(self.window, self.grid.nodes, strict=True))

    @cached_property
    def _axis_weights(self) -> tuple[tuple[npt.NDArray[np.float32], ...], ...]:
        return tuple(
            _weights(*each) for each in zip(self.starts, self.window, self.grid.nodes, self.weights_offset, strict=True)
        )

    def _cell(self, index: int) -> Shape:
        _, rows, columns = self.counts
        return index // (rows * columns), index // columns % rows, index % columns

    @cached_property
    def blocks(self) -> BlockPlan:
        """The blocks."""
        return BlockPlan(self)


class BlockPlan:
    """The blocks of a plan, which partition the voxels; a sequence of :class:`BlockSpec` without empty ones."""

    def __init__(self, plan: WindowPlan) -> None:
        self.shape = plan.shape
        self._plan, grid = plan, plan.grid
        axes = [
            list(itertools.pairwise(_bounds(starts, size, nodes)))
            for starts, size, nodes in zip(plan.starts, plan.window, grid.nodes, strict=True)
        ]
        self._specs: list[BlockSpec] = []
        for z, y, x in itertools.product(*axes):
            voxels = grid.voxels_in((z, y, x))
            (z0, z1), (y0, y1), (x0, x1) = voxels
            if z1 > z0 and y1 > y0 and x1 > x0:
                nodes = grid.nodes_for((z, y, x))
                shape = (z1 - z0, y1 - y0, x1 - x0)
                self._specs.append(BlockSpec(len(self._specs), nodes, (z0, y0, x0), shape))

    def __len__(self) -> int:
        return len(self._specs)

    def __iter__(self) -> Iterator[BlockSpec]:
        return iter(self._specs)

    def __getitem__(self, index: int) -> BlockSpec:
        return self._specs[index]

    @property
    def largest(self) -> int:
        """Nodes of the largest block."""
        return max(math.prod(last - first for first, last in spec.nodes) for spec in self._specs)

    @cached_property
    def of_windows(self) -> list[list[int]]:
        """By window, the blocks that it has nodes of."""
        found: list[list[int]] = [[] for _ in range(len(self._plan))]
        for spec in self._specs:
            for window in self._windows_of(spec):
                found[window].append(spec.index)
        return found

    def _windows_of(self, spec: BlockSpec) -> Iterator[int]:
        _, rows, columns = self._plan.counts
        touching = [
            [n for n, start in enumerate(starts) if start < last and start + size > first]
            for starts, size, (first, last) in zip(self._plan.starts, self._plan.window, spec.nodes, strict=True)
        ]
        return ((z * rows + y) * columns + x for z, y, x in itertools.product(*touching))


def _positions(nodes: int, size: int, overlap: float) -> tuple[int, ...]:
    """Return the first nodes of windows along an axis: evenly spaced; one centred window if it is larger."""
    if nodes <= size:
        return (-((size - nodes) // 2),)
    steps = math.ceil((nodes - size) / (size * (1 - overlap)))
    return tuple(round((nodes - size) / steps * step) for step in range(steps + 1))


def _weights(starts: tuple[int, ...], size: int, nodes: int, largest_at: float) -> tuple[npt.NDArray[np.float32], ...]:
    offset = np.arange(size) - (size - 1) / 2 - largest_at
    gaussian = np.maximum(np.exp(-0.5 * (offset / (size * _SIGMA)) ** 2), _LEAST)
    total = np.zeros(nodes)
    parts = []
    for start in starts:
        low, high = max(start, 0), min(start + size, nodes)
        part = gaussian[low - start : high - start]
        total[low:high] += part
        parts.append((low, high, part))
    return tuple((part / total[low:high]).astype(np.float32) for low, high, part in parts)


def _inner(starts: tuple[int, ...], at: int, size: int, nodes: int) -> Range:
    low = 0 if at == 0 else (starts[at - 1] + starts[at] + size) // 2
    high = nodes if at == len(starts) - 1 else (starts[at] + starts[at + 1] + size) // 2
    return low, high


def _bounds(starts: tuple[int, ...], size: int, nodes: int) -> list[int]:
    """Return where blocks begin along an axis, and the end: where windows begin, and once or twice in the last window.

    Where windows begin close to each other, as two do in a volume that is little larger than one, not each begins a
    block: many small blocks take more time than the windows.
    """
    bounds = [0]
    for start in starts[1:]:
        if start - bounds[-1] >= max(size // 4, 1):
            bounds.append(start)
    rest = nodes - bounds[-1]
    parts = max(1, round(rest / max(size // 2, 1)))
    return [*bounds, *(bounds[-1] + rest * part // parts for part in range(1, parts + 1))]
