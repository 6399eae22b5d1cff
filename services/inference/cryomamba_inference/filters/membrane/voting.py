"""Grouping of ridge points by votes, in the manner of tensor voting.

Ridge points vote for each other. A vote is weighted by distance, by the slope of the line between the two points, and
by how well the two normals agree with a common sphere (the co-circularity of tensor voting: Medioni, Lee and Tang,
2000). Blobs and noise have few neighbours that agree; membranes, flat or curved, have many. A weighted least-squares
fit of the senders' heights gives the smooth surface through all of them, and their distribution along z shows where a
surface ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.membrane.ridges import RidgePoints

Field = npt.NDArray[np.float32]
_MAX_SLOPE = np.float32(0.25)  # squared sine of the steepest line to a sender, above the tangent plane
_MIN_AGREEMENT = 0.6  # cosine between the sender's normal and the one that a common sphere implies
_OWN_WEIGHT = np.float32(2.0)  # weight of the receiver itself in the fit, as a multiple of its strength


@dataclass(frozen=True, slots=True)
class VoteResult:
    """The votes of ridge points; all arrays in the order of `indices`.

    Attributes
    ----------
    indices : array of shape (n,), int64
        Indices of the ridge points whose votes were summed.
    votes : array of shape (n,), float32
        Votes received, plus the point's own strength.
    shift : array of shape (n,), float32
        Height of the fitted sphere above the point, along its normal, in nodes.
    curvature : array of shape (n,), float32
        Curvature of that sphere in 1 / nodes; positive if it curves towards the normal.
    asymmetry : array of shape (n,), float32
        Weighted mean z of the senders relative to the point, in vote ranges: 0 in the interior of a surface, about 0.6
        at its lower end.
    """

    indices: npt.NDArray[np.int64]
    votes: Field
    shift: Field
    curvature: Field
    asymmetry: Field


def _offsets(range_nodes: float, reach: float) -> tuple[npt.NDArray[np.int64], Field]:
    radius = int(reach)
    axis = np.arange(-radius, radius + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    r2 = (grid**2).sum(axis=1)
    # Every second node (checkerboard) is enough.
    used = (r2 > 0) & (r2 <= reach * reach) & (grid.sum(axis=1) % 2 == 0)
    return grid[used], np.exp(-r2[used] / (2 * range_nodes**2)).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _vote(points, positions, indices, index_map, grid, jump, decay, votes, shift, curvature, asymmetry):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Sum the votes for the points `indices`; a point has a strength, normal, offset to the ridge, and squared height.

    The heights h of the senders above the tangent plane are fitted by h = shift + curvature / 2 · r² with weighted
    least squares; s_w, s_r2, s_r4, s_h and s_hr2 are the weighted sums of 1, r², r⁴, h and h r².
    """
    for n in range(indices.size):
        receiver = indices[n]
        n0, n1, n2 = points[receiver, 1], points[receiver, 2], points[receiver, 3]
        d0, d1, d2 = points[receiver, 4], points[receiver, 5], points[receiver, 6]
        position = positions[receiver]
        total = points[receiver, 0]
        s_w, s_r2, s_r4 = _OWN_WEIGHT * total, np.float32(0), np.float32(1e-6)
        s_h, s_hr2 = np.float32(0), np.float32(0)
        s_mass, s_mass_z = points[receiver, 7], np.float32(0)
        for q in range(jump.size):
            sender = index_map[position + jump[q]]
            if sender < 0:
                continue
            m0, m1, m2 = points[sender, 1], points[sender, 2], points[sender, 3]
            a = grid[q, 0] + points[sender, 4] - d0
            b = grid[q, 1] + points[sender, 5] - d1
            c = grid[q, 2] + points[sender, 6] - d2
            height = a * n0 + b * n1 + c * n2
            r2 = a * a + b * b + c * c + np.float32(1e-3)
            if height * height > _MAX_SLOPE * r2:
                continue
            slope = height * height / r2
            agreement = n0 * m0 + n1 * m1 + n2 * m2 - 2 * height * (a * m0 + b * m1 + c * m2) / r2
            agreement *= agreement
            if agreement < _MIN_AGREEMENT * _MIN_AGREEMENT:
                continue
            flatness = 1 - slope * np.float32(1 / _MAX_SLOPE)
            kernel = decay[q] * agreement * agreement * flatness * flatness
            vote = points[sender, 0] * kernel
            total += vote
            s_w += vote
            s_r2 += vote * r2
            s_r4 += vote * r2 * r2
            s_h += vote * height
            s_hr2 += vote * height * r2
            kernel *= points[sender, 7]
            s_mass += kernel
            s_mass_z += kernel * a
        votes[n] = total
        # Solution of the normal equations (Cramer's rule).
        determinant = max(s_w * s_r4 - s_r2 * s_r2, np.float32(1e-6))
        curvature[n] = 2 * (s_w * s_hr2 - s_r2 * s_h) / determinant
        shift[n] = (s_h * s_r4 - s_r2 * s_hr2) / determinant
        asymmetry[n] = s_mass_z / max(s_mass, np.float32(1e-6))


def vote(
    ridges: RidgePoints,
    strength: Field,
    shape: tuple[int, ...],
    *,
    range_nodes: float,
    reach: float,
    box: npt.NDArray[np.int64],
) -> VoteResult:
    """Let ridge points vote for each other.

    Parameters
    ----------
    strength : array of shape (n,), float32
        Weight of each point's vote.
    shape : tuple of int
        Shape of the field in which the ridge points were found.
    range_nodes : float
        Standard deviation in nodes of the Gaussian decay of votes.
    reach : float
        Maximum distance of senders in nodes.
    box : array of shape (3, 2), int64
        First and one-past-last node along each axis of the receivers; all points are senders.
    """
    grid, decay = _offsets(range_nodes, reach)
    pad = int(reach)
    to_ridge = ridges.offset[:, None] * ridges.normals
    points = np.column_stack([strength, ridges.normals, to_ridge, ridges.height**2]).astype(np.float32)
    padded_shape = [n + 2 * pad for n in shape]
    positions = np.ravel_multi_index(tuple(ridges.nodes.T.astype(np.int64) + pad), padded_shape)
    index_map = np.full(math.prod(padded_shape), -1, np.int32)
    index_map[positions] = np.arange(len(positions), dtype=np.int32)
    indices = np.flatnonzero(((ridges.nodes >= box[:, 0]) & (ridges.nodes < box[:, 1])).all(axis=1))
    outputs = [np.empty(len(indices), np.float32) for _ in range(4)]
    jump = (grid[:, 0] * padded_shape[1] + grid[:, 1]) * padded_shape[2] + grid[:, 2]
    _vote(points, positions, indices, index_map, grid.astype(np.float32), jump, decay, *outputs)
    outputs[3] /= np.float32(range_nodes)
    return VoteResult(indices, *outputs)
