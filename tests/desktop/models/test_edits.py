"""Edits of a mask, and its history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.editing.component import Component, find_component
from napari_cryomamba.layers.history import apply_edit, keep_history, step_bytes
from napari_cryomamba.models.edits import (
    fill_holes,
    interpolate,
    keep_components,
    merge_components,
    relabel,
    remove_small_components,
    split_component,
)

SIZE = (20.0, 10.0, 10.0)


def counts(mask: Any) -> list[int]:
    return [int(count) for count in np.bincount(mask.reshape(-1), minlength=3)][1:]


def small(mask: Any) -> Component:
    return find_component(mask, (1, 1, 1))


def large(mask: Any) -> Component:
    return find_component(mask, (5, 5, 1))


def test_small_components_are_removed_and_large_ones_stay(mask: Any) -> None:
    """A minimum of 20 nm³ removes the box of 16 nm³ and nothing else, and undo restores it."""
    layer = Labels(mask)
    apply_edit(layer, remove_small_components(mask, SIZE, 20.0))
    assert counts(layer.data) == [36, 286]
    layer.undo()
    assert counts(layer.data) == [44, 286]
    layer.redo()
    assert counts(layer.data) == [36, 286]


def test_holes_are_filled_and_openings_are_not(mask: Any) -> None:
    """Only background enclosed on all sides is filled, with the label around it."""
    layer = Labels(mask.copy())
    apply_edit(layer, fill_holes(mask, SIZE))
    assert counts(layer.data) == [44, 294]
    mask[2:5, 11, 11] = 0
    assert len(fill_holes(mask, SIZE)) == 0


def test_components_are_kept_deleted_and_merged(mask: Any) -> None:
    """Others of the same label go when one is kept, other labels stay; a merged one has the label of the first."""
    for edit, expected in (
        (keep_components(mask, [small(mask)]), [8, 286]),
        (keep_components(mask, [small(mask), large(mask)]), [44, 286]),
        (relabel([small(mask)], 0), [36, 286]),
        (merge_components([find_component(mask, (2, 9, 9)), large(mask)]), [8, 322]),
    ):
        layer = Labels(mask.copy())
        apply_edit(layer, edit)
        assert counts(layer.data) == expected
        if len(edit):
            layer.undo()
        np.testing.assert_array_equal(layer.data, mask)
    with pytest.raises(InvalidRequestError, match="same label"):
        merge_components([small(mask), large(mask)])


def test_an_edit_takes_the_memory_of_its_box(mask: Any) -> None:
    """A component in a large mask is a step of a few bytes for each voxel of its box."""
    big = np.zeros((200, 300, 300), np.uint8)
    big[:12, :16, :20] = mask
    layer = Labels(big)
    apply_edit(layer, relabel([large(big)], 0))
    assert step_bytes(layer._undo_history[-1]) <= 3 * 36
    apply_edit(layer, keep_components(big, [find_component(big, (2, 9, 9))]))
    assert len(layer._undo_history) == 1


def test_the_parts_of_a_component_get_labels_that_are_not_used(mask: Any) -> None:
    """Above those of the mask if its type has more, else those in between; without any a message says so."""
    parts = np.where(np.indices((3, 3, 4))[2] < 2, 1, 2).astype(np.uint16)
    edit = split_component(mask, large(mask), parts)
    assert edit.added == (3,)
    layer = Labels(mask.copy())
    apply_edit(layer, edit)
    assert counts(layer.data) == [26, 286, 18]
    mask[0, 0, :3] = [254, 255, 4]
    assert split_component(mask, large(mask), parts).added == (3,)
    mask.reshape(-1)[-255:] = np.arange(1, 256)
    with pytest.raises(InvalidRequestError, match="uses all 255"):
        split_component(mask, large(mask), parts)


def test_sections_between_are_interpolated_and_other_labels_stay() -> None:
    """What is painted over in between keeps its label, and one undo empties the gap again."""
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[[1, 5, 9], 5:15, 5:15] = 2
    mask[3, 8, 8] = 7
    before = mask.copy()
    layer = Labels(mask)
    apply_edit(layer, interpolate(mask, 2, 0, SIZE, longest_gap=5))
    assert (layer.data[1:10, 5:15, 5:15] == 2).sum() == 899
    assert layer.data[3, 8, 8] == 7
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_the_history_has_as_many_steps_as_fit_into_its_memory() -> None:
    """Strokes and edits alike are undone far beyond napari's hundred; the oldest are forgotten when memory is full."""
    layer = Labels(np.zeros((4, 64, 64), np.uint8))
    keep_history(layer)
    layer.brush_size = 1
    for step in range(250):
        layer.paint((1, step % 64, step // 64 * 8), 2)
    assert len(layer._undo_history) == 250
    for _ in range(250):
        layer.undo()
    assert not layer.data.any()

    full = Labels(np.zeros((40, 64, 64), np.uint8))
    keep_history(full, 5 * 3 * 4096)
    for z in range(40):
        full.data[z, ::2] = 1
        apply_edit(full, relabel([find_component(full.data, (z, y, 0)) for y in range(0, 64, 2)], 2))
    steps = full._undo_history
    assert 1 < len(steps) < 40
    assert sum(map(step_bytes, steps)) <= 5 * 3 * 4096
    huge = Labels(np.ones((4, 64, 64), np.uint8))
    keep_history(huge, 1)
    apply_edit(huge, relabel([find_component(huge.data, (0, 0, 0))], 0))
    huge.undo()
    assert huge.data.all()
