"""Hysteresis thresholding of a score map into a mask, slab by slab, in memory that does not grow with depth.

Components are connected over faces, edges and corners (26 neighbours). Each slab is labelled by itself. Components that
reach its first or last plane are linked to those of the next slab and decided when all slabs are known; all others are
decided at once. A second pass over the scores writes the mask. The result equals that of the whole volume at once.

Labelling within a slab: Silversmith, "cc3d" (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape
from cryomamba.masks.slab_graph import Numbers, SlabGraph
from cryomamba.masks.slabs import ParallelMap, Progress, slab_depth
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.optional_imports import import_optional

SCORE_MAX = 255
SCORE_SLAB_VOXELS = 4 * 1024 * 1024

Scores = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Components = npt.NDArray[np.unsignedinteger[Any]]


def apply_thresholds(scores: Scores, thresholds: HysteresisThreshold) -> Scores:
    """Return the mask (0 and 1) of a volume of scores that fits into memory."""
    if is_single_threshold(thresholds):
        return (scores >= thresholds.low).astype(np.uint8)
    labelled = _label(scores, thresholds)
    sizes, strong = _rate(labelled, scores, thresholds)
    return _mask_of(labelled, strong & (sizes >= thresholds.min_voxels))


def is_single_threshold(thresholds: HysteresisThreshold) -> bool:
    """Return whether each voxel is decided by itself, without hysteresis and minimum size."""
    return thresholds.high <= thresholds.low and thresholds.min_voxels <= 1


@dataclass(frozen=True, slots=True)
class SlabComponents:
    """What is kept of a slab's components until all slabs are known.

    Attributes
    ----------
    first, last : ndarray
        Component labels on the slab's first and last plane, 0 for background.
    strong : ndarray of bool
        Whether each component has a voxel at or above the upper threshold; False for 0, the background.
    sizes : ndarray
        Voxels of each component.
    """

    first: Components
    last: Components
    strong: Flags
    sizes: Numbers


@dataclass(slots=True)
class _Slab:
    """A slab that was added: a bit per component, and those on its first or last plane, graph nodes from `base` on."""

    count: int
    kept: bytes
    boundary: npt.NDArray[np.int32]
    base: int


class SlabHysteresis:
    """Decides which components of a score map belong to the mask.

    First pass every slab in order to :meth:`add`, then call :meth:`mask` for each of them, in any order.

    Parameters
    ----------
    thresholds : HysteresisThreshold
    """

    def __init__(self, thresholds: HysteresisThreshold) -> None:
        self._thresholds = thresholds
        self._slabs: list[_Slab] = []
        self._graph = SlabGraph()
        self._sizes: list[Numbers] = []
        self._strong: list[Flags] = []
        self._last_plane: Numbers | None = None
        self._decided: Flags | None = None

    def add(self, scores: Scores) -> None:
        """Add the next slab (uint8, ZYX, full y and x)."""
        self.add_components(label_slab(scores, self._thresholds))

    def add_components(self, found: SlabComponents) -> None:
        """Add the components of the next slab."""
        boundary = _on_boundary(found)
        base = self._graph.add_nodes(boundary.size)
        self._sizes.append(found.sizes[boundary])
        self._strong.append(found.strong[boundary])
        nodes = np.full(found.sizes.size, -1, np.int64)
        nodes[boundary] = np.arange(base, base + boundary.size)
        if self._last_plane is not None:
            self._graph.connect(self._last_plane, nodes[found.first], None)
        self._last_plane = nodes[found.last]
        keep = found.strong & (found.sizes >= self._thresholds.min_voxels)
        keep[boundary] = False
        self._slabs.append(_Slab(keep.size, np.packbits(keep).tobytes(), boundary, base))

    def mask(self, number: int, scores: Scores) -> Scores:
        """Return the mask (0 and 1) of slab `number`, given its scores again."""
        return _mask_of(_label(scores, self._thresholds), _flags(self.kept(number)))

    def kept(self, number: int) -> bytes:
        """Return one bit per component of slab `number`, background first: whether it belongs to the mask."""
        if self._decided is None:
            self._decided = self._decide()
        slab = self._slabs[number]
        keep = _flags(slab.kept)[: slab.count]
        keep[slab.boundary] = self._decided[slab.base : slab.base + slab.boundary.size]
        return np.packbits(keep).tobytes()

    def _decide(self) -> Flags:
        count, group = self._graph.connected_components()
        if not count:
            return np.empty(0, np.bool_)
        sizes = np.zeros(count, np.int64)
        np.add.at(sizes, group, np.concatenate(self._sizes))
        strong = np.bincount(group[np.concatenate(self._strong)], minlength=count) > 0
        return (strong & (sizes >= self._thresholds.min_voxels))[group]


def write_mask(
    shape: Shape,
    read: Callable[[slice], Scores],
    write: Callable[[int, Scores], None],
    thresholds: HysteresisThreshold,
    *,
    progress: Progress,
    slab_voxels: int = SCORE_SLAB_VOXELS,
    parallel_map: ParallelMap = map,
) -> None:
    """Threshold a score map on disk into a mask on disk.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    read : callable
        ``read(z slice) -> uint8 (z, y, x)``, a slab of the scores with full y and x.
    write : callable
        ``write(first z, mask of 0 and 1)``.
    thresholds : HysteresisThreshold
    progress : callable
        Called with the fraction done after each slab; may raise to stop.
    slab_voxels : int
        Approximate number of voxels held at a time; the mask does not depend on it.
    parallel_map : callable
        Calls `read` for several slabs at a time, which requires that `read` pickles; `write` and `progress` are called
        in this thread.
    """
    depth = slab_depth(shape, slab_voxels)
    slabs = [slice(z, min(z + depth, shape[0])) for z in range(0, shape[0], depth)]
    if is_single_threshold(thresholds):
        masks, before = parallel_map(partial(_threshold_slab, read, thresholds), slabs), 0.0
    else:
        hysteresis, before = SlabHysteresis(thresholds), 0.5
        for number, found in enumerate(parallel_map(partial(_label_slab, read, thresholds), slabs)):
            hysteresis.add_components(found)
            progress((number + 1) / (2 * len(slabs)))
        kept = ((z, hysteresis.kept(number)) for number, z in enumerate(slabs))
        masks = parallel_map(partial(_mask_slab, read, thresholds), kept)
    for number, (z, mask) in enumerate(zip(slabs, masks, strict=True)):
        write(z.start, mask)
        progress(before + (1 - before) * (number + 1) / len(slabs))


def label_slab(scores: Scores, thresholds: HysteresisThreshold) -> SlabComponents:
    """Return the components of a slab (uint8, ZYX, full y and x)."""
    labelled = _label(scores, thresholds)
    sizes, strong = _rate(labelled, scores, thresholds)
    return SlabComponents(labelled.components[0].copy(), labelled.components[-1].copy(), strong, sizes)


# Functions of the module, because a parallel map pickles them.
def _threshold_slab(read: Callable[[slice], Scores], thresholds: HysteresisThreshold, z: slice) -> Scores:
    return apply_thresholds(read(z), thresholds)


def _label_slab(read: Callable[[slice], Scores], thresholds: HysteresisThreshold, z: slice) -> SlabComponents:
    return label_slab(read(z), thresholds)


def _mask_slab(read: Callable[[slice], Scores], thresholds: HysteresisThreshold, slab: tuple[slice, bytes]) -> Scores:
    z, kept = slab
    return _mask_of(_label(read(z), thresholds), _flags(kept))


def _flags(bits: bytes) -> Flags:
    return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.bool_)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A labelled slab, and the flat indices of its foreground voxels."""

    components: Components
    inside: Numbers


def _label(scores: Scores, thresholds: HysteresisThreshold) -> _Labelled:
    weak = scores >= thresholds.low
    # As bytes: cc3d fails on boolean arrays that are a few voxels thin.
    components: Components = import_optional("cc3d").connected_components(weak.view(np.uint8), connectivity=26)
    return _Labelled(components, np.flatnonzero(weak))


def _rate(labelled: _Labelled, scores: Scores, thresholds: HysteresisThreshold) -> tuple[Numbers, Flags]:
    found = labelled.components.reshape(-1)[labelled.inside]
    sizes = np.bincount(found, minlength=1)
    strong = np.zeros(sizes.size, np.bool_)
    strong[found[scores.reshape(-1)[labelled.inside] >= thresholds.high]] = True
    return sizes, strong


def _mask_of(labelled: _Labelled, keep: Flags) -> Scores:
    """Return the mask of the components that are kept; only foreground voxels are looked up, for speed."""
    mask = np.zeros(labelled.components.shape, np.uint8)
    mask.reshape(-1)[labelled.inside] = keep[labelled.components.reshape(-1)[labelled.inside]]
    return mask


def _on_boundary(found: SlabComponents) -> npt.NDArray[np.int32]:
    there = np.zeros(found.sizes.size, np.bool_)
    there[found.first] = True
    there[found.last] = True
    there[0] = False
    return np.flatnonzero(there).astype(np.int32)
