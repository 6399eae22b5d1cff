"""From scores to a mask: hysteresis and small-piece removal over slabs of z, with memory that does not grow with depth.

Two voxels are connected if they touch by a face, an edge or a corner (26 neighbours). Slabs are labelled one after the
other; components that reach a slab's first or last plane are joined across the seam, all others are decided at once. A
second walk writes the answer. It equals that of the whole volume labelled in one piece.

Components within a slab: Silversmith, "cc3d" (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engine import ScoreCut
from cryomamba.libraries import library
from cryomamba.masks.seams import Numbers, SeamGraph
from cryomamba.masks.slabs import slab_depth
from cryomamba.records import Shape

SCORE_MAX = 255
SCORE_SLAB_VOXELS = 4 * 1024 * 1024

Scores = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Components = npt.NDArray[np.unsignedinteger[Any]]


def cut_scores(scores: Scores, cut: ScoreCut) -> Scores:
    """Turn the scores of a whole (small) volume into a mask of 0 and 1."""
    if is_plain(cut):
        return (scores >= cut.low).astype(np.uint8)
    components, strong, sizes = _label(scores, cut)
    return _kept(components, strong & (sizes >= cut.min_voxels))


def is_plain(cut: ScoreCut) -> bool:
    """Whether a cut is a plain threshold, decided voxel by voxel."""
    return cut.high <= cut.low and cut.min_voxels <= 1


@dataclass(slots=True)
class _Slab:
    """What is remembered of a slab: a bit per component, and which of them are joined across seams, from `base` on."""

    count: int
    kept: bytes
    local: npt.NDArray[np.int32]
    base: int


class SlabLabeller:
    """Decides which voxels of a score volume belong to the mask.

    First give every slab in turn to :meth:`add`, then ask for each one's mask with :meth:`mask`, in any order.

    Parameters
    ----------
    cut : ScoreCut
    """

    def __init__(self, cut: ScoreCut) -> None:
        self._cut = cut
        self._slabs: list[_Slab] = []
        self._graph = SeamGraph()
        self._sizes: list[Numbers] = []
        self._strong: list[Flags] = []
        self._seam: Numbers | None = None
        self._decided: Flags | None = None

    def add(self, scores: Scores) -> None:
        """Take in the next slab (uint8, ZYX, full y and x)."""
        components, strong, sizes = _label(scores, self._cut)
        keep = strong & (sizes >= self._cut.min_voxels)
        first, last = components[0], components[-1]
        local = np.union1d(first[first > 0], last[last > 0]).astype(np.int32)
        base = self._graph.add(local.size)
        self._sizes.append(sizes[local])
        self._strong.append(strong[local])
        table = np.full(sizes.size, -1, np.int64)
        table[local] = np.arange(base, base + local.size)
        if self._seam is not None:
            self._graph.touch(self._seam, table[first], None)
        self._seam = table[last]
        keep[local] = False
        self._slabs.append(_Slab(keep.size, np.packbits(keep).tobytes(), local, base))

    def mask(self, number: int, scores: Scores) -> Scores:
        """Return the mask (0 and 1) of slab `number`, given its scores again."""
        if self._decided is None:
            self._decided = self._decide()
        slab = self._slabs[number]
        keep = np.unpackbits(np.frombuffer(slab.kept, np.uint8), count=slab.count).astype(np.bool_)
        keep[slab.local] = self._decided[slab.base : slab.base + slab.local.size]
        return _kept(_components(scores, self._cut), keep)

    def _decide(self) -> Flags:
        """Return for each component at a seam whether what it is part of is strong and large enough."""
        found, group = self._graph.groups()
        if not found:
            return np.empty(0, np.bool_)
        sizes = np.zeros(found, np.int64)
        np.add.at(sizes, group, np.concatenate(self._sizes))
        strong = np.bincount(group[np.concatenate(self._strong)], minlength=found) > 0
        kept: Flags = (strong & (sizes >= self._cut.min_voxels))[group]
        return kept


def write_mask(
    shape: Shape,
    read: Callable[[slice], Scores],
    write: Callable[[int, Scores], None],
    cut: ScoreCut,
    *,
    step: Callable[[float], None],
    slab_voxels: int = SCORE_SLAB_VOXELS,
) -> None:
    """Turn scores on disk into a mask on disk.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    read : callable
        ``read(z slice) -> uint8 (z, y, x)``, a slab of the scores with full y and x.
    write : callable
        ``write(first z, mask of 0 and 1)``.
    cut : ScoreCut
    step : callable
        Called with the fraction done after each slab; may raise to stop.
    slab_voxels : int
        About how many voxels are held at a time; the answer is the same.
    """
    depth = slab_depth(shape, slab_voxels)
    slabs = [slice(z, min(z + depth, shape[0])) for z in range(0, shape[0], depth)]
    if is_plain(cut):
        for number, z in enumerate(slabs):
            write(z.start, cut_scores(read(z), cut))
            step((number + 1) / len(slabs))
        return
    labeller = SlabLabeller(cut)
    for number, z in enumerate(slabs):
        labeller.add(read(z))
        step((number + 1) / (2 * len(slabs)))
    for number, z in enumerate(slabs):
        write(z.start, labeller.mask(number, read(z)))
        step(0.5 + (number + 1) / (2 * len(slabs)))


def _components(scores: Scores, cut: ScoreCut) -> Components:
    # As bytes: of a boolean array that is a few voxels thin, cc3d makes an error.
    weak = (scores >= cut.low).view(np.uint8)
    components: Components = library("cc3d").connected_components(weak, connectivity=26)
    return components


def _kept(components: Components, keep: Flags) -> Scores:
    """Return the mask of the components that are kept; most voxels are in none, so only the others are looked up."""
    mask = np.zeros(components.shape, np.uint8)
    inside = np.flatnonzero(components)
    mask.reshape(-1)[inside] = keep[components.reshape(-1)[inside]]
    return mask


def _label(scores: Scores, cut: ScoreCut) -> tuple[Components, Flags, Numbers]:
    """Return components, which of them hold a strong voxel, and their sizes; 0, the background, is never strong."""
    components = _components(scores, cut)
    inside = np.flatnonzero(components)
    found = components.reshape(-1)[inside]
    sizes = np.bincount(found, minlength=1)
    strong = np.zeros(sizes.size, np.bool_)
    strong[found[scores.reshape(-1)[inside] >= cut.high]] = True
    return components, strong, sizes
