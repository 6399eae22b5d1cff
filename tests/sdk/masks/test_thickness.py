"""The thickness of masks whose thickness is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cryomamba.masks import thickness
from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource

Shell = Callable[..., np.ndarray]


@pytest.mark.parametrize("thickness_A", [40, 50, 70])
def test_thickness_of_a_vesicles_membrane(make_shell: Shell, thickness_A: float) -> None:
    """The mean over all directions is right to 2.5 Å at voxels of 10 Å, and spreads by less than half a voxel."""
    mask = make_shell(250 + thickness_A / 2, 250 - thickness_A / 2, (10.0, 10.0, 10.0))
    found = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {}).labels[0]
    assert found.thickness_A == pytest.approx(thickness_A, abs=2.5)
    assert found.thickness_sd_A is not None
    assert found.thickness_sd_A < 5


def test_thick_objects_are_measured_with_a_large_enough_margin(
    monkeypatch: pytest.MonkeyPatch, make_shell: Shell
) -> None:
    """The smaller margin that is tried first does not change the thickness of thin or thick objects."""
    shell, ball = make_shell(140, 100, (10.0, 10.0, 10.0)), make_shell(140, 0, (10.0, 10.0, 10.0))
    source = LabelSource.of_array(np.concatenate([shell, ball], axis=2).astype(np.uint8), (10.0, 10.0, 10.0))
    near = list(measure(source, {}).instances())
    monkeypatch.setattr(thickness, "_NEAR", 1.0)
    for one, other in zip(near, measure(source, {}).instances(), strict=True):
        assert one.thickness_A == pytest.approx(other.thickness_A)
        assert one.thickness_sd_A == pytest.approx(other.thickness_sd_A)
