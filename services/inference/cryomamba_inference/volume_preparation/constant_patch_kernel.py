"""The loop of :mod:`cryomamba_inference.volume_preparation.constant_patches`, compiled by numba."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@nb.njit(cache=True, nogil=True)
def mark_around(nodes: Field, padding: Flags, tolerance: np.float32, radius: int) -> None:
    """Do what :func:`~cryomamba_inference.volume_preparation.constant_patches.mark_constant` does, node by node."""
    depth, height, width = nodes.shape
    reach = np.zeros(3, np.int64)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                value = nodes[z, y, x]
                if not np.isfinite(value):
                    padding[z, y, x] = True
                    continue
                # Every patch has its middle's neighbour along y or x; nearly all nodes of a tomogram end here.
                limit = tolerance * abs(value)
                beside_y = nodes[z, y + 1 if y + 1 < height else max(y - 1, 0), x]
                beside_x = nodes[z, y, x + 1 if x + 1 < width else max(x - 1, 0)]
                if not (abs(beside_y - value) <= limit or abs(beside_x - value) <= limit):
                    continue
                for axis in range(3):
                    reach[:] = radius
                    reach[axis] = 0
                    box = (
                        slice(max(z - reach[0], 0), z + reach[0] + 1),
                        slice(max(y - reach[1], 0), y + reach[1] + 1),
                        slice(max(x - reach[2], 0), x + reach[2] + 1),
                    )
                    if _is_constant(nodes[box], value, tolerance):
                        padding[box] = True


@nb.njit(cache=True, nogil=True)
def _is_constant(patch: Field, value: np.float32, tolerance: np.float32) -> bool:
    if min(patch.shape[0] * patch.shape[1], patch.shape[1] * patch.shape[2], patch.shape[0] * patch.shape[2]) < 3:
        # The volume is too thin for a patch in this direction.
        return False
    limit = tolerance * abs(value)
    for z in range(patch.shape[0]):
        for y in range(patch.shape[1]):
            for x in range(patch.shape[2]):
                if not abs(patch[z, y, x] - value) <= limit:
                    return False
    return True
