"""Crops of a tomogram about picks, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing

PAGE = 30

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Review(StrEnum):
    """What a person thinks of a pick."""

    OPEN = ""
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Sort(StrEnum):
    """The order of the gallery."""

    BEST = "Best score first"
    WORST = "Worst score first"
    LISTED = "As listed"
    OPEN = "Not reviewed first"


def sorted_indices(scores: Floats, review: list[str], sort: Sort) -> Indices:
    """Return the picks in an order; those without a score come last, equal ones as listed."""
    if sort is Sort.LISTED:
        return np.arange(len(scores))
    if sort is Sort.OPEN:
        return np.argsort([state != Review.OPEN for state in review], kind="stable").astype(np.intp)
    return np.argsort(-scores if sort is Sort.BEST else scores, kind="stable")


def pages(count: int) -> int:
    """Return the number of pages, at least one."""
    return max(-(-count // PAGE), 1)


@dataclass(frozen=True, slots=True)
class CropSize:
    """Side and depth of a crop in nm, and its side in pixels."""

    side_nm: float
    depth_nm: float
    pixels: int


def crop(volume: Any, centre: npt.ArrayLike, voxel_size_A: Spacing, size: CropSize) -> npt.NDArray[np.float32]:  # noqa: ANN401
    """Return the xy section through a pick, averaged over a depth, as square pixels; NaN outside of the tomogram.

    Parameters
    ----------
    volume : array-like, ZYX
        Indexed with slices only, so of a memory-mapped file only the crop is read.
    centre : array-like of float
        z, y, x in voxels.
    voxel_size_A : tuple of float
    size : CropSize
    """
    z, y, x = np.asarray(centre, np.float64)
    size_nm = np.array(voxel_size_A) / 10
    half = max(size.depth_nm / size_nm[0] / 2, 0.5)
    first, last = (int(np.clip(round(at), 0, volume.shape[0])) for at in (z - half + 0.5, z + half + 0.5))
    steps = (np.arange(size.pixels) + 0.5) / size.pixels - 0.5
    rows, columns = (
        np.floor(at + steps * size.side_nm / unit + 0.5).astype(int) for at, unit in ((y, size_nm[1]), (x, size_nm[2]))
    )
    found = np.full((size.pixels, size.pixels), np.nan, np.float32)
    inside = [(line >= 0) & (line < side) for line, side in zip((rows, columns), volume.shape[1:], strict=True)]
    if last <= first or not inside[0].any() or not inside[1].any():
        return found
    rows, columns = rows[inside[0]], columns[inside[1]]
    box = volume[first:last, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    section = np.asarray(box, np.float32).mean(axis=0)
    found[np.ix_(*inside)] = section[np.ix_(rows - rows[0], columns - columns[0])]
    return found


def as_grey(section: npt.NDArray[np.float32], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return a crop as grey values, 0 to 255 between the limits; what is outside of the tomogram is black."""
    low, high = limits
    scaled = np.clip((section - low) / ((high - low) or 1.0), 0, 1) * 255
    return np.asarray(np.nan_to_num(scaled), np.uint8)
