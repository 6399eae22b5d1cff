"""Voting: a piece of surface is believed when its neighbours continue it.

Crest nodes send votes to each other. A vote counts by distance, by how flat the way between the two is, and by how
well the neighbour's normal is the mirror image that a common sphere would give (the co-circularity of tensor voting:
Medioni, Lee and Tang, 2000). Blobs and noise have few neighbours that agree; membranes, flat or curved, have many.
"""

import math

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
_STEEPEST = np.float32(0.25)
_LEAST_AGREEMENT = 0.6


def _offsets(range_nodes: float, reach: float) -> tuple[npt.NDArray[np.int64], Field]:
    most = int(reach)
    axis = np.arange(-most, most + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    square = (grid**2).sum(axis=1)
    # Every second node, like the black squares of a chess board, says as much as all of them.
    near = (square > 0) & (square <= reach * reach) & (grid.sum(axis=1) % 2 == 0)
    return grid[near], np.exp(-square[near] / (2 * range_nodes**2)).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _vote(voters, places, asked, who, grid, jump, fade, votes, bend):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Count the votes for the voters `asked`; a voter is its weight, its normal and the way to its crest."""
    for n in range(asked.size):
        me = asked[n]
        n0, n1, n2 = voters[me, 1], voters[me, 2], voters[me, 3]
        d0, d1, d2 = voters[me, 4], voters[me, 5], voters[me, 6]
        here = places[me]
        total, climb, length = voters[me, 0], np.float32(0), np.float32(1e-6)
        for q in range(jump.size):
            other = who[here + jump[q]]
            if other < 0:
                continue
            m0, m1, m2 = voters[other, 1], voters[other, 2], voters[other, 3]
            a = grid[q, 0] + voters[other, 4] - d0
            b = grid[q, 1] + voters[other, 5] - d1
            c = grid[q, 2] + voters[other, 6] - d2
            up = a * n0 + b * n1 + c * n2
            square = a * a + b * b + c * c + np.float32(1e-3)
            if up * up > _STEEPEST * square:
                continue
            steep = up * up / square
            agree = n0 * m0 + n1 * m1 + n2 * m2 - 2 * up * (a * m0 + b * m1 + c * m2) / square
            agree *= agree
            if agree < _LEAST_AGREEMENT * _LEAST_AGREEMENT:
                continue
            level = 1 - steep * np.float32(1 / _STEEPEST)
            vote = voters[other, 0] * fade[q] * agree * agree * level * level
            total += vote
            climb += vote * 2 * up
            length += vote * square
        votes[n] = total
        bend[n] = climb / length


def vote(
    strength: Field,
    offset: Field,
    direction: npt.NDArray[np.uint8],
    normals: Field,
    *,
    range_nodes: float,
    reach: float,
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
    reach : float
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
    pad = int(reach)
    at = np.nonzero(strength)
    normal = normals[direction[at]]
    voters = np.column_stack([strength[at], normal, offset[at][:, None] * normal]).astype(np.float32)
    shape = [n + 2 * pad for n in strength.shape]
    places = np.ravel_multi_index([index + pad for index in at], shape)
    who = np.full(math.prod(shape), -1, np.int32)
    who[places] = np.arange(len(places), dtype=np.int32)
    asked = np.flatnonzero(
        np.logical_and.reduce([(index >= low) & (index < high) for index, (low, high) in zip(at, box, strict=True)])
    )
    votes, curve = np.empty(len(asked), np.float32), np.empty(len(asked), np.float32)
    jump = (grid[:, 0] * shape[1] + grid[:, 1]) * shape[2] + grid[:, 2]
    _vote(voters, places, asked, who, grid.astype(np.float32), jump, fade, votes, curve)
    total, bend = np.zeros_like(strength), np.zeros_like(strength)
    here = tuple(index[asked] for index in at)
    total[here], bend[here] = votes, curve
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
