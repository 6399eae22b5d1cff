"""The score threshold of particles."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.filters.particles.blobs import BlobFilter
from cryomamba_inference.filters.particles.model import ParticleModel, find_threshold


def test_the_lowest_accepted_particle_is_in_the_mask() -> None:
    """Scores in the mask are integers: the threshold does not exceed the score of the lowest accepted particle."""
    scores = np.concatenate([np.random.default_rng(6).uniform(60, 70, 40), [110.6, 112.0, 113.0, 114.5]])
    points = np.column_stack([np.random.default_rng(7).uniform(0, 1e5, (44, 3)), scores, np.ones(44)])
    model = ParticleModel(150.0, 1, BlobFilter(7.0, 5.0))
    assert 70 < find_threshold(points, model, (10.0, 10.0, 10.0)) <= 110
