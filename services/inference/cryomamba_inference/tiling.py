"""How a volume is divided into tiles, and in which order they are processed. Pure.

Every voxel lies in the core of exactly one tile, whatever the shape. Cores and halos begin on the engine's grid, so
that an engine that bins sees the same bins in every tile. The plan depends only on the shape, the engine and the tile
size in bytes, never on the preview or the number of processes: the same job always has the same tiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape

_VOXEL_NBYTES: Final = 4
_CHOICES_MAX: Final = 96


@dataclass(frozen=True, slots=True)
class TileSpec:
    """The position of one tile of a plan, in ZYX voxels.

    Attributes
    ----------
    index : int
        Index of the tile, z slowest.
    start, shape : tuple of int
        The core.
    read_start, read_stop : tuple of int
        The core with its halo, clipped to the volume.
    """

    index: int
    start: Shape
    shape: Shape
    read_start: Shape
    read_stop: Shape

    @property
    def read(self) -> Slices:
        """Slices of the volume to read: the core and its halo."""
        return _slices(self.read_start, self.read_stop)

    @property
    def target(self) -> Slices:
        """Slices of the core in the volume."""
        return _slices(self.start, _add(self.start, self.shape))

    @property
    def core(self) -> Slices:
        """Slices of the core in the data that was read."""
        first = _add(self.start, self.read_start, sign=-1)
        return _slices(first, _add(first, self.shape))

    @property
    def voxels(self) -> int:
        """Number of voxels of the core."""
        return math.prod(self.shape)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre of the core in voxels."""
        z, y, x = (first + (size - 1) / 2 for first, size in zip(self.start, self.shape, strict=True))
        return z, y, x


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A regular grid of cores over a volume.

    Attributes
    ----------
    shape : tuple of int
        ZYX shape of the volume.
    core : tuple of int
        Shape of a core; the last ones along an axis may be smaller.
    halo : tuple of int
        Voxels read around a core, where the volume has them.
    """

    shape: Shape
    core: Shape
    halo: Shape

    @property
    def counts(self) -> Shape:
        """Tiles along z, y, x."""
        z, y, x = (-(-size // core) for size, core in zip(self.shape, self.core, strict=True))
        return z, y, x

    @property
    def tile_voxels(self) -> int:
        """Number of voxels of the largest tile, halo included."""
        return math.prod(
            min(core + 2 * halo, size) for size, core, halo in zip(self.shape, self.core, self.halo, strict=True)
        )

    @property
    def core_voxels(self) -> int:
        """Number of voxels of the largest core."""
        return math.prod(min(size, core) for size, core in zip(self.shape, self.core, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[TileSpec]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> TileSpec:
        if not 0 <= index < len(self):
            raise IndexError(index)
        _, rows, columns = self.counts
        cell = (index // (rows * columns), index // columns % rows, index % columns)
        start = _shape(at * core for at, core in zip(cell, self.core, strict=True))
        stop = _shape(min(at + core, size) for at, core, size in zip(start, self.core, self.shape, strict=True))
        return TileSpec(
            index=index,
            start=start,
            shape=_add(stop, start, sign=-1),
            read_start=_shape(max(at - halo, 0) for at, halo in zip(start, self.halo, strict=True)),
            read_stop=_shape(min(at + halo, size) for at, halo, size in zip(stop, self.halo, self.shape, strict=True)),
        )

    def priority(self, index: int, focus: tuple[float, float, float] | None) -> tuple[float, ...]:
        """Return the key by which tiles are sorted: nearest to the focus, or else from the central slice outward."""
        centre = self[index].centre
        if focus is None:
            return abs(centre[0] - (self.shape[0] - 1) / 2), index
        return math.dist(centre, focus), index


def plan_tiles(shape: Shape, *, halo: Shape = (0, 0, 0), align: Shape = (1, 1, 1), tile_bytes: int) -> TilePlan:
    """Divide a volume into tiles with the least data to read.

    Parameters
    ----------
    shape : tuple of int
        ZYX shape of the volume.
    halo : tuple of int
        Voxels around a core that influence its result; rounded up to the grid.
    align : tuple of int
        Grid on which cores and halos start.
    tile_bytes : int
        Maximum bytes of a tile as float32, halo included; exceeded only if one grid cell with its halo is larger.

    Returns
    -------
    TilePlan
        The plan with the fewest voxels to read; among equals, the one with the longest rows, then the fewest tiles.
    """
    halo = _shape(-(-width // grid) * grid for width, grid in zip(halo, align, strict=True))
    axes = [_choices(size, grid) for size, grid in zip(shape, align, strict=True)]
    tile, total = np.ones((1, 1, 1)), np.ones((1, 1, 1))
    for axis, (size, width, cores) in enumerate(zip(shape, halo, axes, strict=True)):
        along = [1, 1, 1]
        along[axis] = len(cores)
        wide = np.minimum(cores + 2 * width, size).astype(float).reshape(along)
        tile = tile * wide
        total = total * wide * np.ceil(size / cores).reshape(along)
    fits = tile * _VOXEL_NBYTES <= max(tile_bytes, 0)
    if not fits.any():
        return TilePlan(shape, _shape(int(cores[0]) for cores in axes), halo)
    cost = np.where(fits, total, np.inf)
    # Reading a few per cent more, but in whole rows and planes, is faster.
    best = np.argwhere(cost <= cost.min() * 1.05)
    sizes = [axes[axis][best[:, axis]] for axis in range(3)]
    chosen = np.lexsort((sizes[0], sizes[1], sizes[2]))[-1]
    return TilePlan(shape, _shape(int(size[chosen]) for size in sizes), halo)


def _choices(size: int, grid: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return candidate core sizes along an axis, ascending: the axis in equal parts, on the grid."""
    cells = -(-size // grid)
    parts = np.unique(np.geomspace(1, cells, num=_CHOICES_MAX).round().astype(np.int64))
    return np.unique(-(-cells // parts)) * grid


class Indexed(Protocol):
    """Anything with an index in its plan."""

    @property
    def index(self) -> int:
        """The index."""


class Box(Indexed, Protocol):
    """A box of voxels of the result, as :class:`TileSpec` is one."""

    @property
    def start(self) -> Shape:
        """First voxel."""

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""

    @property
    def target(self) -> Slices:
        """Slices in the volume."""

    @property
    def voxels(self) -> int:
        """Number of voxels."""


Spec = TypeVar("Spec", bound=Indexed, covariant=True)


class Partition(Protocol):
    """Boxes that partition a volume, as :class:`TilePlan` does."""

    def __len__(self) -> int:
        """Return the number of boxes."""

    def __iter__(self) -> Iterator[Box]:
        """Iterate over the boxes in the order of their indices."""


class Plan(Protocol[Spec]):
    """What a :class:`TileOrder` queues."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Spec:
        """Return one."""

    def priority(self, index: int, focus: tuple[float, float, float] | None) -> tuple[float, ...]:
        """Return the key by which they are sorted, the smallest first."""


class TileOrder(Generic[Spec]):
    """A queue of tiles or windows, those with the smallest priority first.

    The same plan, indices and focus always give the same order.

    Parameters
    ----------
    indices : iterable of int, optional
        The tiles of the plan to queue; all if not given.
    """

    def __init__(
        self, plan: Plan[Spec], focus: tuple[float, float, float] | None = None, *, indices: Iterable[int] | None = None
    ) -> None:
        self._plan = plan
        self._left = list(range(len(plan)) if indices is None else indices)
        self.set_focus(focus)

    def __len__(self) -> int:
        return len(self._left)

    def set_focus(self, position: tuple[float, float, float] | None) -> None:
        """Reorder the remaining tiles around a new focus."""
        self._left.sort(key=lambda index: self._plan.priority(index, position), reverse=True)

    def next(self) -> Spec:
        """Remove and return the next tile; ``IndexError`` if none is left."""
        return self._plan[self._left.pop()]


def _slices(start: Shape, stop: Shape) -> Slices:
    z, y, x = (slice(first, last) for first, last in zip(start, stop, strict=True))
    return z, y, x


def _add(left: Shape, right: Shape, *, sign: int = 1) -> Shape:
    return _shape(a + sign * b for a, b in zip(left, right, strict=True))


def _shape(values: Iterator[int] | Sequence[int]) -> Shape:
    z, y, x = values
    return z, y, x
