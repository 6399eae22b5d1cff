"""Averaged and filtered sections, with scipy as the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_cryomamba.models.display import (
    HALF_AMPLITUDE,
    DisplayFilter,
    FilteredVoxels,
    contrast_limits,
    sample_sections,
    section_weights,
)

SHAPE = (20, 36, 50)
SIZE_A = (12.0, 10.0, 8.0)


@pytest.fixture(scope="module")
def volume() -> Any:
    """Noise on a slope."""
    rng = np.random.default_rng(5)
    return (rng.normal(size=SHAPE) + np.linspace(0, 3, SHAPE[2])).astype(np.float32)


def index(axis: int, at: int) -> tuple[Any, ...]:
    """Return the index of a section."""
    return tuple(at if other == axis else slice(None) for other in range(3))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sections", [1, 2, 5, 31])
def test_the_average_is_that_of_the_sections_around(volume: Any, axis: int, sections: int) -> None:
    """Every section along each axis is scipy's mean, also at the ends and for a slab thicker than the tomogram."""
    expected = ndimage.uniform_filter1d(volume, sections, axis=axis, mode="reflect")
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(sections))
    for at in (0, 1, SHAPE[axis] // 2, SHAPE[axis] - 1):
        np.testing.assert_allclose(shown[index(axis, at)], expected[index(axis, at)], atol=2e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sections", [1, 3])
def test_the_low_pass_is_a_gaussian_in_three_dimensions(volume: Any, axis: int, sections: int) -> None:
    """A section equals that of the whole volume filtered by scipy, with voxels that are not cubes."""
    sigma = [HALF_AMPLITUDE * 150 / size for size in SIZE_A]
    averaged = ndimage.uniform_filter1d(volume, sections, axis=axis, mode="reflect")
    expected = ndimage.gaussian_filter(averaged, sigma, mode="reflect", truncate=6)
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(sections, low_pass_A=150))
    for at in (0, 2, SHAPE[axis] // 2, SHAPE[axis] - 1):
        np.testing.assert_allclose(shown[index(axis, at)], expected[index(axis, at)], atol=2e-4)


def test_the_high_pass_takes_the_background_away(volume: Any) -> None:
    """It is the section less its own wide Gaussian, with the mean of the section kept."""
    sigma = [HALF_AMPLITUDE * 160 / size for size in SIZE_A[1:]]
    section = volume[7]
    expected = section - ndimage.gaussian_filter(section, sigma, mode="reflect", truncate=8) + section.mean()
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(high_pass_A=160))[7]
    np.testing.assert_allclose(shown, expected, atol=1e-4)


def test_the_amplitude_at_the_resolution_is_one_half() -> None:
    """A wave of 50 Å passes by one half through a low-pass, and through a high-pass, of 50 Å."""
    wave = np.cos(np.pi * (np.arange(100) + 0.5) * 40 / 100)
    volume = np.broadcast_to(wave.astype(np.float32), (3, 5, 100))
    for wanted in (DisplayFilter(low_pass_A=50), DisplayFilter(high_pass_A=50)):
        shown = FilteredVoxels(volume, (10.0, 10.0, 10.0), wanted)[1]
        np.testing.assert_allclose(shown, volume[1] / 2, atol=1e-5)


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "<u2", "<f2", ">f4", "<f8"])
def test_voxels_of_any_type_are_averaged_in_32_bits(dtype: str) -> None:
    """Integers do not overflow, and the byte order does not matter."""
    volume = np.full((9, 4, 6), 100, dtype)
    volume[4] = 10
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(3, low_pass_A=30))[4]
    assert shown.dtype == np.float32
    assert 40 < shown.mean() < 75


class Counting:
    """A volume that counts the voxels read at once and in all."""

    def __init__(self, data: Any) -> None:
        self.data, self.shape, self.ndim, self.dtype = data, data.shape, 3, data.dtype
        self.most = self.total = 0

    def __getitem__(self, index: Any) -> Any:
        part = self.data[index]
        self.most, self.total = max(self.most, part.size), self.total + part.size
        return part


def test_only_what_is_drawn_is_read_and_once(volume: Any) -> None:
    """A section of a slab reads a few sections at a time, and what was drawn a moment ago is not read again."""
    counting = Counting(np.zeros((200, 6, 8), np.float32))
    shown = FilteredVoxels(counting, SIZE_A, DisplayFilter(41))
    first = shown[100]
    assert counting.total == 41 * 48
    assert counting.most <= 8 * 48
    assert shown[100] is first
    assert counting.total == 41 * 48


def test_a_slab_of_one_section_is_that_section(volume: Any) -> None:
    """napari asks for a section in this way; from the end it is found too."""
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(5, 80.0, 200.0))
    np.testing.assert_array_equal(shown[:, 3:4], shown[:, 3][:, None])
    np.testing.assert_array_equal(shown[-1], shown[SHAPE[0] - 1])
    assert shown[3].std() < volume[3].std() / 2


def test_what_is_no_section_comes_as_in_the_file(volume: Any) -> None:
    """A voxel, a block and the volume are not filtered."""
    shown = FilteredVoxels(volume, SIZE_A, DisplayFilter(5, 80.0, 200.0))
    assert shown[3, 4, 5] == volume[3, 4, 5]
    np.testing.assert_array_equal(shown[2:5], volume[2:5])
    np.testing.assert_array_equal(shown[4, 2:9], volume[4, 2:9])
    places = np.array([[1, 2, 3], [4, 5, 6]]).T
    np.testing.assert_array_equal(shown[tuple(places)], volume[tuple(places)])
    np.testing.assert_array_equal(np.asarray(shown), volume)


def test_voxels_that_are_no_numbers_do_not_spread(volume: Any) -> None:
    """NaN in a section leaves the rest of the filtered section as it would be with the mean there."""
    holed = volume.copy()
    holed[7, 3, 3] = np.nan
    shown = FilteredVoxels(holed, SIZE_A, DisplayFilter(low_pass_A=40))
    assert np.isfinite(shown[7]).all()


def test_weights_sum_to_one_whatever_the_place() -> None:
    """No section is brighter at the ends, also where Gaussian and slab reach beyond both."""
    for at in (0, 3, 9):
        first, weights = section_weights(at, 10, 25, 4.0)
        assert weights.sum() == pytest.approx(1)
        assert 0 <= first <= first + len(weights) <= 10


def test_the_contrast_leaves_out_a_percentage(volume: Any) -> None:
    """Limits are numpy's percentiles of the finite values; a flat section gets limits that are apart."""
    holed = volume.copy()
    holed[0] = np.nan
    low, high = contrast_limits(holed, 2.0)
    assert (low, high) == pytest.approx(tuple(np.percentile(volume[1:], (2, 98))))
    flat = contrast_limits(np.full(10, 3.0, np.float32))
    assert flat[0] < 3 < flat[1]


def test_the_sample_of_a_volume_spreads_over_it() -> None:
    """A tomogram whose density rises along z is sampled from end to end."""
    volume = np.broadcast_to(np.arange(100, dtype=np.float32)[:, None, None], (100, 8, 8))
    sample = sample_sections(volume)
    assert len(np.unique(sample)) == 12
    assert sample.min() < 15
    assert sample.max() > 85
