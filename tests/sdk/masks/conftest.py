"""Shapes whose volume and surface are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

Mask = npt.NDArray[np.bool_]
Size = tuple[float, float, float]


def shell(outer: float, inner: float, size: Size, pad: int = 6) -> Mask:
    """A hollow ball (a whole one for inner 0), radii in the unit of the voxel size, in the middle of a volume."""
    axes = []
    for step in size:
        count = int(2 * outer / step) + 2 * pad
        axes.append((np.arange(count) - (count - 1) / 2) * step)
    z, y, x = np.meshgrid(*axes, indexing="ij")
    square = z * z + y * y + x * x
    inside: Mask = (square < outer**2) & (square >= inner**2)
    return inside


@pytest.fixture
def make_shell() -> Callable[..., Mask]:
    """See :func:`shell`."""
    return shell
