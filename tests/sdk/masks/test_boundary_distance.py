"""Distances from points to a mask's boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.errors import NotFoundError
from cryomamba.masks.boundary_distance import boundary_distances
from cryomamba.masks.slabs import LabelSource

SIZE = (30.0, 10.0, 13.0)


def brute_force(mask: Any, points: Any, size: Any) -> Any:
    """The distance to the nearest box of the other kind, from each point, over all voxels."""
    size = np.array(size)
    found = []
    for point in points:
        voxel = np.floor(np.array(point) + 0.5).astype(int)
        inside = bool(((voxel >= 0) & (voxel < mask.shape)).all() and mask[tuple(voxel)])
        others = np.argwhere(mask != inside)
        gap = np.maximum(np.abs(others - point) - 0.5, 0) * size
        found.append((-1 if inside else 1) * np.linalg.norm(gap, axis=1).min())
    return np.array(found)


@pytest.fixture(scope="module")
def blobs() -> Any:
    field = ndimage.gaussian_filter(np.random.default_rng(7).normal(size=(18, 26, 30)), 2)
    mask = field > 0.02
    mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = mask[:, :, 0] = mask[:, :, -1] = False
    return mask


@pytest.mark.parametrize("slab_voxels", [1, 4 * 26 * 30, 1 << 30])
def test_distances_are_those_to_the_nearest_voxel_of_the_other_kind(blobs: Any, slab_voxels: int) -> None:
    """For points in and around a mask of anisotropic voxels, whatever the slabs; negative inside."""
    points = np.random.default_rng(1).uniform(-4, 34, (300, 3)) * [0.6, 0.9, 1]
    source = LabelSource.of_array(blobs, SIZE, slab_voxels=slab_voxels)
    found = boundary_distances(source, points)
    np.testing.assert_allclose(found.distance_A, brute_force(blobs, points, SIZE), atol=1e-6)
    assert (found.distance_A < 0).sum() > 20
    steps = (found.nearest - points) * SIZE
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), np.abs(found.distance_A), atol=1e-6)


def test_a_ball_is_at_its_radius() -> None:
    """From the centre of a ball of 200 Å the boundary is 200 Å away, from outside the rest, within a voxel."""
    grid = (np.indices((41, 61, 61)) - np.array([20, 30, 30])[:, None, None, None]) * 10.0
    ball = np.linalg.norm(grid, axis=0) <= 200
    found = boundary_distances(LabelSource.of_array(ball, (10.0, 10.0, 10.0)), [(20, 30, 30), (20, 30, 58)])
    np.testing.assert_allclose(found.distance_A, [-200, 80], atol=8)


def test_labels_are_told_apart_and_the_border_is_no_boundary() -> None:
    """Between two labels there is a boundary of each, and none of both together; nor is there one at the border."""
    mask = np.zeros((6, 6, 40), np.uint8)
    mask[:, :, 10:20], mask[:, :, 20:30] = 1, 2
    source = LabelSource.of_array(mask, (10.0, 10.0, 10.0))
    at = [(3.0, 3.0, 18.0)]
    assert boundary_distances(source, at).distance_A[0] == pytest.approx(-85)
    assert boundary_distances(source, at, label=1).distance_A[0] == pytest.approx(-15)
    assert boundary_distances(source, at, label=2).distance_A[0] == pytest.approx(15)
    with pytest.raises(NotFoundError, match="Label 5"):
        boundary_distances(source, at, label=5)
    full = LabelSource.of_array(np.ones((4, 4, 4), np.uint8))
    with pytest.raises(NotFoundError, match="no boundary"):
        boundary_distances(full, at)


def test_no_points_have_no_distances(blobs: Any) -> None:
    """An empty table is not an error."""
    assert boundary_distances(LabelSource.of_array(blobs), np.empty((0, 3))).distance_A.size == 0
