"""A coarser level from the next finer one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryomamba.volumes.voxel_file import Array


def halved(block: Array, steps: Sequence[int], *, labels: bool) -> Array:
    """Halve axes of a block: labels by the maximum of each pair, densities by its mean.

    The last voxel of an odd side is a pair with itself, which changes neither.

    Parameters
    ----------
    block : ndarray
    steps : sequence of int
        For each axis 2, or 1 to leave it as it is.
    labels : bool

    Returns
    -------
    ndarray
        Of the same type; means of integers are rounded once, after all axes.
    """
    values: NDArray[Any] = block
    for axis, step in enumerate(steps):
        if step == 1:
            continue
        pairs = np.moveaxis(values, axis, 0)
        first, second = pairs[::2], pairs[1::2]
        if len(first) > len(second):
            second = np.concatenate([second, first[-1:]])
        reduced = np.maximum(first, second) if labels else np.add(first, second, dtype=np.float32)
        values = np.moveaxis(reduced, 0, axis)
    if labels:
        return values
    means = values * np.float32(0.5 ** sum(step == 2 for step in steps))
    return (means if block.dtype.kind == "f" else np.rint(means, out=means)).astype(block.dtype)
