"""Tracing filaments through points."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_inference.filters.filaments.tracing import trace


def test_crossing_filaments_stay_two() -> None:
    """Two lines that cross are traced through the crossing, the longer one first."""
    run = np.arange(0, 1000, 20.0)
    one = np.column_stack([np.zeros_like(run), run, np.full_like(run, 400)])
    other = np.column_stack([np.zeros_like(run[:40]), np.full_like(run[:40], 500), run[:40]])
    rows = [
        np.column_stack([line, np.tile(way, (len(line), 1)), np.full(len(line), score)])
        for line, way, score in ((one, (0, 1, 0), 200), (other, (0, 0, 1), 180))
    ]
    found = trace(np.concatenate(rows), diameter_A=100, high=150, min_length_A=300, spacing_A=50)
    assert len(found) >= 2
    assert found[0].length == pytest.approx(980, abs=60)
    assert np.abs(found[0].points[:, 2] - 400).max() < 20
