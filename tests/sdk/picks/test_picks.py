"""What another threshold leaves of places."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryomamba.picks import Kind, Picks, empty_picks


def picks(kind: Kind, scores: Any, labels: Any) -> Picks:
    places = np.arange(3.0 * len(scores)).reshape(-1, 3)
    return Picks(places, np.array(scores, float), np.array(labels, np.int64), kind)


def test_particles_are_cut_as_their_mask_is() -> None:
    """Scores are rounded down, and the order of the picks does not change."""
    left = picks("particles", [120.99, 90.0, 121.0, 119.99], [1, 1, 1, 1]).above(120, 60)
    assert left.scores.tolist() == [120.99, 121.0]


def test_a_filament_falls_apart_where_it_is_weak() -> None:
    """Runs above the lower threshold that reach the upper one are kept, longest first; single points are not."""
    every = picks("filaments", [150, 90, 150, 150, 150, 90, 150, 110, 110], [1, 1, 1, 1, 1, 1, 1, 2, 2])
    left = every.above(140, 100)
    assert left.labels.tolist() == [1, 1, 1]
    assert left.scores.tolist() == [150, 150, 150]
    lower = every.above(100, 90)
    assert lower.labels.tolist() == [1] * 7 + [2] * 2
    assert every.above(100, 100).labels.tolist() == [1, 1, 1, 2, 2]


def test_points_on_membranes_have_no_scores_to_cut() -> None:
    """Membranes are kept, and no picks give no picks."""
    assert len(picks("membranes", [0, 0], [1, 2]).above(200, 200)) == 2
    assert not len(empty_picks("filaments").above(1, 1))
