"""Scores of a finished job, cut at a threshold that moves: where one looks at once, the whole when it is wanted.

What belongs together is decided on a copy of the scores that is coarse enough to be labelled while a slider moves. A
block of it has the largest score of its voxels, so a connected piece of the volume is connected there too: every voxel
that the exact cut keeps is shown. Pieces that come closer than a block look as one, so a little more may be shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.hysteresis import write_mask
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.optional_imports import import_optional
from cryomamba.volumes import MaskWriter, blank_header, open_volume
from napari_cryomamba.layers.tomogram import full_index

COARSE_VOXELS = 128**3

Scores = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Step = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Scores of 0 to 255.

    Attributes
    ----------
    scores : ndarray of uint8, ZYX
        Mapped, not read.
    coarse : ndarray of uint8, ZYX
        The largest score of each block.
    factor : int
        Voxels per block along each axis.
    cut : ScoreCut
        With which the job's mask was made.
    voxel_size_A : tuple of float
    """

    scores: Scores
    coarse: Scores
    factor: int
    cut: HysteresisThreshold
    voxel_size_A: Spacing

    @property
    def voxel_nm3(self) -> float:
        """Volume of a voxel."""
        return math.prod(self.voxel_size_A) / 1000


def load_scores(path: Path, cut: HysteresisThreshold, *, step: Step | None = None) -> ScoreMap:
    """Open scores and make their coarse copy; may be called from any thread, and reads the file once.

    Raises
    ------
    VolumeError
        The file is missing or damaged.
    """
    with open_volume(path) as volume:
        mapped: Any = volume.array
        stored = volume.read_native(*[slice(None)] * 3) if mapped is None else mapped
        size = volume.meta.voxel_size_A
    scores: Any = stored if stored.dtype == np.uint8 else stored.astype(np.uint8)
    factor = max(math.ceil((scores.size / COARSE_VOXELS) ** (1 / 3)), 1)
    return ScoreMap(scores, block_maximum(scores, factor, step=step), factor, cut, size)


def block_maximum(scores: Scores, factor: int, *, step: Step | None = None) -> Scores:
    """Return the largest score of each block of `factor` voxels a side; blocks at the far ends may be smaller."""
    depth, height, width = (-(-side // factor) for side in scores.shape)
    found = np.empty((depth, height, width), scores.dtype)
    rows, columns = (range(0, side, factor) for side in scores.shape[1:])
    for z in range(depth):
        plane = scores[z * factor : (z + 1) * factor].max(axis=0)
        found[z] = np.maximum.reduceat(np.maximum.reduceat(plane, rows, axis=0), columns, axis=1)
        if step is not None:
            step((z + 1) / depth)
    return found


def count_in_blocks(scores: Scores, low: int, factor: int, blocks: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return how many voxels of some blocks, given as (n, 3) indices of blocks, reach a score."""
    counts = np.zeros(len(blocks), np.int64)
    for offset in np.ndindex(factor, factor, factor):
        at = blocks * factor + offset
        # Blocks at the far ends may be smaller.
        inside = np.all(at < scores.shape, axis=1)
        counts[inside] += scores[tuple(at[inside].T)] >= low
    return counts


def kept_blocks(found: ScoreMap, cut: HysteresisThreshold) -> Flags:
    """Return which blocks belong to a piece that a cut keeps."""
    coarse = found.coarse
    # As bytes: of a boolean array that is a few voxels thin, cc3d makes an error.
    weak = (coarse >= cut.low).view(np.uint8)
    components = import_optional("cc3d").connected_components(weak, connectivity=26)
    keep = np.zeros(int(components.max(initial=0)) + 1, np.bool_)
    keep[components[coarse >= cut.high]] = True
    keep[0] = False
    if cut.min_voxels > 1:
        _drop_small(keep, components, found, cut)
    kept: Flags = keep[components]
    return kept


def _drop_small(keep: Flags, components: npt.NDArray[Any], found: ScoreMap, cut: HysteresisThreshold) -> None:
    """Keep no piece of too few voxels, which are only counted where the number of blocks leaves it open."""
    blocks = np.bincount(components.reshape(-1), minlength=keep.size)
    keep &= blocks * found.factor**3 >= cut.min_voxels
    open_ = keep & (blocks < cut.min_voxels)
    if open_.any():
        at = np.argwhere(open_[components])
        counts = count_in_blocks(found.scores, cut.low, found.factor, at)
        sizes = np.bincount(components[tuple(at.T)], weights=counts, minlength=keep.size)
        keep &= ~open_ | (sizes >= cut.min_voxels)


class LiveThreshold:
    """The mask at the present threshold, cut only where napari looks: it takes the place of a layer's array.

    Parameters
    ----------
    found : ScoreMap
    cut : ScoreCut
        To begin with.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, found: ScoreMap, cut: HysteresisThreshold) -> None:
        self._found = found
        self.cut = cut
        self.kept: Flags | None = None
        depth, height, width = found.scores.shape
        self.shape: Shape = (depth, height, width)
        self.size = found.scores.size

    def move(self, cut: HysteresisThreshold, kept: Flags | None = None) -> None:
        """Cut elsewhere; without the blocks that belong to kept pieces, every voxel above the upper threshold."""
        self.cut, self.kept = cut, kept

    @property
    def coarse(self) -> Scores:
        """The mask of the blocks, 0 and 1: what is drawn in 3D."""
        if self.kept is None:
            return (self._found.coarse >= self.cut.high).astype(np.uint8)
        return self.kept.astype(np.uint8)

    def __getitem__(self, index: Any) -> Scores:  # noqa: ANN401 (numpy's basic indexing)
        part = np.asarray(self._found.scores[index])
        if self.kept is None:
            return (part >= self.cut.high).astype(np.uint8)
        blocks = self.kept[np.ix_(*self._blocks(index))].reshape(part.shape)
        return ((part >= self.cut.low) & blocks).astype(np.uint8)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def _blocks(self, index: Any) -> list[npt.NDArray[np.intp]]:  # noqa: ANN401
        return [
            np.atleast_1d(np.arange(side)[part]) // self._found.factor
            for part, side in zip(full_index(index), self.shape, strict=True)
        ]


def cut_whole(found: ScoreMap, cut: HysteresisThreshold, path: Path, *, step: Step) -> None:
    """Write the mask of the whole volume at a threshold, exactly; memory does not grow with the depth.

    Parameters
    ----------
    found : ScoreMap
    cut : ScoreCut
    path : Path
        Appears when it is whole.
    step : callable
        Called with the fraction done; may raise to stop.
    """
    depth, height, width = found.scores.shape
    shape = (depth, height, width)
    with MaskWriter(path, blank_header(shape, found.voxel_size_A), labels=1, engine="rethreshold") as writer:

        def write(z: int, mask: Scores) -> None:
            writer.write(z, 0, 0, mask.astype(writer.dtype, copy=False))

        write_mask(shape, lambda z: np.ascontiguousarray(found.scores[z]), write, cut, progress=step)


def moved(cut: HysteresisThreshold, *, high: int, low: int, min_voxels: int) -> HysteresisThreshold:
    """Return a cut whose lower threshold is not above the upper one."""
    return replace(cut, high=high, low=min(low, high), min_voxels=min_voxels)
