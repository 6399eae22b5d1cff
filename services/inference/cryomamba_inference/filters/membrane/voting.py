"""Voting: a piece of surface is believed when its neighbours continue it.

Crest nodes send votes to each other. A vote counts by distance, by how flat the way between the two is, and by how
well the neighbour's normal is the mirror image that a common sphere would give (the co-circularity of tensor voting:
Medioni, Lee and Tang, 2000). Blobs and noise have few neighbours that agree; membranes, flat or curved, have many.
The voters' heights above each other also tell where a smooth surface through all of them lies, and whether they stand
on one side only: there a surface ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.membrane.ridges import RidgePoints

Field = npt.NDArray[np.float32]
_STEEPEST = np.float32(0.25)
_LEAST_AGREEMENT = 0.6
_OWN_WEIGHT = np.float32(2.0)


@dataclass(frozen=True, slots=True)
class VoteResult:
    """What the voters that were asked were told; all arrays in the order of `asked`.

    Attributes
    ----------
    asked : array of shape (n,), int64
        Numbers of those crests whose votes were counted.
    votes : array of shape (n,), float32
        Votes received and the crest's own strength.
    shift : array of shape (n,), float32
        How far above its crest, along its normal and in nodes, the sphere through its voters passes.
    bend : array of shape (n,), float32
        Curvature of that sphere in 1 / nodes, positive where it bends towards the normal.
    lean : array of shape (n,), float32
        How far the voters' centre of gravity lies above the crest along z, in ranges, strong voters counting more; 0
        in the middle of a surface, about 0.6 at its lower end.
    """

    asked: npt.NDArray[np.int64]
    votes: Field
    shift: Field
    bend: Field
    lean: Field


def _offsets(range_nodes: float, reach: float) -> tuple[npt.NDArray[np.int64], Field]:
    most = int(reach)
    axis = np.arange(-most, most + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    square = (grid**2).sum(axis=1)
    # Every second node, like the black squares of a chess board, says as much as all of them.
    near = (square > 0) & (square <= reach * reach) & (grid.sum(axis=1) % 2 == 0)
    return grid[near], np.exp(-square[near] / (2 * range_nodes**2)).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _vote(voters, places, asked, who, grid, jump, fade, votes, shift, bend, lean):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Count the votes for the voters `asked`; a voter is its weight, normal, way to its crest, and height squared."""
    for n in range(asked.size):
        me = asked[n]
        n0, n1, n2 = voters[me, 1], voters[me, 2], voters[me, 3]
        d0, d1, d2 = voters[me, 4], voters[me, 5], voters[me, 6]
        here = places[me]
        total = voters[me, 0]
        weight, far, farther = _OWN_WEIGHT * total, np.float32(0), np.float32(1e-6)
        climb, climb_far = np.float32(0), np.float32(0)
        mass, rise = voters[me, 7], np.float32(0)
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
            share = fade[q] * agree * agree * level * level
            vote = voters[other, 0] * share
            total += vote
            weight += vote
            far += vote * square
            farther += vote * square * square
            climb += vote * up
            climb_far += vote * up * square
            share *= voters[other, 7]
            mass += share
            rise += share * a
        votes[n] = total
        # Least squares of the heights by 1 and the squared distance.
        apart = max(weight * farther - far * far, np.float32(1e-6))
        bend[n] = 2 * (weight * climb_far - far * climb) / apart
        shift[n] = (climb * farther - far * climb_far) / apart
        lean[n] = rise / max(mass, np.float32(1e-6))


def vote(
    crests: RidgePoints,
    strength: Field,
    shape: tuple[int, ...],
    *,
    range_nodes: float,
    reach: float,
    box: npt.NDArray[np.int64],
) -> VoteResult:
    """Let crests vote for each other.

    Parameters
    ----------
    crests : Crests
    strength : array of shape (n,), float32
        Weight of each crest's vote.
    shape : tuple of int
        Of the field in which the crests were found.
    range_nodes : float
        Deviation in nodes over which votes fade.
    reach : float
        Nodes beyond which nobody is asked.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of those whose votes are counted; all give them.
    """
    grid, fade = _offsets(range_nodes, reach)
    pad = int(reach)
    ways = crests.offset[:, None] * crests.normals
    voters = np.column_stack([strength, crests.normals, ways, crests.height**2]).astype(np.float32)
    wide = [n + 2 * pad for n in shape]
    places = np.ravel_multi_index(tuple(crests.nodes.T.astype(np.int64) + pad), wide)
    who = np.full(math.prod(wide), -1, np.int32)
    who[places] = np.arange(len(places), dtype=np.int32)
    asked = np.flatnonzero(((crests.nodes >= box[:, 0]) & (crests.nodes < box[:, 1])).all(axis=1))
    found = [np.empty(len(asked), np.float32) for _ in range(4)]
    jump = (grid[:, 0] * wide[1] + grid[:, 1]) * wide[2] + grid[:, 2]
    _vote(voters, places, asked, who, grid.astype(np.float32), jump, fade, *found)
    found[3] /= np.float32(range_nodes)
    return VoteResult(asked, *found)
