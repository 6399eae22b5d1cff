"""From scores to a mask: hysteresis and small-piece removal over slabs of z, with memory that does not grow with depth.

Two voxels are connected if they touch by a face, an edge or a corner (26 neighbours). Slabs are labelled one after the
other; components that reach a slab's first or last plane are joined across the seam, all others are decided at once. A
second walk writes the answer. It equals that of the whole volume labelled in one piece.

Components within a slab: Silversmith, "cc3d" (2021).
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
from cryomamba.masks.slabs import Spread, slab_depth
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.optional_imports import import_optional

SCORE_MAX = 255
SCORE_SLAB_VOXELS = 4 * 1024 * 1024

Scores = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Components = npt.NDArray[np.unsignedinteger[Any]]


def cut_scores(scores: Scores, cut: HysteresisThreshold) -> Scores:
    """Turn the scores of a whole (small) volume into a mask of 0 and 1."""
    if is_plain(cut):
        return (scores >= cut.low).astype(np.uint8)
    pieces = _label(scores, cut)
    return _kept(pieces, pieces.strong & (pieces.sizes >= cut.min_voxels))


def is_plain(cut: HysteresisThreshold) -> bool:
    """Whether a cut is a plain threshold, decided voxel by voxel."""
    return cut.high <= cut.low and cut.min_voxels <= 1


@dataclass(slots=True)
class _Slab:
    """What is remembered of a slab: a bit per component, and which of them are joined across seams, from `base` on."""

    count: int
    kept: bytes
    local: npt.NDArray[np.int32]
    base: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a slab's pieces until all are known.

    Attributes
    ----------
    first, last : ndarray
        Numbers of the pieces on the slab's first and last plane, 0 for background.
    strong : ndarray of bool
        Whether a piece has a strong voxel; piece 0, the background, has none.
    sizes : ndarray
        Voxels of each piece.
    """

    first: Components
    last: Components
    strong: Flags
    sizes: Numbers


class SlabLabeller:
    """Decides which voxels of a score volume belong to the mask.

    First give every slab in turn to :meth:`add`, then ask for each one's mask with :meth:`mask`, in any order.

    Parameters
    ----------
    cut : ScoreCut
    """

    def __init__(self, cut: HysteresisThreshold) -> None:
        self._cut = cut
        self._slabs: list[_Slab] = []
        self._graph = SlabGraph()
        self._sizes: list[Numbers] = []
        self._strong: list[Flags] = []
        self._seam: Numbers | None = None
        self._decided: Flags | None = None

    def add(self, scores: Scores) -> None:
        """Take in the next slab (uint8, ZYX, full y and x)."""
        self.take(seen_in(scores, self._cut))

    def take(self, seen: Seen) -> None:
        """Take in what was seen in the next slab."""
        local = _at_seams(seen)
        base = self._graph.add(local.size)
        self._sizes.append(seen.sizes[local])
        self._strong.append(seen.strong[local])
        table = np.full(seen.sizes.size, -1, np.int64)
        table[local] = np.arange(base, base + local.size)
        if self._seam is not None:
            self._graph.touch(self._seam, table[seen.first], None)
        self._seam = table[seen.last]
        keep = seen.strong & (seen.sizes >= self._cut.min_voxels)
        keep[local] = False
        self._slabs.append(_Slab(keep.size, np.packbits(keep).tobytes(), local, base))

    def mask(self, number: int, scores: Scores) -> Scores:
        """Return the mask (0 and 1) of slab `number`, given its scores again."""
        return _kept(_pieces(scores, self._cut), _flags(self.kept(number)))

    def kept(self, number: int) -> bytes:
        """Return a bit for each piece of slab `number`, the background first: whether it belongs to the mask."""
        if self._decided is None:
            self._decided = self._decide()
        slab = self._slabs[number]
        keep = _flags(slab.kept)[: slab.count]
        keep[slab.local] = self._decided[slab.base : slab.base + slab.local.size]
        return np.packbits(keep).tobytes()

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
    cut: HysteresisThreshold,
    *,
    step: Callable[[float], None],
    slab_voxels: int = SCORE_SLAB_VOXELS,
    spread: Spread = map,
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
    spread : callable
        Calls `read` for several slabs at a time, if `read` pickles; `write` and `step` are called here.
    """
    depth = slab_depth(shape, slab_voxels)
    slabs = [slice(z, min(z + depth, shape[0])) for z in range(0, shape[0], depth)]
    if is_plain(cut):
        masks, before = spread(partial(_plain_mask, read, cut), slabs), 0.0
    else:
        labeller, before = SlabLabeller(cut), 0.5
        for number, seen in enumerate(spread(partial(_seen_at, read, cut), slabs)):
            labeller.take(seen)
            step((number + 1) / (2 * len(slabs)))
        kept = ((z, labeller.kept(number)) for number, z in enumerate(slabs))
        masks = spread(partial(_mask_at, read, cut), kept)
    for number, (z, mask) in enumerate(zip(slabs, masks, strict=True)):
        write(z.start, mask)
        step(before + (1 - before) * (number + 1) / len(slabs))


def _plain_mask(read: Callable[[slice], Scores], cut: HysteresisThreshold, z: slice) -> Scores:
    return cut_scores(read(z), cut)


def _seen_at(read: Callable[[slice], Scores], cut: HysteresisThreshold, z: slice) -> Seen:
    return seen_in(read(z), cut)


def _mask_at(read: Callable[[slice], Scores], cut: HysteresisThreshold, slab: tuple[slice, bytes]) -> Scores:
    z, kept = slab
    return _kept(_pieces(read(z), cut), _flags(kept))


def _flags(bits: bytes) -> Flags:
    return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.bool_)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The connected pieces of a slab: numbers of all voxels, and which flat places are in one."""

    components: Components
    inside: Numbers


@dataclass(frozen=True, slots=True)
class _Labelled(_Pieces):
    """Besides, for each piece whether it holds a strong voxel, and its size; 0, the background, is never strong."""

    strong: Flags
    sizes: Numbers


def _pieces(scores: Scores, cut: HysteresisThreshold) -> _Pieces:
    weak = scores >= cut.low
    # As bytes: of a boolean array that is a few voxels thin, cc3d makes an error.
    components: Components = import_optional("cc3d").connected_components(weak.view(np.uint8), connectivity=26)
    return _Pieces(components, np.flatnonzero(weak))


def _kept(pieces: _Pieces, keep: Flags) -> Scores:
    """Return the mask of the pieces that are kept; most voxels are in none, so only the others are looked up."""
    mask = np.zeros(pieces.components.shape, np.uint8)
    mask.reshape(-1)[pieces.inside] = keep[pieces.components.reshape(-1)[pieces.inside]]
    return mask


def _label(scores: Scores, cut: HysteresisThreshold) -> _Labelled:
    pieces = _pieces(scores, cut)
    found = pieces.components.reshape(-1)[pieces.inside]
    sizes = np.bincount(found, minlength=1)
    strong = np.zeros(sizes.size, np.bool_)
    strong[found[scores.reshape(-1)[pieces.inside] >= cut.high]] = True
    return _Labelled(pieces.components, pieces.inside, strong, sizes)


def seen_in(scores: Scores, cut: HysteresisThreshold) -> Seen:
    """Find the pieces of a slab (uint8, ZYX, full y and x)."""
    pieces = _label(scores, cut)
    return Seen(pieces.components[0].copy(), pieces.components[-1].copy(), pieces.strong, pieces.sizes)


def _at_seams(seen: Seen) -> npt.NDArray[np.int32]:
    """Return the pieces on the first or last plane, ascending."""
    found = np.zeros(seen.sizes.size, np.bool_)
    found[seen.first] = True
    found[seen.last] = True
    found[0] = False
    return np.flatnonzero(found).astype(np.int32)
