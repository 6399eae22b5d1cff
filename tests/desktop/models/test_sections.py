"""Sections of a tomogram."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryomamba.models.sections import Position, axis_range


def test_every_section_has_its_step() -> None:
    """Whatever the voxel size, napari counts as many steps as there are sections."""
    rng = np.random.default_rng(0)
    for count, step in zip(rng.integers(1, 3000, 2000).tolist(), rng.uniform(0.05, 5, 2000).tolist(), strict=True):
        start, stop, found = axis_range(count, step)
        assert found == step
        assert int((stop - start) / step) + 1 == count
        assert stop == pytest.approx((count - 1) * step)


def test_a_position_is_said_in_sections_voxels_and_nm() -> None:
    """Sections and voxels are counted from 1; outside of the tomogram there is no voxel."""
    at = Position(shape=(48, 96, 100), axis=0, voxel=(24, 33, 50), nm=(31.2, 42.9, 65.0), density=-12.34567)
    assert at.section_text() == "Section 25 of 48 (xy) · 31.2 42.9 65.0 nm"
    assert at.cursor_text() == "Voxel z 25 y 34 x 51 · density -12.35"
    outside = Position(shape=(48, 96, 100), axis=2, voxel=(24, -1, 50), nm=(31.2, -1.3, 65.0))
    assert outside.section_text() == "Section 51 of 100 (yz) · 65.0 nm"
    assert "not over" in outside.cursor_text()
