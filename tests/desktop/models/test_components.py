"""The table of labels and components, and edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from cryomamba.errors import NotFoundError
from napari_cryomamba.layers.masks import apply_edit
from napari_cryomamba.models.components import (
    COLUMNS,
    as_text,
    fill_holes,
    keep_component,
    measure_mask,
    remove_small_components,
    table_rows,
)

SIZE = (20.0, 10.0, 10.0)


@pytest.fixture
def mask() -> Any:
    """Two boxes of label 1 and one hollow box of label 2."""
    found = np.zeros((12, 16, 20), np.uint8)
    found[1:3, 1:3, 1:3] = 1
    found[5:8, 5:8, 1:5] = 1
    found[2:9, 9:15, 9:16] = 2
    found[4:6, 11:13, 11:13] = 0
    return found


def counts(mask: Any) -> list[int]:
    return [int(count) for count in np.bincount(mask.reshape(-1), minlength=3)]


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


def test_small_components_are_removed_and_large_ones_stay(mask: Any) -> None:
    """A minimum of 20 nm³ removes the box of 16 nm³ and nothing else, and undo restores it."""
    layer = Labels(mask)
    apply_edit(layer, remove_small_components(mask, SIZE, 20.0))
    assert counts(layer.data)[1:] == [36, 286]
    layer.undo()
    assert counts(layer.data)[1:] == [44, 286]


def test_holes_are_filled_and_openings_are_not(mask: Any) -> None:
    """Only background enclosed on all sides is filled, with the label around it."""
    layer = Labels(mask.copy())
    apply_edit(layer, fill_holes(mask, SIZE))
    assert counts(layer.data)[1:] == [44, 294]
    mask[2:5, 11, 11] = 0
    assert len(fill_holes(mask, SIZE)) == 0


def test_the_chosen_component_is_kept_and_other_labels_stay(mask: Any) -> None:
    """Only the other components of its label are removed; on background, an error says what to do."""
    layer = Labels(mask.copy())
    apply_edit(layer, keep_component(mask, SIZE, (1, 1, 1)))
    assert counts(layer.data)[1:] == [8, 286]
    with pytest.raises(NotFoundError) as caught:
        keep_component(mask, SIZE, (0, 0, 0))
    assert caught.value.hint
