"""Crops of picks."""

from __future__ import annotations

import numpy as np
from tests.counted_array import CountedArray

from napari_cryomamba.models.gallery import CropSize, Sort, as_grey, crop, pages, sorted_indices

SIZE_A = (20.0, 10.0, 10.0)


def test_a_crop_is_the_average_of_the_sections_through_the_pick() -> None:
    """With a voxel for each pixel it is the voxels themselves, and nothing else is read."""
    volume = CountedArray(np.random.default_rng(1).normal(size=(30, 60, 70)).astype(np.float32))
    found = crop(volume, (10, 20, 30), SIZE_A, CropSize(15.0, 6.0, 15))
    np.testing.assert_allclose(found, volume.array[9:12, 13:28, 23:38].mean(axis=0), rtol=1e-6)
    assert volume.read == 3 * 15 * 15
    single = crop(volume, (10.3, 20, 30), SIZE_A, CropSize(15.0, 0.1, 15))
    np.testing.assert_allclose(single, volume.array[10, 13:28, 23:38])


def test_pixels_are_square_on_anisotropic_voxels() -> None:
    """A disc in nm is round in the crop, though its voxels are twice as high as wide."""
    _, y, x = np.indices((3, 60, 120))
    disc = (np.hypot((y - 30) * 2.0, x - 60) <= 15).astype(np.float32)
    found = crop(disc, (1, 30, 60), (10.0, 20.0, 10.0), CropSize(40.0, 1.0, 80)) > 0.5
    rows, columns = found.any(axis=1).sum(), found.any(axis=0).sum()
    assert abs(int(rows) - int(columns)) <= 4


def test_beyond_the_border_there_is_nothing() -> None:
    """At a corner three quarters of the crop are NaN, which is black; far outside all of it is."""
    volume = np.ones((5, 20, 20), np.float32)
    corner = crop(volume, (0, -0.5, -0.5), (10.0, 10.0, 10.0), CropSize(10.0, 1.0, 10))
    assert np.isfinite(corner).sum() == 25
    assert np.isfinite(corner[5:, 5:]).all()
    grey = as_grey(corner, (0.0, 2.0))
    assert sorted(set(grey.reshape(-1).tolist())) == [0, 127]
    assert np.isnan(crop(volume, (50, 5, 5), (10.0, 10.0, 10.0), CropSize(10.0, 1.0, 10))).all()


def test_picks_are_sorted_by_score_or_review() -> None:
    """Picks without scores come last, and those that were not reviewed first if that is chosen."""
    scores = np.array([5.0, np.nan, 9.0, 1.0])
    review = ["accepted", "", "", "rejected"]
    assert sorted_indices(scores, review, Sort.BEST).tolist() == [2, 0, 3, 1]
    assert sorted_indices(scores, review, Sort.WORST).tolist() == [3, 0, 2, 1]
    assert sorted_indices(scores, review, Sort.LISTED).tolist() == [0, 1, 2, 3]
    assert sorted_indices(scores, review, Sort.OPEN).tolist() == [1, 2, 0, 3]
    assert [pages(count) for count in (0, 30, 31)] == [1, 1, 2]
