"""Centreline points: maxima of the line filter response across the line, and votes of points that continue them."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

_AZIMUTHS = 16  # samples around the wall
_WALL_RADII = (0.3, 0.42)  # samples across the wall, in diameters from the centreline
_WALL_OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # samples along the line, in diameters
_PLATE_EVENNESS, _LINE_EVENNESS = 0.3, 0.65  # evenness of the wall at which the weight is 0, and 1
_MAX_SLOPE = 0.15  # squared sine of the largest angle between a line and the next point on it
AGREEMENT = 0.7  # minimum cosine between the directions of points on one line
_SUPPRESSION_RATIO = 0.6  # a point is suppressed by one whose strength times this exceeds its own
_END_RATIO = 0.5  # minimum response relative to that of neighbours on the line


@nb.njit(cache=True, nogil=True)
def sample(field, z, y, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Interpolate a field linearly; 0 beyond its sides."""
    i, j, k = math.floor(z), math.floor(y), math.floor(x)
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                p, q, r = i + a, j + b, k + c
                if 0 <= p < field.shape[0] and 0 <= q < field.shape[1] and 0 <= r < field.shape[2]:
                    total += field[p, q, r] * (1 - abs(z - p)) * (1 - abs(y - q)) * (1 - abs(x - r))
    return total


@nb.njit(cache=True, nogil=True)
def _frame(n0, n1, n2):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return two unit vectors perpendicular to a direction, the first as close to z as possible."""
    e0, e1, e2 = 1 - n0 * n0, -n0 * n1, -n0 * n2
    length = math.sqrt(e0 * e0 + e1 * e1 + e2 * e2)
    if length < 1e-3:
        e0, e1, e2, length = 0.0, 1.0, 0.0, 1.0
    e0, e1, e2 = e0 / length, e1 / length, e2 / length
    return e0, e1, e2, n1 * e2 - n2 * e1, n2 * e0 - n0 * e2, n0 * e1 - n1 * e0


@nb.njit(cache=True, nogil=True)
def _evenness(density, position, axis, one, other, diameter):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the evenness of the wall around a line, lower quartile over mean: 1 for a tube, 0 for a plate."""
    walls = np.zeros(_AZIMUTHS)
    for azimuth in range(_AZIMUTHS):
        angle = 2 * math.pi * azimuth / _AZIMUTHS
        cosine, sine = math.cos(angle), math.sin(angle)
        for across in _WALL_RADII:
            for along in _WALL_OFFSETS:
                a, b, c = across * cosine * diameter, across * sine * diameter, along * diameter
                z = position[0] + a * one[0] + b * other[0] + c * axis[0]
                y = position[1] + a * one[1] + b * other[1] + c * axis[1]
                x = position[2] + a * one[2] + b * other[2] + c * axis[2]
                # Beyond the volume's border the density is constant.
                walls[azimuth] += sample(
                    density,
                    min(max(z, 0.0), density.shape[0] - 1.0),
                    min(max(y, 0.0), density.shape[1] - 1.0),
                    min(max(x, 0.0), density.shape[2] - 1.0),
                )
    mean = walls.mean()
    return np.sort(walls)[_AZIMUTHS // 4] / mean if mean > 0 else 0.0


@nb.njit(cache=True, nogil=True)
def _find_points(response, direction, density, axes, floor, diameter, max_offset, box, found):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count = 0
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                here = response[i, j, k]
                if here < floor:
                    continue
                n0, n1, n2 = axes[direction[i, j, k]]
                e0, e1, e2, f0, f1, f2 = _frame(n0, n1, n2)
                # The maximum of a paraboloid across the line is on the centreline.
                e_up, e_down = sample(response, i + e0, j + e1, k + e2), sample(response, i - e0, j - e1, k - e2)
                f_up, f_down = sample(response, i + f0, j + f1, k + f2), sample(response, i - f0, j - f1, k - f2)
                e_curvature, f_curvature = 2 * here - e_up - e_down, 2 * here - f_up - f_down
                if e_curvature <= 0 or f_curvature <= 0:
                    continue
                u, v = 0.5 * (e_up - e_down) / e_curvature, 0.5 * (f_up - f_down) / f_curvature
                if u * u + v * v > max_offset * max_offset:
                    continue
                z, y, x = i + u * e0 + v * f0, j + u * e1 + v * f1, k + u * e2 + v * f2
                peak = here + 0.25 * ((e_up - e_down) * u + (f_up - f_down) * v)
                even = _evenness(density, (z, y, x), (n0, n1, n2), (e0, e1, e2), (f0, f1, f2), diameter)
                weight = min(max((even - _PLATE_EVENNESS) / (_LINE_EVENNESS - _PLATE_EVENNESS), 0.0), 1.0)
                if weight > 0 and count < len(found):
                    row = found[count]
                    row[0], row[1], row[2] = z, y, x
                    row[3], row[4], row[5] = n0, n1, n2
                    row[6], row[7] = weight * (peak - floor), peak
                    count += 1
    return count


def centreline_points(
    response: Field,
    direction: npt.NDArray[np.uint8],
    density: Field,
    axes: Field,
    *,
    floor: float,
    diameter: float,
    box: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return centreline points, found from the nodes next to them.

    Parameters
    ----------
    response, direction : arrays of shape (z, y, x)
        Of the line bank; directions are indices into `axes` (n, 3).
    density : array of shape (z, y, x)
        Positive for lines.
    floor : float
        Minimum response.
    diameter : float
        In nodes. If half of the wall at this diameter is missing, the object is a plate and not a line.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of the nodes that are examined.

    Returns
    -------
    array of shape (n, 8), float32
        z, y, x in nodes, direction, strength, response; one point for each node next to the line.
    """
    found = np.empty((int(np.count_nonzero(response >= floor)), 8), np.float32)
    count = _find_points(response, direction, density, axes, np.float32(floor), float(diameter), 1.0, box, found)
    return found[:count]


@nb.njit(cache=True, nogil=True)
def _suppress(points, order, begin, cells, cell, reach, suppressed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for index in range(len(points)):
        z, y, x = int(points[index, 0] / cell), int(points[index, 1] / cell), int(points[index, 2] / cell)
        for a in range(max(z - 1, 0), min(z + 2, cells[0])):
            for b in range(max(y - 1, 0), min(y + 2, cells[1])):
                for c in range(max(x - 1, 0), min(x + 2, cells[2])):
                    number = (a * cells[1] + b) * cells[2] + c
                    for at in range(begin[number], begin[number + 1]):
                        other = order[at]
                        if points[other, 6] * _SUPPRESSION_RATIO <= points[index, 6]:
                            continue
                        d0 = points[other, 0] - points[index, 0]
                        d1 = points[other, 1] - points[index, 1]
                        d2 = points[other, 2] - points[index, 2]
                        along = d0 * points[other, 3] + d1 * points[other, 4] + d2 * points[other, 5]
                        distance2 = d0 * d0 + d1 * d1 + d2 * d2
                        if distance2 <= reach * reach and along * along <= 0.25 * distance2 + 0.25:
                            suppressed[index] = True


def suppress_non_maxima(points: npt.NDArray[np.float32], reach: float) -> npt.NDArray[np.bool_]:
    """Return which points survive non-maximum suppression across the line, where lines have weak side maxima.

    Parameters
    ----------
    points : array of shape (n, 8), float32
        As returned by :func:`centreline_points`.
    reach : float
        Distance of the suppression across a line, in nodes.
    """
    suppressed = np.zeros(len(points), np.bool_)
    if len(points):
        shifted, order, begin, cells = bin_by_cell(points, reach)
        _suppress(shifted, order, begin, cells, np.float32(reach), float(reach), suppressed)
    return ~suppressed


def bin_by_cell(points: npt.NDArray[np.floating[Any]], cell: float) -> tuple[npt.NDArray[Any], ...]:
    """Return the points moved to the origin, their order by cells, the start of each cell in it, and the grid shape."""
    shifted = points.copy()
    shifted[:, :3] -= points[:, :3].min(axis=0)
    cells = (shifted[:, :3].max(axis=0) / cell).astype(np.int64) + 1
    position = np.minimum((shifted[:, :3] / np.float32(cell)).astype(np.int64), cells - 1)
    number = np.ravel_multi_index(tuple(position.T), tuple(cells))
    order = np.argsort(number, kind="stable")
    return shifted, order, np.searchsorted(number[order], np.arange(np.prod(cells) + 1)), cells


@nb.njit(cache=True, nogil=True)
def _sum_votes(points, order, begin, cells, cell, reach, spread, votes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for index in range(len(points)):
        z, y, x = int(points[index, 0] / cell), int(points[index, 1] / cell), int(points[index, 2] / cell)
        total, highest = 0.0, 0.0
        for a in range(max(z - 1, 0), min(z + 2, cells[0])):
            for b in range(max(y - 1, 0), min(y + 2, cells[1])):
                for c in range(max(x - 1, 0), min(x + 2, cells[2])):
                    number = (a * cells[1] + b) * cells[2] + c
                    for at in range(begin[number], begin[number + 1]):
                        share = _affinity(points, index, order[at], reach, spread)
                        if share > 0:
                            total += share * points[order[at], 6]
                            highest = max(highest, points[order[at], 7])
        # At the end of a line the response has fallen to half.
        votes[index] = total if points[index, 7] >= _END_RATIO * highest else 0.0


@nb.njit(cache=True, nogil=True)
def _affinity(points, index, other, reach, spread):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return how well another point continues the line through this one: 1 for itself, 0 if it does not."""
    d0, d1, d2 = (
        points[other, 0] - points[index, 0],
        points[other, 1] - points[index, 1],
        points[other, 2] - points[index, 2],
    )
    distance2 = d0 * d0 + d1 * d1 + d2 * d2
    if distance2 > reach * reach:
        return 0.0
    n0, n1, n2 = points[index, 3], points[index, 4], points[index, 5]
    agreement = abs(n0 * points[other, 3] + n1 * points[other, 4] + n2 * points[other, 5])
    if agreement < AGREEMENT:
        return 0.0
    along = d0 * n0 + d1 * n1 + d2 * n2
    # The direction to a point closer than half a node is undefined.
    slope = max(distance2 - along * along - 0.25, 0.0) / (distance2 + 0.25)
    if slope > _MAX_SLOPE:
        return 0.0
    return agreement * agreement * (1 - slope / _MAX_SLOPE) * math.exp(-distance2 / (2 * spread * spread))


def line_votes(points: npt.NDArray[np.float32], *, spread: float, reach: float) -> Field:
    """Return the votes of each point: the strengths of the points that continue its line, and its own; 0 past an end.

    Parameters
    ----------
    points : array of shape (n, 8), float32
        As returned by :func:`centreline_points`.
    spread, reach : float
        Standard deviation of the decay of votes, and their maximum distance, in nodes.
    """
    total = np.zeros(len(points), np.float32)
    if not len(points):
        return total
    shifted, order, begin, cells = bin_by_cell(points, reach)
    _sum_votes(shifted, order, begin, cells, np.float32(reach), float(reach), float(spread), total)
    return total
