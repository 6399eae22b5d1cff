"""Directions of oriented filters."""

import numpy as np
import numpy.typing as npt


def hemisphere_directions(count: int) -> npt.NDArray[np.float32]:
    """Return `count` unit vectors (count, 3), z, y, x, distributed evenly over a hemisphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1).astype(np.float32)
