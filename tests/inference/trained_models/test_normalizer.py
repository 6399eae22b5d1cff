"""Normalization: the numbers are those of the whole volume, or of each window, in the order of the steps."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba.engines.api import VolumeContext
from cryomamba.trained_models.normalization import Clip, Fixed, Linear, ScaleRange, Step, ZeroMeanUnitVariance
from cryomamba_inference.runner.binned_copy import array_statistics
from cryomamba_inference.trained_models.normalizer import Normalizer

VOLUME = np.random.default_rng(0).gamma(2, 30, (20, 30, 40)).astype(np.float32)


def context(data: np.ndarray = VOLUME, inside: np.ndarray | None = None) -> VolumeContext:
    """Return what an engine knows of a volume."""
    statistics = array_statistics(data if inside is None else data[inside])
    within = None if inside is None else inside.__getitem__
    return VolumeContext(data.shape, (10.0, 10.0, 10.0), statistics, data.__getitem__, within=within)


def normalized(*steps: Step, data: np.ndarray = VOLUME, invert: bool = False) -> np.ndarray:
    """Return a window of the volume after the steps."""
    return Normalizer.of(steps, context(data), invert=invert)(data[:5, :6, :7])


WINDOW = VOLUME[:5, :6, :7].astype(np.float64)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (ZeroMeanUnitVariance(eps=0), (WINDOW - VOLUME.mean()) / VOLUME.std()),
        (ZeroMeanUnitVariance(over="window", eps=0), (WINDOW - WINDOW.mean()) / WINDOW.std()),
        (ScaleRange(eps=0), (WINDOW - VOLUME.min()) / (VOLUME.max() - VOLUME.min())),
        (Fixed(mean=3, std=2), (WINDOW - 3) / 2),
        (Linear(gain=2, offset=-1), 2 * WINDOW - 1),
        (Linear(gain=0, offset=4), np.full(WINDOW.shape, 4.0)),
        (Clip(min=50, max=60), WINDOW.clip(50, 60)),
        (Clip(max=60), WINDOW.clip(None, 60)),
        (Clip(over="window", min_percentile=10), WINDOW.clip(np.percentile(WINDOW, 10), None)),
    ],
)
def test_each_step_is_what_it_says(step: Step, expected: np.ndarray) -> None:
    """Statistics are exact for mean, deviation and extremes."""
    assert np.allclose(normalized(step), expected, rtol=1e-4, atol=1e-4)


def test_percentiles_come_from_a_sample() -> None:
    """Of a volume that is smaller than the sample, they are near those of all voxels."""
    low, high = np.percentile(VOLUME, [1, 99])
    found = normalized(ScaleRange(min_percentile=1, max_percentile=99))
    assert np.allclose(found, (WINDOW - low) / (high - low), atol=0.02)


def test_later_steps_see_what_earlier_ones_made() -> None:
    """Mean and deviation after a clip are those of the clipped volume."""
    clipped = VOLUME.clip(20, 80)
    found = normalized(Clip(min=20, max=80), ZeroMeanUnitVariance())
    assert np.allclose(found, (WINDOW.clip(20, 80) - clipped.mean()) / clipped.std(), atol=0.02)
    twice = normalized(Linear(gain=-2, offset=5), ScaleRange(eps=0))
    turned = -2 * VOLUME.astype(float) + 5
    expected = (-2 * WINDOW + 5 - turned.min()) / (turned.max() - turned.min())
    assert np.allclose(twice, expected, atol=1e-4)


def test_an_inverted_volume_keeps_its_mean() -> None:
    """Dark becomes bright, about the mean."""
    assert np.allclose(normalized(invert=True), 2 * VOLUME.mean() - WINDOW, atol=1e-3)
    plain, inverted = normalized(ZeroMeanUnitVariance()), normalized(ZeroMeanUnitVariance(), invert=True)
    assert np.allclose(plain, -inverted, atol=1e-4)


def test_a_region_alone_counts() -> None:
    """What is outside of the region says nothing about it."""
    data = VOLUME.copy()
    inside = np.zeros(data.shape, bool)
    inside[:, :10] = True
    data[~inside] = 1e6
    found = Normalizer.of((ScaleRange(min_percentile=5, max_percentile=95),), context(data, inside), invert=False)
    assert 0 < np.median(found(data[:, :10])) < 1


def test_a_constant_volume_is_no_division_by_zero() -> None:
    """It stays finite."""
    flat = np.full((4, 5, 6), 3, np.float32)
    for step in (ZeroMeanUnitVariance(eps=0), ScaleRange(eps=0), ZeroMeanUnitVariance(over="window", eps=0)):
        assert np.isfinite(Normalizer.of((step,), context(flat), invert=False)(flat)).all()
