"""The threshold of peak heights: between particles and background, and high where there are no particles."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_inference.filters.particles.fdr_threshold import find_threshold_height


def test_a_few_particles_are_separated_from_background() -> None:
    """The threshold lies between four particles and the many smaller densities around them."""
    heights = np.concatenate([np.random.default_rng(3).exponential(0.6, 300) + 2.5, [9.8, 10.1, 10.6, 11.0]])
    assert 6.5 < find_threshold_height(heights, np.random.default_rng(4).exponential(0.4, 200) + 2.5) <= 9.8


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tail_without_a_mode_gives_few_picks(seed: int) -> None:
    """Of background objects whose number falls with height only the highest are picked, even without decoys."""
    heights = np.abs(np.random.default_rng(seed).normal(0, 2, 400)) + 2.5
    assert (heights >= find_threshold_height(heights, np.empty(0))).sum() <= 60
