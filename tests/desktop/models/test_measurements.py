"""Lengths and angles as rows of a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_cryomamba.models.measurements import COLUMNS, Kind, as_text, measure_shape, write_csv, write_profile


def test_a_ruler_has_the_length_in_three_dimensions() -> None:
    """3, 4 and 12 nm apart along the axes is 13 nm."""
    found = measure_shape("measurements", 1, Kind.RULER, [(0, 0, 0), (3, 4, 12)])
    assert found is not None
    assert (found.value, found.text) == (13.0, "13.0 nm")
    assert found.cells == ("measurements", 1, "ruler", 13.0, "nm", 0.0, 0.0, 0.0, 3.0, 4.0, 12.0)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 45.0, 90.0, 179.9999, 180.0])
def test_an_angle_is_that_at_the_second_point(degrees: float) -> None:
    """Whatever the lengths of its sides, and exact near 0 and 180 degrees too."""
    turn = np.radians(degrees)
    apex = np.array([5.0, 5.0, 5.0])
    sides = np.array([[0, 0, 300], [0, 0, 0], [0, 0.2 * np.sin(turn), 0.2 * np.cos(turn)]])
    points = apex + sides
    found = measure_shape("measurements", 2, Kind.ANGLE, points)
    assert found is not None
    assert found.value == pytest.approx(degrees, abs=1e-6)
    assert found.unit == "°"
    assert found.begin == (5, 5, 5)
    assert len(found.cells) == len(COLUMNS)


def test_too_few_points_are_no_measurement() -> None:
    """A single point, or an angle with two."""
    assert measure_shape("m", 1, Kind.RULER, [(0, 0, 0)]) is None
    assert measure_shape("m", 1, Kind.ANGLE, [(0, 0, 0), (1, 1, 1)]) is None


def test_tables_go_to_spreadsheets(tmp_path: Path) -> None:
    """Text and CSV have a header and a line per row, and names that are no formulas; a profile has its gaps."""
    found = measure_shape("measurements", 1, Kind.RULER, [(0, 0, 0), (3, 4, 12)])
    assert found is not None
    assert as_text([found]).splitlines()[1].split("\t")[:4] == ["measurements", "1", "ruler", "13.0"]
    write_csv([found, found], tmp_path / "m.csv")
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 3
    named = replace(found, layer="=1+1\t2")
    assert as_text([named]).splitlines()[1].split("\t")[:2] == ["'=1+1\\t2", "1"]
    write_csv([named], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[1].startswith("'=1+1\\t2,1,ruler,13.0,nm,")
    write_profile(np.array([0.0, 0.5]), np.array([1.25, np.nan]), tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "position nm,density\n0.000,1.25\n0.500,\n"
