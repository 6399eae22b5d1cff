"""Tracing filaments through points."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_inference.decoders.tracing import trace


def straight(first_A: float, last_A: float, score: float = 200.0) -> np.ndarray:
    """Return rows of points on a line along y."""
    run = np.arange(first_A, last_A, 20.0)
    return np.column_stack([0 * run, run, 0 * run, np.tile((0, 1, 0), (len(run), 1)), np.full(len(run), score)])


@pytest.mark.parametrize(("gap_A", "filaments"), [(120, 1), (400, 2)])
def test_short_gaps_are_bridged(gap_A: float, filaments: int) -> None:
    """A line with a gap of about a diameter is one filament; behind a gap of four diameters another one begins."""
    rows = np.concatenate([straight(0, 600), straight(600 + gap_A, 1400)])
    found = trace(rows, diameter_A=100, high=150, min_length_A=300, spacing_A=50)
    assert len(found) == filaments
    assert sum(one.length for one in found) == pytest.approx(1400 - (filaments - 1) * gap_A, abs=150)


def test_a_gap_before_a_line_beside_it_is_not_bridged() -> None:
    """A line that goes on sideways of the first one is another filament."""
    aside = straight(750, 1400)
    aside[:, 2] += 150
    found = trace(np.concatenate([straight(0, 600), aside]), diameter_A=100, high=150, min_length_A=300, spacing_A=50)
    assert len(found) == 2


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
