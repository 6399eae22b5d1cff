"""Calibration of the membrane filter."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba.synth.wedge import apply_wedge
from cryomamba_inference.filters.membrane.calibration import learn_model, make_grid


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_streaks_of_gold_do_not_invert_the_contrast(contrast: str) -> None:
    """With strong noise and nearby gold, the bright fringes of dark gold are not taken for membranes."""
    data = np.random.default_rng(18).normal(scale=1.3, size=(96, 128, 128)).astype(np.float32)
    z, y, x = np.ogrid[-48:48, -64:64, -64:64]
    data[np.abs(np.sqrt(z * z + y * y + x * x) - 36) <= 2] -= 1
    for place in ((0, 0, 0), (10, -12, 9), (-9, 14, -11)):
        a, b, c = (axis - shift for axis, shift in zip((z, y, x), place, strict=True))
        data[a * a + b * b + c * c <= 36] -= 25
    apply_wedge(data, (10.0, 10.0, 10.0), 60.0)
    grid = make_grid(data.shape, (10.0, 10.0, 10.0))
    nodes = grid.resample(data if contrast == "dark" else -data, (0, 0, 0), (0, 0, 0), grid.node_shape)
    padding = np.zeros(nodes.shape, np.bool_)
    model = learn_model(nodes, padding, grid.step_A, contrast="auto", tilt_deg=None, thickness_A=45.0)
    assert model.sign == (-1 if contrast == "dark" else 1)
