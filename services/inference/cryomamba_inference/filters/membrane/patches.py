"""From crests to fields: how far each node is from the nearest surface, and how much that surface is believed."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
FAR = np.float32(3)
"""Distance in nodes of whatever is not near a surface."""
_ASIDE = np.float32(1.3)
_SIDEWAYS, _UPWARDS = np.float32(1.0), np.float32(0.1)
_SPAN = 3


@nb.njit(cache=True, nogil=True, fastmath=True)
def _lay(nodes, normals, shift, bend, votes, distance, strongest, belief):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = distance.shape
    for n in range(votes.size):
        a, b, c = normals[n]
        i, j, k = nodes[n]
        for z in range(max(i - _SPAN, 0), min(i + _SPAN + 1, depth)):
            for y in range(max(j - _SPAN, 0), min(j + _SPAN + 1, height)):
                p = (z - i) * a + (y - j) * b
                q = (z - i) * (z - i) + (y - j) * (y - j)
                for x in range(max(k - _SPAN, 0), min(k + _SPAN + 1, width)):
                    up = p + (x - k) * c
                    aside = q + (x - k) * (x - k) - up * up
                    if aside > _ASIDE * _ASIDE:
                        continue
                    away = abs(up - shift[n] - np.float32(0.5) * bend[n] * aside)
                    if away >= FAR:
                        continue
                    gap = np.float32(1) + _SIDEWAYS * aside + _UPWARDS * away * away
                    claim = votes[n] / (gap * gap)
                    if claim > strongest[z, y, x]:
                        strongest[z, y, x] = claim
                        distance[z, y, x] = away
                        belief[z, y, x] = votes[n]


def lay_patches(
    nodes: npt.NDArray[np.int32], normals: Field, shift: Field, bend: Field, votes: Field, shape: tuple[int, ...]
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
    distance, belief = np.full(shape, FAR, np.float32), np.zeros(shape, np.float32)
    strongest = np.zeros(shape, np.float32)
    _lay(nodes, normals, shift, bend, votes, distance, strongest, belief)
    return distance, belief
