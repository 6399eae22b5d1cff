"""Labels between painted sections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.editing.interpolation import Interpolated, interpolate_label, shapes_between

SIZE = (12.0, 12.0, 12.0)


def filled(mask: Any, found: Interpolated, label: int = 1) -> Any:
    whole = mask.copy()
    whole[found.box][found.inside & (whole[found.box] == 0)] = label
    return whole


def dice(one: Any, other: Any) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("hollow", [False, True])
def test_a_vesicle_painted_in_every_fifth_section_is_completed(axis: int, hollow: bool) -> None:
    """Solid or as a membrane of three voxels, along every axis; what was painted stays as it is."""
    radius = np.linalg.norm(np.indices((49, 49, 49)) - 24, axis=0)
    vesicle = (radius <= 18) & (radius > (15 if hollow else -1))
    painted = np.zeros(vesicle.shape, np.uint8)
    # Without the caps, whose rings have no hole to be interpolated.
    for section in range(14, 36, 5):
        at = tuple(section if other == axis else slice(None) for other in range(3))
        painted[at] = vesicle[at]
    found = interpolate_label(painted, 1, axis, SIZE, longest_gap=10)
    assert found.gaps == 4
    whole = filled(painted, found)
    between = tuple(slice(14, 35) if other == axis else slice(None) for other in range(3))
    assert dice(whole[between] > 0, vesicle[between]) > (0.93 if hollow else 0.985)
    assert not np.delete(np.moveaxis(whole, axis, 0), range(14, 35), axis=0).any()
    assert np.array_equal(whole[painted > 0], painted[painted > 0])


def test_a_cone_has_the_radius_between() -> None:
    """Between a disc and a smaller one elsewhere, discs have the radius and the centre in between."""
    y, x = np.indices((100, 120))
    begin, end = np.hypot(y - 30, x - 30) <= 20, np.hypot(y - 60, x - 80) <= 10
    for number, shape in enumerate(shapes_between(begin, end, 9, [1.0, 1.0]), 1):
        t = number / 10
        assert np.sqrt(shape.sum() / np.pi) == pytest.approx(20 - 10 * t, abs=0.5)
        np.testing.assert_allclose(np.argwhere(shape).mean(axis=0), [30 + 30 * t, 30 + 50 * t], atol=0.5)


def test_distances_are_those_of_the_voxels() -> None:
    """Discs in nm on pixels that are twice as high as wide stay discs in nm."""
    y, x = np.indices((60, 120))
    begin, end = (np.hypot((y - 30) * 2.0, x - 60) <= radius for radius in (40, 20))
    middle = shapes_between(begin, end, 1, [2.0, 1.0])[0]
    assert dice(middle, np.hypot((y - 30) * 2.0, x - 60) <= 30) > 0.97


def test_only_gaps_of_this_label_are_filled() -> None:
    """Long gaps and other labels stay, and without a gap there is a message."""
    mask = np.zeros((30, 20, 20), np.uint8)
    mask[[2, 6, 28], 5:15, 5:15] = 4
    mask[4, 8, 8] = 9
    found = interpolate_label(mask, 4, 0, SIZE, longest_gap=10)
    assert found.gaps == 1
    whole = filled(mask, found, 4)
    assert (whole[2:7, 5:15, 5:15] == 4).sum() == 499
    assert not whole[7:28].any()
    assert whole[4, 8, 8] == 9
    with pytest.raises(InvalidRequestError, match="no gap"):
        interpolate_label(mask, 9, 0, SIZE, longest_gap=10)
