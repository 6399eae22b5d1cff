"""Masks as a sequence of slabs along z that can be read repeatedly: masks of any depth in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes import LabelVolume, MaskWriter, Volume
from cryomamba.volumes.header_fields import HeaderFields
from cryomamba.volumes.labels import Labels as Labels
from cryomamba.volumes.labels import labels_of_array

SLAB_VOXELS = 16 * 1024 * 1024

Progress = Callable[[float], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


class ParallelMap(Protocol):
    """A ``map`` that may call the function in several processes, if everything pickles."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """Yield the results in the order of the items."""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels read slab by slab, from a file, an array or another source.

    Attributes
    ----------
    shape : tuple of int
        ZYX.
    voxel_size_A : tuple of float
        Å along z, y, x.
    depth : int
        Planes per slab; the last one may have fewer.
    slabs : callable
        ``slabs() -> iterator of (z, y, x) arrays``, from z = 0 on, each call from the start. An array is read-only and
        valid until the next one is requested.
    """

    shape: Shape
    voxel_size_A: Spacing
    depth: int
    slabs: Callable[[], Iterator[Labels]]

    @classmethod
    def of_volume(cls, mask: Volume | LabelVolume, *, slab_voxels: int = SLAB_VOXELS) -> Self:
        """Return the labels of an open mask file, which must stay open.

        Raises
        ------
        VolumeError
            ``volume_unsupported``: it is not a mask; see :class:`~cryomamba.volumes.LabelVolume`.
        """
        labels = LabelVolume.of(mask)
        depth = slab_depth(labels.shape, slab_voxels)

        def slabs() -> Iterator[Labels]:
            for z in range(0, labels.shape[0], depth):
                yield labels.read_native(slice(z, z + depth), slice(None), slice(None))

        return cls(labels.shape, labels.voxel_size_A, depth, slabs)

    @classmethod
    def of_array(
        cls, mask: npt.NDArray[Any], voxel_size_A: Spacing = (1.0, 1.0, 1.0), *, slab_voxels: int = SLAB_VOXELS
    ) -> Self:
        """Return the labels of an array (z, y, x) of booleans, or of whole numbers of any type.

        Reading them raises a VolumeError if they are not whole numbers or below 0.
        """
        depth = slab_depth(mask.shape, slab_voxels)

        def slabs() -> Iterator[Labels]:
            return (labels_of_array(mask[z : z + depth]) for z in range(0, mask.shape[0], depth))

        return cls((mask.shape[0], mask.shape[1], mask.shape[2]), voxel_size_A, depth, slabs)

    def map(self, change: Callable[[Labels], Labels]) -> Self:
        """Return a source with a function applied to each slab."""
        return replace(self, slabs=lambda: map(change, self.slabs()))

    def array(self) -> Labels:
        """Return all labels in one array, for a mask that fits into memory."""
        return np.concatenate([slab.copy() for slab in self.slabs()])

    @property
    def voxel_volume_nm3(self) -> float:
        """Volume of a voxel in nm³."""
        z, y, x = self.voxel_size_A
        return z * y * x / 1000


def slab_depth(shape: tuple[int, ...], voxels: int = SLAB_VOXELS) -> int:
    """Return the number of planes, at least one, of a slab of about `voxels` voxels."""
    return max(1, min(shape[0], voxels // (shape[1] * shape[2])))


@dataclass(frozen=True, slots=True)
class Window:
    """A slab with a halo of planes from its neighbours.

    Attributes
    ----------
    data : ndarray
        Slab and halo (z, y, x); there is no halo beyond the volume.
    start : int
        z of the first plane of `data`.
    core : slice
        Planes of the slab itself in `data`.
    """

    data: Labels
    start: int
    core: slice


def numbered(slabs: Iterable[Labels]) -> Iterator[tuple[int, Labels]]:
    """Yield each slab with its first plane."""
    z = 0
    for slab in slabs:
        yield z, slab
        z += len(slab)


def windows(slabs: Iterable[Labels], halo: int, *, copy: bool = True) -> Iterator[Window]:
    """Yield each slab with up to `halo` planes before and after it.

    With ``copy=False`` the slabs are kept without copying, so the caller must not reuse their arrays.
    """
    held: deque[tuple[int, Labels]] = deque()
    cores: deque[tuple[int, int]] = deque()
    top = 0
    for slab in chain(slabs, [None]):
        if slab is not None:
            held.append((top, slab.copy() if copy else slab))
            cores.append((top, top + len(slab)))
            top += len(slab)
        while cores and (slab is None or cores[0][1] + halo <= top):
            start, stop = cores.popleft()
            window = _window(held, start, stop, halo)
            while held and held[0][0] + len(held[0][1]) <= stop - halo:
                held.popleft()
            yield window
            del window


def regroup_slabs(slabs: Iterable[Labels], planes: int) -> Iterator[Labels]:
    """Concatenate slabs until they have at least so many planes; each result is a new array."""
    parts: list[Labels] = []
    for slab in slabs:
        parts.append(slab.copy())
        if sum(map(len, parts)) >= planes:
            together = np.concatenate(parts) if len(parts) > 1 else parts[0]
            parts = []
            yield together
            del together
    if parts:
        yield np.concatenate(parts)


def _window(held: Iterable[tuple[int, Labels]], start: int, stop: int, halo: int) -> Window:
    first, last = max(start - halo, 0), stop + halo
    parts = [slab[max(first - z, 0) : max(last - z, 0)] for z, slab in held]
    return Window(np.concatenate(parts), first, slice(start - first, stop - first))


def strips(shape: tuple[int, ...], margin: int, *, voxels: int) -> list[slice]:
    """Return strips of rows that, with `margin` rows on either side, have about so many voxels each."""
    height = max(voxels // (shape[0] * shape[2]) - 2 * margin, margin)
    return [slice(y, min(y + height, shape[1])) for y in range(0, shape[1], height)]


def write_labels(
    source: LabelSource,
    path: Path,
    like: Volume | HeaderFields,
    *,
    labels: int,
    engine: str,
    names: Mapping[int, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a source as a mask file on the grid of `like`; see :class:`~cryomamba.volumes.MaskWriter`.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``.
    """
    with MaskWriter(path, like, labels=labels, engine=engine, names=names) as mask:
        for z, slab in numbered(source.slabs()):
            mask.write(z, 0, 0, slab.astype(mask.dtype, copy=False))
            if progress is not None:
                progress((z + len(slab)) / source.shape[0])
