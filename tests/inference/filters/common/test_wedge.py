"""Estimating the tilt range."""

from __future__ import annotations

import pytest

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.filters.common.wedge import estimate_tilt
from cryomamba_inference.filters.membrane.calibration import make_grid

SHAPE = (72, 128, 128)


@pytest.mark.parametrize("tilt_deg", [45.0, 60.0, None])
def test_the_tilt_range_is_estimated(tilt_deg: float | None) -> None:
    """For phantoms with gold and membranes it is right within 5°, also without a missing wedge."""
    for seed in (16, 17):
        spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=seed, noise=0.5, max_tilt_deg=tilt_deg)
        grid = make_grid(SHAPE, (10.0, 10.0, 10.0))
        density = synthesize(spec).density
        found = estimate_tilt([grid.resample(density, (0, 0, 0), (0, 0, 0), grid.node_shape)])
        assert found == pytest.approx(tilt_deg or 90.0, abs=5), seed
