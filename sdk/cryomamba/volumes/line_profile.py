"""The density along a line through a tomogram, averaged over a width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.optional_imports import import_optional

Floats = npt.NDArray[np.float64]

# Steps along the line and across its width, as a fraction of the smallest side of a voxel: finer ones would only
# interpolate.
_STEP: Final = 0.5
_SAMPLES_MAX: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class LineProfile:
    """Densities along a line.

    Attributes
    ----------
    position_A : ndarray of float64, shape (n,)
        Distance from the beginning of the line.
    density : ndarray of float64, shape (n,)
        Mean over the width; NaN where the line is outside of the tomogram.
    """

    position_A: Floats
    density: Floats


def line_profile(
    volume: Any,  # noqa: ANN401 (an array, or what is indexed like one)
    begin: Spacing,
    end: Spacing,
    voxel_size_A: Spacing,
    *,
    width_A: float = 0.0,
    axis: int = 0,
) -> LineProfile:
    """Return the density along a line, with linear interpolation between voxels.

    Only the box about the line is read.

    Parameters
    ----------
    volume : array-like, ZYX
        Indexed with slices only, so a memory-mapped file is read no farther than the line.
    begin, end : tuple of float
        Ends of the line (z, y, x) in voxels; the centre of the first voxel is 0.0.
    voxel_size_A : tuple of float
    width_A : float
        The density is averaged over this width across the line, in the section perpendicular to `axis`.
    axis : int
        Axis perpendicular to the section in which the line lies.

    Raises
    ------
    InvalidRequestError
        The line has no length, or line and width are too large.
    """
    size = np.array(voxel_size_A, float)
    start, along = np.array(begin, float) * size, (np.array(end, float) - begin) * size
    length = float(np.linalg.norm(along))
    if not length:
        raise InvalidRequestError("The line has no length.", hint="Drag from one end of the line to the other.")
    step = _STEP * float(size.min())
    position = np.linspace(0, length, max(round(length / step), 1) + 1)
    across = _across(along / length, axis) * _offsets(width_A, step)[:, None]
    if position.size * len(across) > _SAMPLES_MAX:
        raise InvalidRequestError("The line and its width are too large.", hint="Choose a smaller width.")
    points = (start + position[:, None] * (along / length))[:, None, :] + across
    samples = _interpolated(volume, points.reshape(-1, 3) / size).reshape(position.size, -1)
    inside = np.isfinite(samples)
    counts = inside.sum(axis=1)
    sums = np.where(inside, samples, 0).sum(axis=1)
    mean = np.divide(sums, counts, out=np.full(position.size, np.nan), where=counts > 0)
    return LineProfile(position, mean)


def _across(direction: Floats, axis: int) -> Floats:
    """Return the unit vector in the section that is perpendicular to the line."""
    normal = np.zeros(3)
    normal[axis] = 1
    across = np.cross(normal, direction)
    norm = np.linalg.norm(across)
    # A line along the axis itself has no side in the section.
    return np.asarray(across / norm if norm > 1e-9 else np.zeros(3), np.float64)


def _offsets(width: float, step: float) -> Floats:
    count = max(round(width / step), 1)
    return np.asarray((np.arange(count) - (count - 1) / 2) * (width / count), np.float64)


def _interpolated(volume: Any, points: Floats) -> Floats:  # noqa: ANN401
    shape = np.array(volume.shape)
    inside = ((points >= -0.5) & (points <= shape - 0.5)).all(axis=1)
    values = np.full(len(points), np.nan)
    if not inside.any():
        return values
    kept = np.clip(points[inside], 0, shape - 1)
    low, high = np.floor(kept.min(axis=0)).astype(int), np.ceil(kept.max(axis=0)).astype(int) + 1
    box = np.asarray(volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], np.float64)
    values[inside] = import_optional("scipy.ndimage").map_coordinates(box, (kept - low).T, order=1, mode="nearest")
    return values
