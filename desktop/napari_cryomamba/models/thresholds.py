"""Another threshold of a finished job's score map: previewed where the user looks, written for the whole volume.

Connected components are found on a coarse copy of the score map, which is small enough to be labelled while a slider
moves. A block of it holds the maximum of its voxels, so what is connected in the volume is connected there too: every
voxel of the exact mask is shown. Components closer than a block are merged, so the preview may show a little more.
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
from napari_cryomamba.models.indexing import full_index

COARSE_VOXELS = 128**3

Scores = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Scores from 0 to 255.

    Attributes
    ----------
    scores : ndarray of uint8, ZYX
        Memory-mapped, not read.
    coarse : ndarray of uint8, ZYX
        The maximum of each block.
    factor : int
        Voxels per block along each axis.
    threshold : HysteresisThreshold
        With which the job's mask was made.
    """

    scores: Scores
    coarse: Scores
    factor: int
    threshold: HysteresisThreshold
    voxel_size_A: Spacing

    @property
    def voxel_nm3(self) -> float:
        """Volume of a voxel."""
        return math.prod(self.voxel_size_A) / 1000


def load_scores(path: Path, threshold: HysteresisThreshold, *, progress: Progress | None = None) -> ScoreMap:
    """Open a score map and make its coarse copy, for which the file is read once; for any thread.

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
    return ScoreMap(scores, block_maximum(scores, factor, progress=progress), factor, threshold, size)


def block_maximum(scores: Scores, factor: int, *, progress: Progress | None = None) -> Scores:
    """Return the maximum of each block of `factor`³ voxels; blocks at the far ends may be smaller."""
    depth, height, width = (-(-side // factor) for side in scores.shape)
    maxima = np.empty((depth, height, width), scores.dtype)
    rows, columns = (range(0, side, factor) for side in scores.shape[1:])
    for z in range(depth):
        plane = scores[z * factor : (z + 1) * factor].max(axis=0)
        maxima[z] = np.maximum.reduceat(np.maximum.reduceat(plane, rows, axis=0), columns, axis=1)
        if progress is not None:
            progress((z + 1) / depth)
    return maxima


def count_in_blocks(scores: Scores, low: int, factor: int, blocks: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return how many voxels of some blocks, given by their (n, 3) indices, reach a score."""
    counts = np.zeros(len(blocks), np.int64)
    for offset in np.ndindex(factor, factor, factor):
        at = blocks * factor + offset
        # Blocks at the far ends may be smaller.
        inside = np.all(at < scores.shape, axis=1)
        counts[inside] += scores[tuple(at[inside].T)] >= low
    return counts


def kept_blocks(score_map: ScoreMap, threshold: HysteresisThreshold) -> Flags:
    """Return which blocks belong to a component that a threshold keeps."""
    coarse = score_map.coarse
    # As bytes, because cc3d fails on boolean arrays that are a few voxels thin.
    weak = (coarse >= threshold.low).view(np.uint8)
    components = import_optional("cc3d").connected_components(weak, connectivity=26)
    keep = np.zeros(int(components.max(initial=0)) + 1, np.bool_)
    keep[components[coarse >= threshold.high]] = True
    keep[0] = False
    if threshold.min_voxels > 1:
        _drop_small(keep, components, score_map, threshold)
    kept: Flags = keep[components]
    return kept


def _drop_small(keep: Flags, components: npt.NDArray[Any], score_map: ScoreMap, threshold: HysteresisThreshold) -> None:
    """Drop small components; voxels are counted only where the number of blocks does not decide it."""
    blocks = np.bincount(components.reshape(-1), minlength=keep.size)
    keep &= blocks * score_map.factor**3 >= threshold.min_voxels
    undecided = keep & (blocks < threshold.min_voxels)
    if undecided.any():
        at = np.argwhere(undecided[components])
        counts = count_in_blocks(score_map.scores, threshold.low, score_map.factor, at)
        sizes = np.bincount(components[tuple(at.T)], weights=counts, minlength=keep.size)
        keep &= ~undecided | (sizes >= threshold.min_voxels)


class LiveThreshold:
    """The mask at a threshold that can be changed, computed only for the slice that napari shows.

    It takes the place of a layer's array.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, score_map: ScoreMap, threshold: HysteresisThreshold) -> None:
        self._score_map, self.threshold = score_map, threshold
        self.kept: Flags | None = None
        depth, height, width = score_map.scores.shape
        self.shape: Shape = (depth, height, width)
        self.size = score_map.scores.size

    def set(self, threshold: HysteresisThreshold, kept: Flags | None = None) -> None:
        """Change the threshold; without `kept` blocks, show every voxel above the upper threshold."""
        self.threshold, self.kept = threshold, kept

    @property
    def coarse(self) -> Scores:
        """The mask of the blocks, 0 and 1: what is drawn in 3D."""
        if self.kept is None:
            return (self._score_map.coarse >= self.threshold.high).astype(np.uint8)
        return self.kept.astype(np.uint8)

    def __getitem__(self, index: Any) -> Scores:  # noqa: ANN401 (numpy's basic indexing)
        part = np.asarray(self._score_map.scores[index])
        if self.kept is None:
            return (part >= self.threshold.high).astype(np.uint8)
        blocks = self.kept[np.ix_(*self._blocks(index))].reshape(part.shape)
        return ((part >= self.threshold.low) & blocks).astype(np.uint8)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def _blocks(self, index: Any) -> list[npt.NDArray[np.intp]]:  # noqa: ANN401
        return [
            np.atleast_1d(np.arange(side)[part]) // self._score_map.factor
            for part, side in zip(full_index(index), self.shape, strict=True)
        ]


def write_thresholded(score_map: ScoreMap, threshold: HysteresisThreshold, path: Path, *, progress: Progress) -> None:
    """Write the exact mask of the whole volume at a threshold; memory does not grow with the depth.

    Parameters
    ----------
    path : Path
        Written atomically.
    progress : callable
        Called with the fraction done; may raise to stop.
    """
    depth, height, width = score_map.scores.shape
    shape = (depth, height, width)
    with MaskWriter(path, blank_header(shape, score_map.voxel_size_A), labels=1, engine="rethreshold") as writer:

        def read(z: slice) -> Scores:
            return np.ascontiguousarray(score_map.scores[z])

        def write(z: int, mask: Scores) -> None:
            writer.write(z, 0, 0, mask.astype(writer.dtype, copy=False))

        write_mask(shape, read, write, threshold, progress=progress)


def with_thresholds(threshold: HysteresisThreshold, *, high: int, low: int, min_voxels: int) -> HysteresisThreshold:
    """Return other thresholds, of which the lower one is not above the upper one."""
    return replace(threshold, high=high, low=min(low, high), min_voxels=min_voxels)
