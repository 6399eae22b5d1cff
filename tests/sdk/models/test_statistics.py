"""Statistics as rows of a table."""

from __future__ import annotations

import pandas as pd
import pytest

from cryomamba.models.statistics import statistics_rows

LABEL = {"voxels": 8, "centroid_A": [1.0, 2.0, 3.0], "box_start": (0, 1, 2), "label": 1, "name": "membrane"}


@pytest.mark.parametrize("table", ["labels", "instances"])
def test_rows_are_flat_and_begin_with_what_they_are_about(table: str) -> None:
    """Vectors become one column an axis, so that every value is a number or a text."""
    (row,) = statistics_rows({table: [LABEL]}, table)  # type: ignore[arg-type]
    assert list(row)[:2] == ["label", "name"]
    assert [row[f"centroid_A_{axis}"] for axis in "zyx"] == [1.0, 2.0, 3.0]
    assert [row[f"box_start_{axis}"] for axis in "zyx"] == [0, 1, 2]
    assert not any(isinstance(value, list | tuple | dict) for value in row.values())


def test_rows_make_a_table_in_one_line() -> None:
    """Also where there are none."""
    assert pd.DataFrame(statistics_rows({"labels": [LABEL, LABEL]}))["voxels"].sum() == 16
    assert pd.DataFrame(statistics_rows({"labels": []})).empty
