"""Densities along a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import profile_line
from tests.counted_array import CountedArray

from cryomamba.errors import InvalidRequestError
from cryomamba.volumes.line_profile import line_profile

SIZE = (30.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def noise() -> Any:
    return ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(20, 60, 70)), 1).astype(np.float32)


def test_a_gradient_is_followed_exactly() -> None:
    """Along any line, with any width, the density of a linear field is that of the line, over its length in Å."""
    z, y, x = np.indices((20, 40, 50))
    field = 3.0 * z - 2.0 * y + 0.5 * x
    begin, end = (4.0, 10.0, 8.0), (14.0, 30.0, 41.0)
    for width in (0.0, 80.0):
        found = line_profile(field, begin, end, SIZE, width_A=width, axis=0)
        fraction = found.position_A / found.position_A[-1]
        assert found.position_A[-1] == pytest.approx((300**2 + 200**2 + 330**2) ** 0.5)
        expected = [3 * 4 - 2 * 10 + 0.5 * 8, 3 * 14 - 2 * 30 + 0.5 * 41]
        np.testing.assert_allclose(found.density, expected[0] + fraction * (expected[1] - expected[0]), atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_the_profile_of_another_program(noise: Any, axis: int) -> None:
    """In smoothed noise, the mean over a width of 5 voxels is that of scikit-image on the section."""
    section: Any = np.take(noise, 9, axis)
    ends = np.array([[4.0, 6.0], [13.0, 18.0]])
    begin, end = (tuple(np.insert(point, axis, 9.0).tolist()) for point in ends)
    found = line_profile(noise, begin, end, (10.0, 10.0, 10.0), width_A=50.0, axis=axis)
    scikit_image: Any = profile_line
    other = scikit_image(section, *ends, linewidth=5, order=1, mode="nearest", reduce_func=np.mean)
    # Fifteen voxels: both have samples at whole voxels.
    np.testing.assert_allclose(found.density[::2], other, atol=0.1 * noise.std())
    narrow = line_profile(noise, begin, end, (10.0, 10.0, 10.0), axis=axis)
    assert np.abs(narrow.density[::2] - other).max() > 0.3 * noise.std()


def test_a_membrane_has_its_thickness() -> None:
    """A slab of 40 Å across a line has that width at half its density, on voxels three times as deep as wide."""
    field = np.zeros((9, 60, 60))
    field[:, :, 28:32] = -1
    found = line_profile(field, (4, 30, 10), (4, 30, 50), SIZE, width_A=200, axis=0)
    below = found.position_A[found.density < -0.5]
    assert below[-1] - below[0] == pytest.approx(40, abs=10)


def test_only_the_surroundings_of_the_line_are_read(noise: Any) -> None:
    """A short line in a section reads a few voxels, and outside of the tomogram there is no density."""
    recorder = CountedArray(noise)
    found = line_profile(recorder, (9, 20, 60), (9, 20, 90), (10.0, 10.0, 10.0), width_A=30.0)
    assert recorder.read < 200
    assert np.isfinite(found.density[:10]).all()
    assert np.isnan(found.density[-10:]).all()
    with pytest.raises(InvalidRequestError, match="no length"):
        line_profile(noise, (1, 1, 1), (1, 1, 1), SIZE)
