"""Peaks of the probability in balls."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.decoders.peaks import CONSTANTS, find_peaks, find_threshold, select_separated

Field = npt.NDArray[np.float32]
CENTRES = np.array([[12.3, 14.7, 15.0], [20.0, 30.4, 13.6], [9.5, 33.0, 33.0]])


def balls(centres: npt.NDArray[Any], radius: float, shape: tuple[int, int, int] = (32, 48, 48)) -> Field:
    """Return the probability of being in one of some balls with soft edges."""
    places = np.moveaxis(np.indices(shape), 0, -1)
    away = np.linalg.norm(places[..., None, :] - centres, axis=-1).min(axis=-1)
    return np.asarray(1 / (1 + np.exp(3 * (away - radius))), np.float32)


@pytest.mark.parametrize("radius", [3.6, 6.0])
def test_balls_are_found_where_they_are(radius: float) -> None:
    """The strongest peaks apart are the centres of the balls, within half a node, far above the rest."""
    points, responses = find_peaks(balls(CENTRES, radius), radius)
    # A centre midway between nodes has two of the same height.
    best = np.flatnonzero(select_separated(points, 0.6 * radius))
    away = np.linalg.norm(points[best[:3], None] - CENTRES, axis=2)
    assert away.min(axis=0).max() < 0.5
    assert responses[best[2]] > 0.6
    assert not (responses[best[3:]] > 0.2).any()


def test_touching_balls_stay_two() -> None:
    """Two balls that touch, along an axis or a diagonal, have a peak each."""
    for way in ([0, 0, 1], [1, 1, 1]):
        step = np.array(way) / np.linalg.norm(way) * 12.5
        pair = np.array([[16, 24, 24] - step / 2, [16, 24, 24] + step / 2])
        points, responses = find_peaks(balls(pair, 6.0), 6.0)
        away = np.linalg.norm(points[responses > 0.5][:, None] - pair, axis=2)
        assert away.min(axis=0).max() < 1.5


@pytest.mark.parametrize("radius", [2.5, 14.0])
def test_balls_of_other_sizes_score_less(radius: float) -> None:
    """A ball of half or twice the radius has a lower response than one of the radius asked for."""
    centre = np.array([[16.0, 24, 24]])
    right = find_peaks(balls(centre, 6.0), 6.0)[1].max()
    assert find_peaks(balls(centre, radius), 6.0)[1].max(initial=0) < 0.65 * right


def test_the_threshold_falls_with_the_contrast() -> None:
    """It is a share of what typical particles have, whatever the best one has, but never below the minimum."""
    particles, background = np.linspace(0.5, 0.7, 40), np.linspace(0.01, 0.1, 400)
    threshold = find_threshold(np.concatenate([particles, background]))
    assert 0.1 < threshold < 0.5
    assert find_threshold(np.concatenate([particles, background]) / 2) == pytest.approx(threshold / 2)
    assert find_threshold(np.append(particles, 0.9)) == pytest.approx(threshold, rel=0.05)
    assert find_threshold(background / 10) == CONSTANTS.min_response
    assert find_threshold(np.empty(0)) == CONSTANTS.min_response


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 20, 3), (2, 2, 2)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_smallest_fields_are_no_error(shape: tuple[int, int, int], value: float) -> None:
    """Fields smaller than a particle have peaks within them or none; an empty one has none."""
    points, responses = find_peaks(np.full(shape, value, np.float32), 10.0)
    assert len(points) == len(responses)
    assert not (len(points) and value == 0)
    assert (points > -1).all()
    assert (points < shape).all()


def test_the_better_of_two_close_positions_is_kept() -> None:
    """Along a chain of close positions a removed one removes no other."""
    chain = np.array([[0.0, 0, 0], [0, 0, 3], [0, 0, 6], [0, 0, 7], [50, 0, 0]])
    np.testing.assert_array_equal(select_separated(chain, 4), [True, False, True, False, True])
    assert select_separated(np.empty((0, 3)), 4).shape == (0,)


def test_a_large_distance_needs_little_memory() -> None:
    """Of many positions within one distance the first remains."""
    positions = np.random.default_rng(1).uniform(size=(20000, 3))
    assert np.flatnonzero(select_separated(positions, 100.0)).tolist() == [0]
