"""The shape of a component is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.masks.editing.component import Component, find_component
from cryomamba.masks.editing.reshaping import Reshaped, filled, grown, shrunk, smoothed

SIZE = (20.0, 10.0, 10.0)
SHAPE = (30, 60, 60)


def ball(radius_A: float, centre: tuple[float, float, float] = (15, 30, 30)) -> Any:
    grid = (np.indices(SHAPE) - np.array(centre)[:, None, None, None]) * np.array(SIZE)[:, None, None, None]
    return np.linalg.norm(grid, axis=0) <= radius_A


def component(mask: Any) -> Component:
    return find_component(mask.astype(np.uint8), tuple(np.argwhere(mask)[0].tolist()))


def whole(found: Reshaped) -> Any:
    mask = np.zeros(SHAPE, np.bool_)
    mask[found.box] = found.member
    return mask


def test_a_hollow_ball_is_filled_and_an_open_one_is_not() -> None:
    """Only what is enclosed on all sides."""
    shell = ball(150) & ~ball(100)
    np.testing.assert_array_equal(whole(filled(component(shell), SHAPE)), ball(150))
    shell[:, 30, 30:] = False
    np.testing.assert_array_equal(whole(filled(component(shell), SHAPE)), shell)


@pytest.mark.parametrize("distance", [5.0, 10.0, 25.0, 60.0])
def test_growing_and_shrinking_are_exact_distances(distance: float) -> None:
    """Voxels within the distance of one inside, or of one outside, on voxels that are twice as high as wide."""
    mask = ball(120) & ~ball(60, (15, 30, 34))
    outside = ndimage.distance_transform_edt(~mask, sampling=SIZE)
    inside = ndimage.distance_transform_edt(mask, sampling=SIZE)
    np.testing.assert_array_equal(whole(grown(component(mask), distance, SIZE, SHAPE)), outside <= distance)
    np.testing.assert_array_equal(whole(shrunk(component(mask), distance, SIZE, SHAPE)), inside > distance)


def test_the_border_of_the_mask_is_no_edge() -> None:
    """A component that reaches the border does not shrink from it, and grows no farther."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[:10] = True
    np.testing.assert_array_equal(whole(shrunk(component(mask), 20.0, SIZE, SHAPE)).any(axis=(1, 2)), np.arange(30) < 9)
    np.testing.assert_array_equal(whole(grown(component(mask), 40.0, SIZE, SHAPE)).any(axis=(1, 2)), np.arange(30) < 12)


def test_smoothing_removes_roughness_and_keeps_the_ball() -> None:
    """Voxels that were changed at random on the surface of a ball are set right; its volume stays."""
    smooth = ball(150)
    surface = ball(160) & ~ball(140)
    rough = smooth ^ (surface & (np.random.default_rng(3).uniform(size=SHAPE) < 0.2))
    found = whole(smoothed(component(rough), 12.0, SIZE, SHAPE))
    assert (found ^ smooth).sum() < 0.5 * (rough ^ smooth).sum()
    assert found.sum() == pytest.approx(smooth.sum(), rel=0.05)
