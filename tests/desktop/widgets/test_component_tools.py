"""Tools that act on the component that is clicked, and the table of components beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

from napari_cryomamba.models.component_tool import Tool
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def layer(panel: CryoMambaWidget) -> Any:
    """A bar, a ball with another beside it that touches, and a small box, in voxels of 2 × 1 × 1 nm."""
    mask = np.zeros((20, 60, 60), np.uint8)
    mask[9:12, 5:9, 5:55] = 1
    mask[2:4, 50:53, 3:6] = 1
    z, y, x = np.indices(mask.shape)
    for centre, radius in ((20, 10), (38, 9)):
        mask[np.hypot(np.hypot((z - 10) * 2, y - 30), x - centre) <= radius] = 2
    added = panel.viewer.add_labels(mask, **Placement.of_volume((20.0, 10.0, 10.0)).layer_arguments())
    panel.viewer.dims.set_current_step(0, 10)
    return added


def sizes(layer: Any) -> list[int]:
    return [int(count) for count in np.bincount(np.asarray(layer.data).reshape(-1))[1:]]


def mouse(viewer: Any, at: Any, to: Any = None) -> None:
    """Click in the viewer at a voxel, or drag."""
    scale = viewer.layers[0].scale

    def event(kind: str, voxel: Any, *, dragging: bool) -> Any:
        return read_only_mouse_event(
            type=kind,
            is_dragging=dragging,
            button=1,
            position=tuple(np.array(voxel) * scale),
            pos=np.array(voxel[1:], float) * 5,
            view_direction=None,
            dims_displayed=[1, 2],
        )

    mouse_press_callbacks(viewer, event("mouse_press", at, dragging=False))
    if to is not None:
        mouse_move_callbacks(viewer, event("mouse_move", to, dragging=True))
    mouse_release_callbacks(viewer, event("mouse_release", at if to is None else to, dragging=False))


def test_a_click_deletes_keeps_or_splits_and_undo_takes_it_back(
    panel: CryoMambaWidget, layer: Any, wait_for: WaitFor
) -> None:
    """Each is one step; a drag moves the view and edits nothing."""
    editor, tools = panel.edit.editor, panel.edit.tools
    before, counts = layer.data.copy(), sizes(layer)
    for tool, at, expected in ((Tool.DELETE, (10, 6, 10), [18, counts[1]]), (Tool.KEEP, (10, 6, 10), [600, counts[1]])):
        tools.buttons[tool].click()
        mouse(panel.viewer, at, to=(10, 30, 40))
        assert not editor.busy
        mouse(panel.viewer, at)
        wait_for(lambda: not editor.busy, panel.controller.notifications)
        assert sizes(layer) == expected
        panel.edit.undo.click()
        np.testing.assert_array_equal(layer.data, before)
    tools.buttons[Tool.SPLIT].click()
    mouse(panel.viewer, (10, 30, 38))
    wait_for(lambda: not editor.busy, panel.controller.notifications)
    assert layer.data[10, 30, 20] == 2
    assert layer.data[10, 30, 40] == 3
    assert sizes(layer)[0] == counts[0]
    assert sum(sizes(layer)) == sum(counts)


def test_a_component_is_filled_grown_shrunk_and_smoothed(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """By a length in nm, and what belongs to other labels stays."""
    editor, tools = panel.edit.editor, panel.edit.tools
    layer.data[10, 6, 30] = 0
    layer.data[8, 6, 20] = 2
    before, counts = layer.data.copy(), sizes(layer)
    tools.length.setValue(2.0)

    def changed(tool: Tool) -> Any:
        tools.choose(tool)
        mouse(panel.viewer, (10, 6, 10))
        wait_for(lambda: not editor.busy and (layer.data != before).any(), panel.controller.notifications)
        after = layer.data.copy()
        panel.edit.undo.click()
        np.testing.assert_array_equal(layer.data, before)
        return after

    assert changed(Tool.FILL)[10, 6, 30] == 1
    grown = changed(Tool.GROW)
    # One section of 2 nm, two rows of 1 nm.
    assert (grown[8, 6, 15], grown[7, 6, 15], grown[10, 10, 15], grown[10, 11, 15]) == (1, 0, 1, 0)
    assert grown[8, 6, 20] == 2
    assert (grown[2:4, 50:53, 3:6] == 1).all()
    tools.length.setValue(1.0)
    shrunk = changed(Tool.SHRINK)
    assert 18 < (shrunk == 1).sum() < counts[0]
    assert (changed(Tool.SMOOTH) == 1).sum() < counts[0]


def test_components_are_merged_by_two_clicks(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """The second gets the label of the first, which is outlined meanwhile."""
    tools = panel.edit.tools
    tools.buttons[Tool.MERGE].click()
    mouse(panel.viewer, (10, 30, 20))
    wait_for(lambda: "label 2" in tools.hint.text(), panel.controller.notifications)
    assert panel.component_link.outline.layer in panel.viewer.layers
    total = sum(sizes(layer))
    mouse(panel.viewer, (10, 6, 10))
    wait_for(lambda: sizes(layer) == [18, total - 18], panel.controller.notifications)
    assert panel.component_link.outline.layer is None


def test_a_line_cuts_a_component(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """What lies beyond the line gets a label of its own, whatever axis is scrolled."""
    tools = panel.edit.tools
    for order, begin, end in (((0, 1, 2), (10, 2, 15), (10, 12, 15)), ((1, 0, 2), (4, 7, 15), (16, 7, 15))):
        panel.viewer.dims.order = order
        tools.buttons[Tool.CUT].click()
        assert panel.viewer.layers.selection.active.name == "cut"
        tools.cut(begin, end)
        wait_for(lambda: len(sizes(layer)) == 3, panel.controller.notifications)
        assert (layer.data[10, 6, 5:15] == 3).all()
        assert (layer.data[10, 6, 17:55] == 1).all()
        tools.choose(None)
        assert [one.name for one in panel.viewer.layers] == [layer.name]
        panel.edit.undo.click()
        assert len(sizes(layer)) == 2


def test_table_and_image_select_the_same_component(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """A click on a component selects its row, and a row outlines its component, exactly on it."""
    statistics, link = panel.statistics, panel.component_link
    statistics.measure()
    wait_for(lambda: statistics.rows, panel.controller.notifications)
    panel.edit.tools.buttons[Tool.SELECT].click()
    mouse(panel.viewer, (10, 6, 10))
    wait_for(statistics.selected_places, panel.controller.notifications)
    (place,) = statistics.selected_places()
    assert (place.label, place.voxels) == (1, 600)
    assert "600 voxels, 1,200 nm³" in panel.edit.status.text()
    row = next(
        row for row in range(statistics.table.rowCount()) if statistics.rows[statistics.table.index_of(row)].place
    )
    statistics.table.select_row(row)
    (place,) = statistics.selected_places()
    wait_for(lambda: link.outline.layer.data.sum() == place.voxels, panel.controller.notifications)
    outline = link.outline.layer
    np.testing.assert_allclose(outline.translate, np.array(place.start) * layer.scale)
    assert panel.viewer.layers.selection.active is layer
    assert panel.mask_panel.current is not None
    assert panel.mask_panel.current.layer is layer


def test_selected_rows_are_deleted(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """Their components and rows go, in one step that can be undone."""
    statistics = panel.statistics
    statistics.measure()
    wait_for(lambda: statistics.rows, panel.controller.notifications)
    places = [row.place for row in statistics.rows if row.place is not None and row.place.label == 1]
    assert len(places) == 2
    counts, rows = sizes(layer), statistics.table.rowCount()
    statistics.table.setSelectionMode(statistics.table.SelectionMode.MultiSelection)
    for row in range(rows):
        if statistics.rows[statistics.table.index_of(row)].place in places:
            statistics.table.selectRow(row)
    statistics.edit_buttons[0].click()
    wait_for(lambda: sizes(layer) == [0, counts[1]], panel.controller.notifications)
    assert statistics.table.rowCount() == rows - 2
    assert statistics.measure_button.text() == "Measure again"
    panel.edit.undo.click()
    assert sizes(layer) == counts


def test_taking_the_brush_puts_the_tool_away(panel: CryoMambaWidget, layer: Any) -> None:
    """A click paints then, and the view has no callback left."""
    tools = panel.edit.tools
    tools.buttons[Tool.DELETE].click()
    assert tools.tool is Tool.DELETE
    panel.edit.brush.click()
    assert tools.tool is None
    assert not tools.buttons[Tool.DELETE].isChecked()
    assert layer.mode == "paint"
    before = sizes(layer)
    mouse(panel.viewer, (10, 6, 10))
    assert sizes(layer) == before


def test_what_cannot_be_done_is_said_beside_the_tools(panel: CryoMambaWidget, layer: Any, wait_for: WaitFor) -> None:
    """A bar has no constriction: the text under the tools says so and what to do, and the mask stays."""
    panel.edit.tools.buttons[Tool.SPLIT].click()
    before = sizes(layer)
    mouse(panel.viewer, (2, 51, 4))
    wait_for(lambda: "no constriction" in panel.edit.status.text())
    assert "Draw a line" in panel.edit.status.text()
    assert panel.edit.isEnabled()
    assert sizes(layer) == before
