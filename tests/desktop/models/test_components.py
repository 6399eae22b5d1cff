"""The table of labels and components, and edits."""

from __future__ import annotations

from typing import Any

import pytest

from napari_cryomamba.models.components import COLUMNS, as_text, measure_mask, table_rows

SIZE = (20.0, 10.0, 10.0)


def test_the_table_has_labels_first_and_then_components_by_size(mask: Any) -> None:
    """Voxels, volume and centre are in the units of the column headers; components can be left out."""
    measured = measure_mask(mask, SIZE, {1: "vesicle"})
    rows = table_rows(measured)
    assert [row.cells[:4] for row in rows] == [
        (1, "vesicle", "all", 44),
        (2, "label 2", "all", 286),
        (2, "label 2", 1, 286),
        (1, "vesicle", 2, 36),
        (1, "vesicle", 3, 8),
    ]
    assert rows[3].cells[4] == 36 * 2.0
    assert rows[3].centre_nm == pytest.approx((6 * 2.0, 6 * 1.0, 2.5 * 1.0))
    assert len(rows[3].cells) == len(COLUMNS)
    assert len(table_rows(measured, components=False)) == 2


def test_the_table_goes_to_a_spreadsheet(mask: Any) -> None:
    """The clipboard gets a header and a line for each row, tab-separated."""
    rows = table_rows(measure_mask(mask, SIZE, {}))
    lines = as_text(rows).splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    assert len(lines) == len(rows) + 1


def test_a_pasted_name_is_no_formula(mask: Any) -> None:
    """The name of a label that a spreadsheet would compute begins with an apostrophe; numbers stay numbers."""
    rows = table_rows(measure_mask(mask, SIZE, {1: "=1+1"}))
    assert as_text(rows).splitlines()[1].split("\t")[:4] == ["1", "'=1+1", "all", "44"]


def test_a_row_finds_its_component(mask: Any) -> None:
    """Rows of components have a place, those of labels none."""
    rows = table_rows(measure_mask(mask, SIZE, {}))
    assert [row.place is None for row in rows] == [True, True, False, False, False]
    place = rows[3].place
    assert place is not None
    found = place.find(mask)
    assert (found.label, found.voxels, found.start) == (1, 36, (5, 5, 1))
