"""The threshold with the highest expected F1 score."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_inference.network.expected_f1 import best_threshold


def f1(counts: np.ndarray, threshold: int, truth: np.ndarray) -> float:
    """Return F1 of the mask above a threshold, given how many voxels of each score are true."""
    return float(2 * truth[threshold:].sum() / (counts[threshold:].sum() + truth.sum()))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_gives_a_better_mask(seed: int) -> None:
    """If scores are probabilities, the mask at the threshold has the highest F1 score up to chance."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 100_000, 256)
    truth = rng.binomial(counts, np.linspace(0, 1, 256))
    chosen = best_threshold(counts)
    assert f1(counts, chosen.score, truth) == pytest.approx(chosen.f1, abs=1e-3)
    assert chosen.f1 > max(f1(counts, one, truth) for one in range(256)) - 1e-3


def test_noise_lowers_the_threshold() -> None:
    """Certain voxels want a threshold near one half, uncertain ones a lower one."""
    certain, uncertain = np.zeros(256, np.int64), np.zeros(256, np.int64)
    certain[[0, 250]] = 10_000, 1_000
    certain[60:250] = 1
    uncertain[0:110] = np.linspace(2_000, 10, 110)
    assert best_threshold(certain).score > 100
    assert 20 < best_threshold(uncertain).score < 70


def test_nothing_seen_gives_a_threshold_all_the_same() -> None:
    """An empty sample is no error, and nothing is expected of it."""
    assert best_threshold(np.zeros(256, np.int64)).f1 == 0
