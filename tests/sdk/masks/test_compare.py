"""Two masks compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.compare import BOTH, ONLY_FIRST, ONLY_SECOND, compare, difference
from cryomamba.masks.slabs import LabelSource
from cryomamba.synth.scoring import score_mask


def blobs(seed: int, shape: tuple[int, int, int] = (45, 30, 40)) -> Any:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (field > 0.05).astype(np.uint8)


@pytest.mark.parametrize("slab_voxels", [1, 7 * 1200, 1 << 30])
def test_scores_are_those_of_the_whole_masks(slab_voxels: int) -> None:
    """Dice and F1 within a voxel equal those of other code over whole arrays, whatever the slabs."""
    one, other = blobs(1), blobs(2) * 3 | blobs(1)
    found = compare(*(LabelSource.of_array(mask, slab_voxels=slab_voxels) for mask in (one, other)))
    a, b = one > 0, other > 0
    assert found.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert found.f1 == pytest.approx(score_mask(one, b.astype(np.uint8)).f1)
    assert 0.1 < found.dice < found.f1 < 1


def test_empty_masks_agree() -> None:
    """Two empty masks are the same; an empty one and another have nothing in common."""
    empty, full = np.zeros((3, 4, 5), np.uint8), np.ones((3, 4, 5), np.uint8)
    same = compare(LabelSource.of_array(empty), LabelSource.of_array(empty))
    assert (same.dice, same.f1) == (1, 1)
    other = compare(LabelSource.of_array(empty), LabelSource.of_array(full))
    assert (other.dice, other.f1) == (0, 0)


def test_the_difference_has_three_labels() -> None:
    """A voxel of both, of the first, of the second, of neither."""
    found = difference(np.array([0, 2, 5, 0]), np.array([0, 1, 0, 7]))
    assert found.tolist() == [0, BOTH, ONLY_FIRST, ONLY_SECOND]


def test_masks_of_different_tomograms_are_refused() -> None:
    """The message has both shapes."""
    with pytest.raises(InvalidRequestError, match="2 × 2 × 2 and 2 × 2 × 3"):
        compare(
            LabelSource.of_array(np.zeros((2, 2, 2), np.uint8)), LabelSource.of_array(np.zeros((2, 2, 3), np.uint8))
        )
