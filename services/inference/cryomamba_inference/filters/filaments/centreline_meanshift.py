"""Mean shift of centreline points onto their line; tubes around scattered points would be too thick.

Mean shift: Comaniciu and Meer, IEEE PAMI 2002; here only perpendicular to the line.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.filaments.centrelines import AGREEMENT, bin_by_cell


@nb.njit(cache=True, nogil=True)
def _mean_shift(points, order, begin, cells, cell, reach, spread, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for index in range(len(points)):
        z, y, x = int(points[index, 0] / cell), int(points[index, 1] / cell), int(points[index, 2] / cell)
        n0, n1, n2 = points[index, 3], points[index, 4], points[index, 5]
        s0, s1, s2, w0, w1, w2, total = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for a in range(max(z - 1, 0), min(z + 2, cells[0])):
            for b in range(max(y - 1, 0), min(y + 2, cells[1])):
                for c in range(max(x - 1, 0), min(x + 2, cells[2])):
                    number = (a * cells[1] + b) * cells[2] + c
                    for at in range(begin[number], begin[number + 1]):
                        other = order[at]
                        agreement = n0 * points[other, 3] + n1 * points[other, 4] + n2 * points[other, 5]
                        d0 = points[other, 0] - points[index, 0]
                        d1 = points[other, 1] - points[index, 1]
                        d2 = points[other, 2] - points[index, 2]
                        if abs(agreement) < AGREEMENT or d0 * d0 + d1 * d1 + d2 * d2 > reach * reach:
                            continue
                        along = d0 * n0 + d1 * n1 + d2 * n2
                        weight = points[other, 6] ** 2 * math.exp(-along * along / (2 * spread * spread))
                        signed = weight if agreement > 0 else -weight
                        s0, s1, s2 = s0 + weight * d0, s1 + weight * d1, s2 + weight * d2
                        w0, w1, w2 = (
                            w0 + signed * points[other, 3],
                            w1 + signed * points[other, 4],
                            w2 + signed * points[other, 5],
                        )
                        total += weight
        length = math.sqrt(w0 * w0 + w1 * w1 + w2 * w2)
        m0, m1, m2 = w0 / length, w1 / length, w2 / length
        # Only the perpendicular component of the shift.
        s0, s1, s2 = s0 / total, s1 / total, s2 / total
        along = s0 * m0 + s1 * m1 + s2 * m2
        out[index, 0], out[index, 1], out[index, 2] = s0 - along * m0, s1 - along * m1, s2 - along * m2
        out[index, 3], out[index, 4], out[index, 5] = m0, m1, m2


def shift_to_centreline(
    points: npt.NDArray[np.float64], *, reach: float, spread: float, iterations: int
) -> npt.NDArray[np.float64]:
    """Return points moved onto the line through them and their neighbours.

    Parameters
    ----------
    points : array of shape (n, 7), float64
        z, y, x, direction, score.
    reach, spread : float
        Maximum distance of neighbours, and standard deviation of their weights along the line.
    """
    points = points.copy()
    for _ in range(iterations if len(points) else 0):
        shifted, order, begin, cells = bin_by_cell(points, reach)
        out = np.empty((len(points), 6))
        _mean_shift(shifted, order, begin, cells, reach, float(reach), float(spread), out)
        points[:, :3] += out[:, :3]
        points[:, 3:6] = out[:, 3:]
    return points
