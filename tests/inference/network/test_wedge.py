"""Estimating the tilt range."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from tests.inference.network.prepared import nodes_of

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.network.wedge import NO_WEDGE, estimate_tilt


@pytest.mark.slow
@pytest.mark.parametrize("tilt_deg", [45.0, 60.0, None])
def test_the_tilt_range_is_estimated(tilt_deg: float | None) -> None:
    """For phantoms with gold and membranes it is right within 5°, also without a missing wedge."""
    for seed in (16, 17):
        spec = PhantomSpec(shape=(72, 128, 128), voxel_size_A=10.0, seed=seed, noise=0.5, max_tilt_deg=tilt_deg)
        found = estimate_tilt([nodes_of(synthesize(spec).density, (10.0, 10.0, 10.0))])
        assert found == pytest.approx(tilt_deg or NO_WEDGE, abs=5), seed


def test_power_that_rises_along_z_again_is_no_wedge() -> None:
    """Where something strong fills the last angles, as the edge of a back-projected volume, it is no error."""
    z = np.arange(64, dtype=np.float32)[:, None, None]
    field = np.random.default_rng(3).normal(size=(64, 64, 64)).astype(np.float32)
    kz, kx = np.abs(scipy.fft.fftfreq(64))[:, None, None], scipy.fft.rfftfreq(64)[None, None, :]
    spectrum = scipy.fft.rfftn(field) * (np.degrees(np.arctan2(kz, kx + 1e-9)) < 60)
    found = scipy.fft.irfftn(spectrum, field.shape)
    for strength in (0.02, 0.05, 0.1, 0.3, 1.0):
        assert 0 < estimate_tilt([np.asarray(found + strength * np.sin(2 * np.pi * 0.3 * z), np.float32)]) <= NO_WEDGE


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 40, 3), (16, 16, 16)])
def test_where_there_is_nothing_to_estimate_there_is_no_wedge(shape: tuple[int, int, int]) -> None:
    """Constant and tiny blocks are no error, and have no missing wedge."""
    assert estimate_tilt([np.zeros(shape, np.float32)]) == NO_WEDGE
    assert 0 < estimate_tilt([np.random.default_rng(1).normal(size=shape).astype(np.float32)]) <= NO_WEDGE
