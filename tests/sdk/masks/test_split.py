"""Touching things are taken apart where they narrow, and nothing else is."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.masks import split
from cryomamba.masks.slabs import LabelSource
from cryomamba.masks.split import split_instances

Z, Y, X = np.mgrid[0:36, 0:60, 0:72]


def ball(z: float, y: float, x: float, radius: float) -> np.ndarray:
    inside: np.ndarray = (Z - z) ** 2 + (Y - y) ** 2 + (X - x) ** 2 < radius**2
    return inside


def vesicle(z: float, y: float, x: float, radius: float) -> np.ndarray:
    inside: np.ndarray = ball(z, y, x, radius) & ~ball(z, y, x, radius - 4)
    return inside


def numbered(mask: np.ndarray, depth: int = 36) -> np.ndarray:
    source = LabelSource.of_array(mask, (10.0, 10.0, 10.0), slab_voxels=depth * mask[0].size)
    return split_instances(source).array()


@pytest.mark.parametrize("depth", [1, 5, 36])
def test_touching_balls_become_two_of_equal_size(depth: int) -> None:
    """Two slightly overlapping balls are split in the middle, for any slab depth."""
    mask = ball(18, 30, 22, 12) | ball(18, 30, 43, 12)
    found = numbered(mask, depth)
    assert np.array_equal(found > 0, mask)
    assert np.bincount(found.ravel())[1:].tolist() == [mask.sum() / 2] * 2
    assert len(np.unique(found[:, :, :32])) == len(np.unique(found[:, :, 34:])) == 2


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        (vesicle(18, 30, 22, 12) | vesicle(18, 30, 44, 12), 2),
        (ball(18, 30, 22, 12) | ball(18, 30, 43, 12) | ball(18, 50, 33, 10) | ball(5, 5, 5, 3), 4),
        (ball(18, 30, 36, 15), 1),
        ((abs(Z - 18) < 5) & (abs(Y - 30) < 5) & (abs(X - 36) < 30), 1),
        (abs(Z - 18 + 4 * np.sin(X / 10)) < 3, 1),
        (np.zeros((4, 5, 6), bool), 0),
    ],
    ids=["vesicles", "three and one", "ball", "rod", "sheet", "empty"],
)
def test_the_number_of_objects(mask: np.ndarray, count: int) -> None:
    """Vesicles are split like balls; a ball, a rod and a wavy sheet are not; every voxel has a label."""
    found = numbered(mask)
    assert np.array_equal(found > 0, mask)
    assert np.unique(found[found > 0]).tolist() == list(range(1, count + 1))


def test_large_components_are_not_split() -> None:
    """A component with a bounding box above the limit is not split, to bound the memory."""
    mask = ball(18, 30, 22, 12) | ball(18, 30, 43, 12)
    with patch.object(split, "LARGEST_BOX", 1000):
        assert numbered(mask).max() == 1


def test_more_components_than_numbers() -> None:
    """More objects than labels are refused, with a hint."""
    mask = np.zeros((120, 120, 120), np.uint8)
    mask[::2, ::2, ::2] = 1
    with pytest.raises(InvalidRequestError, match="216,000") as caught:
        split_instances(LabelSource.of_array(mask), split=False)
    assert caught.value.code == ErrorCode.TOO_LARGE
