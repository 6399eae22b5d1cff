"""From crests to fields: how far each node is from the nearest surface, and how much that surface is believed."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
FAR = np.float32(3)
"""Distance in nodes of whatever is not near a surface."""
_MAX_LATERAL = np.float32(1.3)
_LATERAL_COST, _HEIGHT_COST = np.float32(1.0), np.float32(0.1)
_REACH = 3


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
    """Lay a small piece of a sphere at every crest and tell the nodes around.

    Parameters
    ----------
    nodes : array of shape (n, 3), int32
    normals : array of shape (n, 3), float32
    shift : array of shape (n,), float32
        Distance in nodes from each node along its normal to the surface.
    bend : array of shape (n,), float32
        Curvature in 1 / nodes, positive where the surface bends towards the normal.
    votes : array of shape (n,), float32
    shape : tuple of int
        Of the results.

    Returns
    -------
    distance : array of `shape`, float32
        Nodes to the surface of the nearest crest; `FAR` where none is near.
    belief : array of `shape`, float32
        Most votes of the crests beside; 0 where there is none.
    """
    distance, nearest_votes = np.full(shape, FAR, np.float32), np.zeros(shape, np.float32)
    best_claim = np.zeros(shape, np.float32)
    _rasterize(nodes, normals, shift, curvature, votes, distance, best_claim, nearest_votes)
    return distance, nearest_votes
