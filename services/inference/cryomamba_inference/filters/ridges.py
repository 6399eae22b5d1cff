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
def _climb(profile):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Walk uphill from the middle of a profile; return the crest's place in samples from the middle, and height."""
    last = profile.size - 1
    at = last // 2
    while True:
        if at < last and profile[at + 1] > profile[at]:
            at += 1
        elif at > 0 and profile[at - 1] > profile[at]:
            at -= 1
        else:
            break
    shift = 0.0
    if 0 < at < last:
        bend = profile[at - 1] - 2 * profile[at] + profile[at + 1]
        if bend < 0:
            shift = 0.5 * (profile[at - 1] - profile[at + 1]) / bend
    return at - last // 2 + shift, profile[at]


@nb.njit(cache=True, nogil=True)
def _crests(response, direction, normals, floor, reach, box, offset, height):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    profile = np.empty(2 * _HALF_STEPS + 1, np.float32)
    step = reach / _HALF_STEPS
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                if response[i, j, k] < floor:
                    continue
                a, b, c = normals[direction[i, j, k]]
                for n in range(-_HALF_STEPS, _HALF_STEPS + 1):
                    away = n * step
                    profile[n + _HALF_STEPS] = _sample(response, i + away * a, j + away * b, k + away * c)
                place, top = _climb(profile)
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
