"""Dividing a component."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.editing.component import find_component
from cryomamba.masks.editing.division import divide_along_line, divide_at_constrictions

SIZE = (20.0, 10.0, 10.0)


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius_A: float) -> Any:
    grid = np.indices(shape) - np.array(centre)[:, None, None, None]
    return np.linalg.norm(grid * np.array(SIZE)[:, None, None, None], axis=0) <= radius_A


def test_touching_balls_come_apart_at_their_neck() -> None:
    """Each part is one ball, the larger first, though voxels are twice as high as wide."""
    one, other = ball((24, 40, 60), (12, 20, 20), 140), ball((24, 40, 60), (12, 20, 42), 110)
    found = find_component((one | other).astype(np.uint8), (12, 20, 20))
    parts = divide_at_constrictions(found, SIZE)
    assert parts.max() == 2
    assert np.array_equal(parts > 0, found.member)
    for number, expected in ((1, one & ~other), (2, other & ~one)):
        of_ball = expected[found.box]
        assert (parts[of_ball] == number).mean() > 0.99


def test_a_single_ball_has_no_neck() -> None:
    """It is refused, and the message names the other way."""
    found = find_component(ball((24, 40, 40), (12, 20, 20), 140).astype(np.uint8), (12, 20, 20))
    with pytest.raises(InvalidRequestError, match="no constriction") as caught:
        divide_at_constrictions(found, SIZE)
    assert "line" in caught.value.hint


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1, 2.5])
def test_a_line_cuts_a_ball_into_two_halves(axis: int, angle: float) -> None:
    """Whatever its direction and the axis of the section: no voxel is lost, none is on the wrong side of the plane."""
    mask = np.zeros((40, 40, 40), np.uint8)
    grid = np.indices(mask.shape) - 20
    mask[np.linalg.norm(grid, axis=0) <= 14] = 3
    rows, columns = (other for other in range(3) if other != axis)
    direction = np.zeros(3)
    direction[rows], direction[columns] = np.sin(angle), np.cos(angle)
    middle = np.array([20.0, 20, 20])
    normal = np.zeros(3)
    normal[rows], normal[columns] = -direction[columns], direction[rows]
    found = find_component(mask, (20, 20, 20))
    parts = divide_along_line(found, tuple(middle - 16 * direction), tuple(middle + 16 * direction), axis)
    assert np.array_equal(parts > 0, found.member)
    sizes = np.bincount(parts.reshape(-1))
    assert sizes[1] >= sizes[2] > 0.4 * found.voxels
    signed = np.tensordot(normal, grid, 1)[found.box]
    for part in (1, 2):
        own = signed[(parts == part) & (np.abs(signed) > 1.5)]
        assert (own > 0).all() or (own < 0).all()
        assert ndimage.label(parts == part, np.ones((3, 3, 3)))[1] == 1


def test_a_line_that_does_not_separate_is_refused() -> None:
    """A ring that is cut once is still in one piece, a line beside the component cuts nothing, nor does a point."""
    mask = np.zeros((3, 60, 60), np.uint8)
    radius = np.hypot(*(np.indices((60, 60)) - 30))
    mask[:, (radius > 20) & (radius < 25)] = 1
    ring = find_component(mask, (1, 30, 52))
    with pytest.raises(InvalidRequestError, match="still connected"):
        divide_along_line(ring, (1, 30, 48), (1, 30, 57), 0)
    with pytest.raises(InvalidRequestError, match="does not cross"):
        divide_along_line(ring, (1, 30, 25), (1, 30, 35), 0)
    with pytest.raises(InvalidRequestError, match="no length"):
        divide_along_line(ring, (1, 30, 52), (1, 30, 52), 0)
    halves = divide_along_line(ring, (1, 30, 0), (1, 30, 59), 0)
    assert halves.max() == 2
