"""Rasterizes balls and tubes into a box of voxels; distances are in Å, so voxels need not be cubes."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing

Scores = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@nb.njit(cache=True, nogil=True)
def _rasterize(scores, start_A, end_A, values, radius, corner_A, size_A, first, last):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    square = radius * radius
    for n in range(len(values)):
        b0, b1, b2 = end_A[n, 0] - start_A[n, 0], end_A[n, 1] - start_A[n, 1], end_A[n, 2] - start_A[n, 2]
        length = b0 * b0 + b1 * b1 + b2 * b2
        for z in range(first[n, 0], last[n, 0]):
            p0 = corner_A[0] + z * size_A[0] - start_A[n, 0]
            for y in range(first[n, 1], last[n, 1]):
                p1 = corner_A[1] + y * size_A[1] - start_A[n, 1]
                for x in range(first[n, 2], last[n, 2]):
                    p2 = corner_A[2] + x * size_A[2] - start_A[n, 2]
                    t = 0.0
                    if length > 0:
                        t = min(max((p0 * b0 + p1 * b1 + p2 * b2) / length, 0.0), 1.0)
                    q0, q1, q2 = p0 - t * b0, p1 - t * b1, p2 - t * b2
                    if q0 * q0 + q1 * q1 + q2 * q2 <= square and scores[z, y, x] < values[n]:
                        scores[z, y, x] = values[n]


def rasterize(
    start_A: Floats, end_A: Floats, values: Scores, radius_A: float, *, start: Shape, shape: Shape, size_A: Spacing
) -> Scores:
    """Rasterize line segments with a radius; overlapping segments give the highest value.

    Parameters
    ----------
    low_A, high_A : arrays of shape (n, 3)
        Start and end of each segment, in Å (z, y, x) from the centre of the volume's first voxel; equal for a ball.
    values : array of shape (n,), uint8
    radius_A : float
        Maximum distance of a voxel centre from the segment.
    start, shape : tuple of int
        First voxel and shape of the box.
    size_A : tuple of float
        Voxel size in Å.

    Returns
    -------
    array of `shape`, uint8
        0 outside all segments.
    """
    scores = np.zeros(shape, np.uint8)
    size = np.asarray(size_A, np.float64)
    corner = np.asarray(start) * size
    lower = np.minimum(start_A, end_A) - radius_A - corner
    upper = np.maximum(start_A, end_A) + radius_A - corner
    first = np.clip(np.ceil(lower / size), 0, shape).astype(np.int64)
    last = np.clip(np.floor(upper / size) + 1, 0, shape).astype(np.int64)
    inside = (last > first).all(axis=1)
    _rasterize(
        scores,
        np.ascontiguousarray(start_A[inside], np.float64),
        np.ascontiguousarray(end_A[inside], np.float64),
        np.ascontiguousarray(values[inside]),
        float(radius_A),
        corner,
        size,
        first[inside],
        last[inside],
    )
    return scores
