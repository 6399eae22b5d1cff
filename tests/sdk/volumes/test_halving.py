"""A coarser level from the next finer one, against numpy on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba.volumes.halving import halved


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("steps", [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1)])
def test_densities_are_halved_by_the_mean(dtype: str, steps: tuple[int, int, int]) -> None:
    """Each voxel is the mean of those that it covers, rounded once; at an odd end of what is left."""
    array = np.random.default_rng(5).normal(0, 40, (4, 7, 5)).round().astype(dtype)
    found = halved(array, steps, labels=False)
    assert found.dtype == array.dtype
    assert found.shape == tuple(-(-side // step) for side, step in zip(array.shape, steps, strict=True))
    for index in np.ndindex(*found.shape):
        cell = array[tuple(slice(n * step, (n + 1) * step) for n, step in zip(index, steps, strict=True))]
        mean = cell.mean(dtype=np.float64)
        assert found[index] == pytest.approx(mean if found.dtype.kind == "f" else np.rint(mean), rel=1e-6)


def test_labels_are_halved_by_the_maximum() -> None:
    """A membrane one voxel thick is in the coarser level."""
    labels = np.zeros((3, 9, 8), np.uint16)
    labels[:, 8, :] = 300
    found = halved(labels, (2, 2, 2), labels=True)
    assert found.dtype == np.uint16
    assert np.array_equal(found[:, 4], np.full((2, 4), 300))
    assert not found[:, :4].any()
