"""Crests of a response: the nodes beside them, and where between the nodes they lie.

Between nodes the response is interpolated by cubic convolution (Keys, IEEE TASSP 1981), because the place of a crest
decides where the mask's faces lie: with linear interpolation it is drawn to the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
_NEAR = 0.7
"""Nodes between a node and its crest; wide enough that every crest has nodes, narrow enough that few have two."""
_FIRST, _SECOND = 0.55, 0.35
_HALF, _ONE, _THREE_HALVES, _FIVE_HALVES = (np.float32(value) for value in (0.5, 1, 1.5, 2.5))


@dataclass(frozen=True, slots=True)
class RidgePoints:
    """Nodes beside a crest, in the order of the field.

    Attributes
    ----------
    nodes : array of shape (n, 3), int32
        Node numbers z, y, x.
    offset : array of shape (n,), float32
        Signed distance in nodes along its normal from each node to the crest.
    height : array of shape (n,), float32
        Response on the crest.
    normals : array of shape (n, 3), float32
    """

    nodes: npt.NDArray[np.int32]
    offset: Field
    height: Field
    normals: Field


@nb.njit(cache=True, nogil=True, inline="always")
def _weights(share):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    rest = _ONE - share
    return (
        -_HALF * share * rest * rest,
        _ONE + share * share * (_THREE_HALVES * share - _FIVE_HALVES),
        _ONE + rest * rest * (_THREE_HALVES * rest - _FIVE_HALVES),
        -_HALF * rest * share * share,
    )


@nb.njit(cache=True, nogil=True)
def _sample(field, z, y, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = field.shape
    i, j, k = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
    wz, wy, wx = _weights(np.float32(z - i)), _weights(np.float32(y - j)), _weights(np.float32(x - k))
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
def _peak(behind, here, ahead, step):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the place and height of the parabola's peak through three values `step` apart; 9 if it has none near."""
    bend = ahead - 2 * here + behind
    slope = np.float32(0.5) * (ahead - behind)
    if bend >= 0 or abs(slope) > -2 * bend:
        return np.float32(9), here
    shift = -slope / bend
    return shift * step, here + np.float32(0.5) * slope * shift


@nb.njit(cache=True, nogil=True)
def _find(response, direction, normals, floor, box, nodes, offset, height):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count, first, second = 0, np.float32(_FIRST), np.float32(_SECOND)
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                here = response[i, j, k]
                if here < floor:
                    continue
                a, b, c = normals[direction[i, j, k]]
                behind = _sample(response, i - first * a, j - first * b, k - first * c)
                ahead = _sample(response, i + first * a, j + first * b, k + first * c)
                place, top = _peak(behind, here, ahead, first)
                if abs(place) > np.float32(1.2):
                    continue
                z, y, x = i + place * a, j + place * b, k + place * c
                behind = _sample(response, z - second * a, y - second * b, x - second * c)
                here = _sample(response, z, y, x)
                ahead = _sample(response, z + second * a, y + second * b, x + second * c)
                shift, top = _peak(behind, here, ahead, second)
                place += shift
                if abs(place) > np.float32(_NEAR) or top < floor:
                    continue
                nodes[count, 0], nodes[count, 1], nodes[count, 2] = i, j, k
                offset[count], height[count] = place, top
                count += 1
    return count


def find_crests(
    response: Field, direction: npt.NDArray[np.uint8], normals: Field, *, floor: float, box: npt.NDArray[np.int64]
) -> RidgePoints:
    """Find the nodes that have a crest close by along their normal.

    Parameters
    ----------
    response : array of shape (z, y, x), float32
    direction : array of shape (z, y, x), uint8
        Index of each node's normal.
    normals : array of shape (n, 3), float32
    floor : float
        Nodes and crests with less than this are left out.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of those that are looked at.
    """
    part = response[box[0, 0] : box[0, 1], box[1, 0] : box[1, 1], box[2, 0] : box[2, 1]]
    most = int(np.count_nonzero(part >= np.float32(floor)))
    nodes, offset, height = np.empty((most, 3), np.int32), np.empty(most, np.float32), np.empty(most, np.float32)
    count = _find(response, direction, normals, np.float32(floor), box, nodes, offset, height)
    nodes = nodes[:count]
    return RidgePoints(nodes, offset[:count], height[:count], normals[direction[tuple(nodes.T)]])
