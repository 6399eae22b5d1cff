"""Nodes in flat patches of constant density, which are padding.

There are two ways to the same result. NumPy looks at the few nodes that equal a neighbour, which are all that a
tomogram without padding has. Where there are many, a loop that numba compiles is faster; numba takes seconds to be
imported and to compile on the first run, which a small volume shall not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

TOLERANCE: Final = np.float32(4e-6)
"""Relative difference of densities that count as equal."""
PATCH_RADIUS: Final = 2
"""In nodes."""
_FEW_NODES: Final = 100_000  # NumPy takes up to 0.1 s for these
_PATCH_SIDE_MIN: Final = 3  # nodes; a thinner volume has no patch in this direction


def mark_constant(nodes: Field, padding: Flags) -> None:
    """Mark the nodes of all 5 × 5 patches along two axes that are equal within rounding, and those that are not finite.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
    padding : array of the same shape, bool
        Output; False before.
    """
    finite = np.isfinite(nodes)
    np.logical_not(finite, out=padding)
    middles = np.nonzero(_equal_to_a_neighbour(nodes) & finite)
    if len(middles[0]) <= _FEW_NODES:
        mark_by_offsets(nodes, padding, np.stack(middles))
        return
    from cryomamba_inference.volume_preparation.constant_patch_kernel import mark_around

    mark_around(nodes, padding, TOLERANCE, PATCH_RADIUS)


def _equal_to_a_neighbour(nodes: Field) -> Flags:
    """Return which nodes equal their neighbour along y or x, as the middle of every patch does."""
    limit = TOLERANCE * np.abs(nodes)
    found = np.zeros(nodes.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        for axis in (1, 2):
            side = nodes.shape[axis]
            neighbour = np.arange(1, side + 1)
            neighbour[-1] = max(side - 2, 0)
            found |= np.abs(np.take(nodes, neighbour, axis) - nodes) <= limit
    return found


def mark_by_offsets(nodes: Field, padding: Flags, middles: npt.NDArray[np.intp]) -> None:
    """Mark the patches around nodes, given as (3, n), that are constant; a patch is cut off at the border."""
    last = np.array(nodes.shape)[:, None] - 1
    for across in range(3):
        if min(side for axis, side in enumerate(nodes.shape) if axis != across) < _PATCH_SIDE_MIN:
            continue
        offsets = list(_offsets(across))
        found = middles
        for offset in offsets:
            value = nodes[tuple(found)]
            # A position beyond the border is replaced by one at it, which is in the patch as well.
            other = nodes[tuple(np.clip(found + offset, 0, last))]
            with np.errstate(invalid="ignore"):
                found = found[:, np.abs(other - value) <= TOLERANCE * np.abs(value)]
        for offset in offsets:
            padding[tuple(np.clip(found + offset, 0, last))] = True


def _offsets(across: int) -> Iterator[npt.NDArray[np.intp]]:
    reach = range(-PATCH_RADIUS, PATCH_RADIUS + 1)
    for first, second in product(reach, reach):
        yield np.insert(np.array([first, second]), across, 0)[:, None]
