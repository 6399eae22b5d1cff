"""Voting: a piece of surface is believed when its neighbours continue it.

Crest nodes send votes to each other. A vote counts by distance, by how flat the way between the two is, and by how
well the neighbour's normal is the mirror image that a common sphere would give (the co-circularity of tensor voting:
Medioni, Lee and Tang, 2000). Blobs and noise have few neighbours that agree; membranes, flat or curved, have many.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
_STEEPEST = np.float32(0.25)
_LEAST_AGREEMENT = 0.6


def _offsets(range_nodes: float, reach: int) -> tuple[npt.NDArray[np.int64], Field]:
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    square = (grid**2).sum(axis=1)
    # Every second node, like the black squares of a chess board, says as much as all of them.
    near = (square > 0) & (square <= reach * reach) & (grid.sum(axis=1) % 2 == 0)
    return grid[near], np.exp(-square[near] / (2 * range_nodes**2)).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _vote(strength, flat, offset, direction, normals, grid, jump, fade, reach, box, total, bend):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    height, width = strength.shape[1:]
    row, plane = width + 2 * reach, (height + 2 * reach) * (width + 2 * reach)
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                if strength[i, j, k] <= 0:
                    continue
                n0, n1, n2 = normals[direction[i, j, k]]
                d = offset[i, j, k]
                here = (i + reach) * plane + (j + reach) * row + k + reach
                votes, climb, length = strength[i, j, k], np.float32(0), np.float32(1e-6)
                for q in range(jump.size):
                    other = flat[here + jump[q]]
                    if other <= 0:
                        continue
                    u, v, w = i + grid[q, 0], j + grid[q, 1], k + grid[q, 2]
                    m0, m1, m2 = normals[direction[u, v, w]]
                    e = offset[u, v, w]
                    a = grid[q, 0] + e * m0 - d * n0
                    b = grid[q, 1] + e * m1 - d * n1
                    c = grid[q, 2] + e * m2 - d * n2
                    up = a * n0 + b * n1 + c * n2
                    square = a * a + b * b + c * c + np.float32(1e-3)
                    steep = up * up / square
                    if steep > _STEEPEST:
                        continue
                    agree = n0 * m0 + n1 * m1 + n2 * m2 - 2 * up * (a * m0 + b * m1 + c * m2) / square
                    agree *= agree
                    if agree < _LEAST_AGREEMENT * _LEAST_AGREEMENT:
                        continue
                    level = 1 - steep * np.float32(1 / _STEEPEST)
                    vote = other * fade[q] * agree * agree * level * level
                    votes += vote
                    climb += vote * 2 * up
                    length += vote * square
                total[i, j, k] = votes
                bend[i, j, k] = climb / length


def vote(
    strength: Field,
    offset: Field,
    direction: npt.NDArray[np.uint8],
    normals: Field,
    *,
    range_nodes: float,
    reach: int,
    box: npt.NDArray[np.int64],
) -> tuple[Field, Field]:
    """Let crest nodes vote for each other.

    Parameters
    ----------
    strength : array of shape (z, y, x), float32
        Weight of each crest node, 0 elsewhere.
    offset : array of shape (z, y, x), float32
        Signed distance in nodes along its normal from each node to its crest.
    direction : array of shape (z, y, x), uint8
        Index of each node's normal.
    normals : array of shape (n, 3), float32
    range_nodes : float
        Deviation in nodes over which votes fade.
    reach : int
        Nodes beyond which nobody is asked.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of those whose votes are counted; all give them.

    Returns
    -------
    total : array of shape (z, y, x), float32
        Votes received and the node's own strength; 0 where there is no crest.
    bend : array of shape (z, y, x), float32
        Mean normal curvature in 1 / nodes, positive where the surface bends towards the normal.
    """
    grid, fade = _offsets(range_nodes, reach)
    padded = np.pad(strength, reach)
    jump = (grid[:, 0] * padded.shape[1] + grid[:, 1]) * padded.shape[2] + grid[:, 2]
    total, bend = np.zeros_like(strength), np.zeros_like(strength)
    flat = padded.reshape(-1)
    _vote(strength, flat, offset, direction, normals, grid, jump, fade, reach, box, total, bend)
    return total, bend


@nb.njit(cache=True, nogil=True)
def _carry(total, bend, offset, direction, normals, near, result, curve):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = total.shape
    for i in range(depth):
        for j in range(height):
            for k in range(width):
                if abs(offset[i, j, k]) >= near:
                    continue
                a, b, c = normals[direction[i, j, k]]
                for half in range(3):
                    far = offset[i, j, k] + np.float32(0.5) * (half - 1)
                    z, y, x = round(i + far * a), round(j + far * b), round(k + far * c)
                    if not (0 <= z < depth and 0 <= y < height and 0 <= x < width):
                        continue
                    if total[z, y, x] > result[i, j, k]:
                        m0, m1, m2 = normals[direction[z, y, x]]
                        result[i, j, k] = total[z, y, x]
                        curve[i, j, k] = bend[z, y, x] if a * m0 + b * m1 + c * m2 > 0 else -bend[z, y, x]


def carry(
    total: Field, bend: Field, offset: Field, direction: npt.NDArray[np.uint8], normals: Field, *, near: float
) -> tuple[Field, Field]:
    """Give the nodes beside a crest, up to `near` nodes away, the votes and the curvature of their foot on it."""
    result, curve = np.zeros_like(total), np.zeros_like(total)
    _carry(total, bend, offset, direction, normals, np.float32(near), result, curve)
    return result, curve
