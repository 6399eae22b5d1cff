"""The surface area of masks whose area is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource

Shell = Callable[..., np.ndarray]
SIZES = [(10.0, 10.0, 10.0), (15.0, 10.0, 10.0), (10.0, 14.0, 14.0)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("outer", "inner"), [(100.0, 0.0), (200.0, 0.0), (140.0, 100.0), (225.0, 175.0)])
def test_balls_and_shells(make_shell: Shell, size: tuple[float, float, float], outer: float, inner: float) -> None:
    """The surface of balls and shells, 4 to 20 voxels in radius or thickness, is right to 3 %, at any voxel size."""
    found = measure(LabelSource.of_array(make_shell(outer, inner, size), size), {1: "ball"}).labels[0]
    assert found.surface_nm2 == pytest.approx(4 * math.pi * (outer**2 + inner**2) / 100, rel=0.03)
    assert found.volume_nm3 == pytest.approx(4 / 3 * math.pi * (outer**3 - inner**3) / 1000, rel=0.03)


def test_the_border_of_the_volume_is_no_surface() -> None:
    """A plate through the whole volume has its two sides and no rim; a volume that is all mask has no surface."""
    mask = np.zeros((30, 20, 20), np.uint8)
    mask[10:14] = 1
    (found,) = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {}).labels
    assert found.surface_nm2 == pytest.approx(2 * 20 * 20)
    (full,) = measure(LabelSource.of_array(np.ones((9, 9, 9), np.uint8), (10.0, 10.0, 10.0)), {}).labels
    assert full.surface_nm2 == 0


def test_touching_labels_each_have_their_surface() -> None:
    """Where two labels touch, the face counts for both."""
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[5:10], mask[10:15] = 1, 2
    one, two = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {1: "a", 2: "b"}).labels
    assert one.surface_nm2 == two.surface_nm2 == pytest.approx(2 * 20 * 20)
