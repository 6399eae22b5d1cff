"""Where the crest of a response lies, seen from each node along its own normal."""

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
_HALF_STEPS = 10


@nb.njit(cache=True, nogil=True)
def _sample(field, z, y, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = field.shape
    z = min(max(z, 0.0), depth - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    x = min(max(x, 0.0), width - 1.001)
    i, j, k = int(z), int(y), int(x)
    f, g, h = z - i, y - j, x - k
    low = (field[i, j, k] * (1 - h) + field[i, j, k + 1] * h) * (1 - g)
    low += (field[i, j + 1, k] * (1 - h) + field[i, j + 1, k + 1] * h) * g
    high = (field[i + 1, j, k] * (1 - h) + field[i + 1, j, k + 1] * h) * (1 - g)
    high += (field[i + 1, j + 1, k] * (1 - h) + field[i + 1, j + 1, k + 1] * h) * g
    return low * (1 - f) + high * f


@nb.njit(cache=True, nogil=True)
def _climb(response, z, y, x, a, b, c, step):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Walk uphill along (a, b, c) from a node; return the crest's place in steps, and the response there."""
    here = _sample(response, z, y, x)
    ahead = _sample(response, z + step * a, y + step * b, x + step * c)
    behind = _sample(response, z - step * a, y - step * b, x - step * c)
    way = 1
    if ahead <= here and behind > here:
        way, ahead, behind = -1, behind, ahead
    at = 0
    while ahead > here:
        at += way
        behind, here = here, ahead
        if abs(at) == _HALF_STEPS:
            return np.float32(at), here
        far = (at + way) * step
        ahead = _sample(response, z + far * a, y + far * b, x + far * c)
    bend = ahead - 2 * here + behind
    shift = 0.5 * (behind - ahead) / bend if bend < 0 else 0.0
    return np.float32(at + way * shift), here


@nb.njit(cache=True, nogil=True)
def _crests(response, direction, normals, floor, reach, box, offset, height):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    step = reach / _HALF_STEPS
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                if response[i, j, k] < floor:
                    continue
                a, b, c = normals[direction[i, j, k]]
                place, top = _climb(response, i, j, k, a, b, c, step)
                offset[i, j, k] = place * step
                height[i, j, k] = top


def crests(
    response: Field,
    direction: npt.NDArray[np.uint8],
    normals: Field,
    *,
    floor: float,
    reach: float,
    box: npt.NDArray[np.int64],
) -> tuple[Field, Field]:
    """Find, along the normal of every node, the nearest crest of the response uphill.

    Parameters
    ----------
    response : array of shape (z, y, x), float32
    direction : array of shape (z, y, x), uint8
        Index of each node's normal.
    normals : array of shape (n, 3), float32
    floor : float
        Nodes with less than this are left out: offset `reach`, height 0.
    reach : float
        How far to look, in nodes.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of those to be done; the others are left out.

    Returns
    -------
    offset : array of shape (z, y, x), float32
        Signed distance in nodes along the normal to the crest.
    height : array of shape (z, y, x), float32
        Response there.
    """
    offset = np.full(response.shape, reach, np.float32)
    height = np.zeros(response.shape, np.float32)
    _crests(response, direction, normals, np.float32(floor), np.float32(reach), box, offset, height)
    return offset, height
