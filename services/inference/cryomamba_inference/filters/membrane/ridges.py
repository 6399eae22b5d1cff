"""Ridge detection: maxima of a response along its normal, with sub-node precision.

A node is next to a ridge if the response has a maximum along the node's normal close by (height ridges: Eberly, 1996).
Between nodes the response is interpolated by cubic convolution (Keys, IEEE TASSP 1981), because the position of a ridge
determines the surfaces of the mask, and linear interpolation would draw it towards the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
_MAX_OFFSET = 0.7
"""Maximum distance in nodes of a node from its ridge: every ridge has nodes, and few ridges have two along a normal."""
_FIRST_SPACING, _SECOND_SPACING = 0.55, 0.35  # nodes between the samples of the two parabola fits
_HALF, _ONE, _THREE_HALVES, _FIVE_HALVES = (np.float32(value) for value in (0.5, 1, 1.5, 2.5))


@dataclass(frozen=True, slots=True)
class RidgePoints:
    """Nodes next to a ridge, in the order of the field.

    Attributes
    ----------
    nodes : array of shape (n, 3), int32
        Node numbers z, y, x.
    offset : array of shape (n,), float32
        Signed distance in nodes from each node to the ridge, along its normal.
    height : array of shape (n,), float32
        Response on the ridge.
    normals : array of shape (n, 3), float32
    """

    nodes: npt.NDArray[np.int32]
    offset: Field
    height: Field
    normals: Field


@nb.njit(cache=True, nogil=True, inline="always")
def _cubic_weights(fraction):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    complement = _ONE - fraction
    return (
        -_HALF * fraction * complement * complement,
        _ONE + fraction * fraction * (_THREE_HALVES * fraction - _FIVE_HALVES),
        _ONE + complement * complement * (_THREE_HALVES * complement - _FIVE_HALVES),
        -_HALF * complement * fraction * fraction,
    )


@nb.njit(cache=True, nogil=True)
def _interpolate(field, z, y, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = field.shape
    i, j, k = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
    wz, wy, wx = _cubic_weights(np.float32(z - i)), _cubic_weights(np.float32(y - j)), _cubic_weights(np.float32(x - k))
    k0, k1, k2, k3 = max(k - 1, 0), min(max(k, 0), width - 1), min(k + 1, width - 1), min(k + 2, width - 1)
    total = np.float32(0)
    for a in range(4):
        at_z = min(max(i - 1 + a, 0), depth - 1)
        plane = np.float32(0)
        for b in range(4):
            row = field[at_z, min(max(j - 1 + b, 0), height - 1)]
            plane += wy[b] * (wx[0] * row[k0] + wx[1] * row[k1] + wx[2] * row[k2] + wx[3] * row[k3])
        total += wz[a] * plane
    return total


@nb.njit(cache=True, nogil=True)
def _peak(before, here, after, spacing):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return position and height of the maximum of a parabola through three equidistant values; 9 if there is none."""
    second = after - 2 * here + before
    first_difference = np.float32(0.5) * (after - before)
    if second >= 0 or abs(first_difference) > -2 * second:
        return np.float32(9), here
    shift = -first_difference / second
    return shift * spacing, here + np.float32(0.5) * first_difference * shift


@nb.njit(cache=True, nogil=True)
def _find(response, direction, normals, floor, box, nodes, offset, height):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count, first_spacing, second_spacing = 0, np.float32(_FIRST_SPACING), np.float32(_SECOND_SPACING)
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                here = response[i, j, k]
                if here < floor:
                    continue
                a, b, c = normals[direction[i, j, k]]
                before = _interpolate(response, i - first_spacing * a, j - first_spacing * b, k - first_spacing * c)
                after = _interpolate(response, i + first_spacing * a, j + first_spacing * b, k + first_spacing * c)
                offset_here, peak = _peak(before, here, after, first_spacing)
                if abs(offset_here) > np.float32(1.2):
                    continue
                z, y, x = i + offset_here * a, j + offset_here * b, k + offset_here * c
                before = _interpolate(response, z - second_spacing * a, y - second_spacing * b, x - second_spacing * c)
                here = _interpolate(response, z, y, x)
                after = _interpolate(response, z + second_spacing * a, y + second_spacing * b, x + second_spacing * c)
                shift, peak = _peak(before, here, after, second_spacing)
                offset_here += shift
                if abs(offset_here) > np.float32(_MAX_OFFSET) or peak < floor:
                    continue
                nodes[count, 0], nodes[count, 1], nodes[count, 2] = i, j, k
                offset[count], height[count] = offset_here, peak
                count += 1
    return count


def find_ridge_points(
    response: Field, direction: npt.NDArray[np.uint8], normals: Field, *, floor: float, box: npt.NDArray[np.int64]
) -> RidgePoints:
    """Find the nodes that have a ridge close by along their normal.

    Parameters
    ----------
    response : array of shape (z, y, x), float32
    direction : array of shape (z, y, x), uint8
        Index of each node's normal in `normals`.
    normals : array of shape (n, 3), float32
    floor : float
        Minimum response of nodes and ridges.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of the nodes that are examined.
    """
    part = response[box[0, 0] : box[0, 1], box[1, 0] : box[1, 1], box[2, 0] : box[2, 1]]
    capacity = int(np.count_nonzero(part >= np.float32(floor)))
    nodes, offset, height = (
        np.empty((capacity, 3), np.int32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
    )
    count = _find(response, direction, normals, np.float32(floor), box, nodes, offset, height)
    nodes = nodes[:count]
    return RidgePoints(nodes, offset[:count], height[:count], normals[direction[tuple(nodes.T)]])
