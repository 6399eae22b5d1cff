"""A mask as a row of slabs along z, read again and again: how masks of any depth are worked on in flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes import MaskWriter, Volume
from cryomamba.volumes.header_fields import HeaderFields

SLAB_VOXELS = 16 * 1024 * 1024

Labels = npt.NDArray[np.unsignedinteger[Any]]
Step = Callable[[float], None]
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Spread(Protocol):
    """What calls a function for each item in turn, as ``map`` does: over several processes, if everything pickles."""

    def __call__(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> Iterator[Answer]:
        """Yield the answers in the order of the items."""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels that come slab by slab, from a file, an array or another source.

    Attributes
    ----------
    shape : tuple of int
        ZYX.
    voxel_size_A : tuple of float
        Å along z, y, x.
    depth : int
        Planes of a slab; the last one may have fewer.
    slabs : callable
        ``slabs() -> iterator of (z, y, x) arrays``, from z = 0 on, each time anew. An array is valid until the next
        one is asked for, and is not to be written to.
    """

    shape: Shape
    voxel_size_A: Spacing
    depth: int
    slabs: Callable[[], Iterator[Labels]]

    @classmethod
    def of_volume(cls, mask: Volume, *, slab_voxels: int = SLAB_VOXELS) -> Self:
        """Return the labels of an open mask file; it must stay open.

        Raises
        ------
        VolumeError
            ``volume_unsupported``: its voxels are not whole numbers, so it is no mask.
        """
        if np.dtype(mask.header.dtype).kind not in "iu":
            raise VolumeError(
                f"{mask.meta.name} holds densities, not labels.",
                code=ErrorCode.VOLUME_UNSUPPORTED,
                hint="Give a mask, such as the one that 'cryomamba segment' writes.",
            )
        depth = slab_depth(mask.shape, slab_voxels)

        def slabs() -> Iterator[Labels]:
            for z in range(0, mask.shape[0], depth):
                yield _unsigned(mask.read_native(slice(z, z + depth), slice(None), slice(None)))

        return cls(mask.shape, mask.voxel_size_A, depth, slabs)

    @classmethod
    def of_array(
        cls, mask: npt.NDArray[Any], voxel_size_A: Spacing = (1.0, 1.0, 1.0), *, slab_voxels: int = SLAB_VOXELS
    ) -> Self:
        """Return the labels of an array (z, y, x) of booleans or whole numbers from 0 on."""
        depth = slab_depth(mask.shape, slab_voxels)

        def slabs() -> Iterator[Labels]:
            return (_unsigned(mask[z : z + depth]) for z in range(0, mask.shape[0], depth))

        return cls((mask.shape[0], mask.shape[1], mask.shape[2]), voxel_size_A, depth, slabs)

    def map(self, change: Callable[[Labels], Labels]) -> Self:
        """Return a source whose slabs are changed voxel by voxel."""
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
    """Return how many planes a slab of about so many voxels has, at least one."""
    return max(1, min(shape[0], voxels // (shape[1] * shape[2])))


@dataclass(frozen=True, slots=True)
class Window:
    """A slab with planes of its neighbours.

    Attributes
    ----------
    data : ndarray
        Slab and halo (z, y, x); at the first and last plane of the volume there is no halo.
    start : int
        z of the first plane of `data`.
    core : slice
        Where the slab lies in `data`.
    """

    data: Labels
    start: int
    core: slice


def windows(slabs: Iterable[Labels], halo: int, *, copy: bool = True) -> Iterator[Window]:
    """Give each slab up to `halo` planes of what lies before and after it.

    With ``copy=False`` the slabs are held as they come, so none may be written to afterwards.
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


def thicker(slabs: Iterable[Labels], planes: int) -> Iterator[Labels]:
    """Put slabs together until they have so many planes; each time a fresh array."""
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
    """Cut the rows of a window so that each strip, with `margin` rows to either side, has about so many voxels."""
    height = max(voxels // (shape[0] * shape[2]) - 2 * margin, margin)
    return [slice(y, min(y + height, shape[1])) for y in range(0, shape[1], height)]


def write_labels(
    source: LabelSource,
    path: Path,
    like: Volume | HeaderFields,
    *,
    labels: int,
    engine: str,
    step: Step | None = None,
) -> None:
    """Write a source as a mask file that lies on `like`; see :class:`~cryomamba.volumes.MaskWriter`.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``.
    """
    with MaskWriter(path, like, labels=labels, engine=engine) as mask:
        z = 0
        for slab in source.slabs():
            mask.write(z, 0, 0, slab.astype(mask.dtype, copy=False))
            z += len(slab)
            if step is not None:
                step(z / source.shape[0])


def _unsigned(slab: npt.NDArray[Any]) -> Labels:
    if slab.dtype == np.bool_ or slab.dtype == np.int8:
        return slab.view(np.uint8)
    return slab if slab.dtype.kind == "u" else slab.astype(np.uint32)
