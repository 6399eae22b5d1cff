"""Sections of a noisy tomogram as they are easier to look at: averaged, filtered, with a contrast from percentiles.

Only the section that is drawn is computed, from the sections around it, so a tomogram of any size can be looked at
in this way and is never copied. Pure.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from cryomamba.geometry import Shape, Spacing
from napari_cryomamba.models.indexing import full_index

Section = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]

HALF_AMPLITUDE = math.sqrt(2 * math.log(2)) / (2 * math.pi)
"""Sigma of a Gaussian (in Å) whose amplitude at a resolution of 1 Å is one half."""
TRUNCATE = 4.0
"""Sigmas at which the Gaussian across sections ends, as in scipy."""
CONTRAST_PERCENT = 0.5
"""Part of the voxels, at either end, that is left to black and to white."""
_FLAT_MARGIN = 1e-6
_BLOCK = 8
_CACHE_BYTES = 128 << 20
_SAMPLED_SECTIONS = 12
_SAMPLED_PER_SECTION = 100_000


@dataclass(frozen=True, slots=True)
class DisplayFilter:
    """How sections are averaged and filtered.

    Attributes
    ----------
    sections : int
        Neighbouring sections that are averaged; 1 for the section alone.
    low_pass_A : float
        Resolution (Å) at which the amplitude is one half and finer than which it falls; 0 for no low-pass. The
        Gaussian has three axes.
    high_pass_A : float
        Resolution (Å) coarser than which the amplitude falls below one half, within the section; 0 for no high-pass.
        The mean of the section stays.
    """

    sections: int = 1
    low_pass_A: float = 0.0
    high_pass_A: float = 0.0

    @property
    def off(self) -> bool:
        """Whether sections are shown as they are."""
        return self == DisplayFilter()


def section_weights(at: int, count: int, sections: int, sigma: float) -> tuple[int, Weights]:
    """Return the first section and the weights of those that make up section `at` of `count`.

    Parameters
    ----------
    sections : int
        Of the average.
    sigma : float
        Of the Gaussian, in sections. Beyond the ends, the tomogram is mirrored.
    """
    kernel = np.ones(sections) / sections
    radius = int(TRUNCATE * sigma + 0.5)
    if radius:
        gaussian = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = np.convolve(kernel, gaussian / gaussian.sum())
    index = np.arange(len(kernel)) + at - sections // 2 - radius
    index %= 2 * count
    index = np.minimum(index, 2 * count - 1 - index)
    first = int(index.min())
    return first, np.bincount(index - first, weights=kernel).astype(np.float64)


def weighted_section(data: Any, axis: int, first: int, weights: Weights) -> Section:  # noqa: ANN401 (napari's data)
    """Return the sum of sections along `axis`; a few of them are in memory at a time."""
    total: Section | None = None
    for start in range(0, len(weights), _BLOCK):
        part = weights[start : start + _BLOCK].astype(np.float32)
        index = [slice(None)] * 3
        index[axis] = slice(first + start, first + start + len(part))
        block = np.asarray(data[tuple(index)], np.float32)
        added = np.tensordot(part, block, (0, axis))
        total = added if total is None else np.add(total, added, out=total)
    if total is None:
        raise ValueError("there is no section to add")
    return total


def filter_section(section: Section, voxel_size_A: tuple[float, float], wanted: DisplayFilter) -> Section:
    """Return a section with low-pass and high-pass.

    The filters multiply its cosine transform, which mirrors the section at its borders; the time does not depend on
    their width.
    """
    if not wanted.low_pass_A and not wanted.high_pass_A:
        return section
    finite = np.isfinite(section)
    if not finite.all():
        section = np.where(finite, section, section[finite].mean() if finite.any() else 0.0).astype(np.float32)
    spectrum: Section = fft.dctn(section, norm="ortho", workers=-1)
    squared = [
        (np.pi * np.arange(side) / (side * size)) ** 2 for side, size in zip(section.shape, voxel_size_A, strict=True)
    ]
    transfer = _gaussian(squared, wanted.low_pass_A)
    if wanted.high_pass_A:
        background = _gaussian(squared, wanted.high_pass_A)
        background[0, 0] = 0.0
        transfer = transfer * (1 - background)
    filtered: Section = fft.idctn(spectrum * transfer.astype(np.float32), norm="ortho", workers=-1)
    return filtered


def _gaussian(squared: list[npt.NDArray[np.float64]], resolution_A: float) -> npt.NDArray[np.float64]:
    sigma = HALF_AMPLITUDE * resolution_A
    rows, columns = (np.exp(-0.5 * sigma**2 * along) for along in squared)
    product: npt.NDArray[np.float64] = np.outer(rows, columns)
    return product


def contrast_limits(sample: npt.NDArray[Any], percent: float = CONTRAST_PERCENT) -> tuple[float, float]:
    """Return the limits that leave `percent` of the finite values below and as many above."""
    # In 64 bits, numbers near the largest of 32 bits can be interpolated between.
    values = sample[np.isfinite(sample)].astype(np.float64)
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (percent, 100 - percent)))
    if high > low:
        return low, high
    # Half a unit on either side, or more where the numbers of 32 bits are farther apart.
    margin = max(0.5, abs(low) * _FLAT_MARGIN)
    return low - margin, low + margin


def sample_sections(data: Any) -> npt.NDArray[Any]:  # noqa: ANN401 (napari's data)
    """Return voxels of a dozen sections along z, evenly spread."""
    count = data.shape[0]
    shown = np.unique(np.linspace(0, count - 1, _SAMPLED_SECTIONS + 2).round().astype(int)[1:-1])
    parts = []
    for at in shown:
        section = np.asarray(data[int(at)]).reshape(-1)
        # An odd step does not sample the same columns of rows of even length.
        parts.append(section[:: max(section.size // _SAMPLED_PER_SECTION, 1) | 1])
    return np.concatenate(parts)


class FilteredVoxels:
    """A tomogram whose sections are filtered as napari asks for them; it takes the place of a layer's array.

    Whole sections, along any axis, are filtered; what else is asked for (a voxel, a block, the volume for 3D) comes as
    it is in the file. The sections that were made last are kept. Threads may share one.

    Parameters
    ----------
    data : array-like, ZYX
        Usually memory-mapped.
    voxel_size_A : tuple of float
        z, y, x.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, data: Any, voxel_size_A: Spacing, wanted: DisplayFilter) -> None:  # noqa: ANN401
        self.data, self.voxel_size_A, self.wanted = data, voxel_size_A, wanted
        depth, height, width = data.shape
        self.shape: Shape = (depth, height, width)
        self.size = math.prod(self.shape)
        self._kept: OrderedDict[tuple[int, int], Section] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:  # noqa: ANN401 (numpy's basic indexing)
        parts = full_index(index)
        if not all(isinstance(part, slice | int | np.integer) for part in parts):
            return np.asarray(self.data[index])
        wanted = [range(side)[part] for side, part in zip(self.shape, parts, strict=True)]
        # napari asks for a section by its number, or as a slab that is one section thick.
        cut = [axis for axis, part in enumerate(wanted) if isinstance(part, int) or len(part) == 1]
        rest = [axis for axis in range(3) if axis not in cut]
        if len(cut) != 1 or any(wanted[axis] != range(self.shape[axis]) for axis in rest):
            return np.asarray(self.data[index])
        (axis,) = cut
        at = wanted[axis]
        if isinstance(at, int):
            return self.section(axis, at)
        return np.expand_dims(self.section(axis, at[0]), axis)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.data[...], self.dtype if dtype is None else dtype)

    def section(self, axis: int, at: int) -> Section:
        """Return a filtered section, perpendicular to an axis."""
        with self._lock:
            kept = self._kept.get((axis, at))
            if kept is not None:
                self._kept.move_to_end((axis, at))
                return kept
        made = self._make(axis, at)
        with self._lock:
            self._kept[(axis, at)] = made
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > _CACHE_BYTES:
                self._kept.popitem(last=False)
        return made

    def _make(self, axis: int, at: int) -> Section:
        sigma = HALF_AMPLITUDE * self.wanted.low_pass_A / self.voxel_size_A[axis]
        first, weights = section_weights(at, self.shape[axis], self.wanted.sections, sigma)
        section = weighted_section(self.data, axis, first, weights)
        before, behind = (size for other, size in enumerate(self.voxel_size_A) if other != axis)
        return filter_section(section, (before, behind), self.wanted)
