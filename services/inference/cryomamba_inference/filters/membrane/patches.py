"""From ridge points to fields: each node's distance from the nearest surface, and the votes of that surface."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
FAR = np.float32(3)  # distance in nodes assigned to nodes that are not near a surface
_MAX_LATERAL = np.float32(1.3)  # radius of a patch in nodes
# A node belongs to the patch with the most votes, discounted by the distance in the plane of the patch and from it.
_LATERAL_COST, _HEIGHT_COST = np.float32(1.0), np.float32(0.1)
_REACH = 3  # nodes around a ridge point that are examined


@nb.njit(cache=True, nogil=True, fastmath=True)
def _rasterize(nodes, normals, shift, curvature, votes, distance, best_claim, nearest_votes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = distance.shape
    for n in range(votes.size):
        a, b, c = normals[n]
        i, j, k = nodes[n]
        for z in range(max(i - _REACH, 0), min(i + _REACH + 1, depth)):
            for y in range(max(j - _REACH, 0), min(j + _REACH + 1, height)):
                p = (z - i) * a + (y - j) * b
                q = (z - i) * (z - i) + (y - j) * (y - j)
                for x in range(max(k - _REACH, 0), min(k + _REACH + 1, width)):
                    elevation = p + (x - k) * c
                    lateral2 = q + (x - k) * (x - k) - elevation * elevation
                    if lateral2 > _MAX_LATERAL * _MAX_LATERAL:
                        continue
                    residual = abs(elevation - shift[n] - np.float32(0.5) * curvature[n] * lateral2)
                    if residual >= FAR:
                        continue
                    penalty = np.float32(1) + _LATERAL_COST * lateral2 + _HEIGHT_COST * residual * residual
                    claim = votes[n] / (penalty * penalty)
                    if claim > best_claim[z, y, x]:
                        best_claim[z, y, x] = claim
                        distance[z, y, x] = residual
                        nearest_votes[z, y, x] = votes[n]


def rasterize_patches(
    nodes: npt.NDArray[np.int32], normals: Field, shift: Field, curvature: Field, votes: Field, shape: tuple[int, ...]
) -> tuple[Field, Field]:
    """Rasterize a small spherical patch at every ridge point.

    Parameters
    ----------
    nodes : array of shape (n, 3), int32
    normals : array of shape (n, 3), float32
    shift : array of shape (n,), float32
        Distance in nodes from each node along its normal to the surface.
    curvature : array of shape (n,), float32
        In 1 / nodes; positive if the surface curves towards the normal.
    votes : array of shape (n,), float32
    shape : tuple of int
        Shape of the results.

    Returns
    -------
    distance : array of `shape`, float32
        Distance in nodes from the nearest patch; `FAR` if none is near.
    nearest_votes : array of `shape`, float32
        Votes of that patch; 0 if none is near.
    """
    distance, nearest_votes = np.full(shape, FAR, np.float32), np.zeros(shape, np.float32)
    best_claim = np.zeros(shape, np.float32)
    _rasterize(nodes, normals, shift, curvature, votes, distance, best_claim, nearest_votes)
    return distance, nearest_votes
