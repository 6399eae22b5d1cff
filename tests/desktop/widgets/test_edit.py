"""The panel for edits, alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import mask_of
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets.edit import EditPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def layer(viewer: Any) -> Any:
    """Two boxes of 8 and 27 voxels of 1 nm³, and a hollow one."""
    mask = np.zeros((12, 16, 20), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    mask[5:8, 5:8, 1:4] = 1
    mask[2:9, 9:15, 9:16] = 2
    mask[4:6, 11:13, 11:13] = 0
    return viewer.add_labels(mask, **Placement.of_volume((10.0, 10.0, 10.0)).layer_arguments())


@pytest.fixture
def edit(viewer: Any, layer: Any, tasks: TaskRunner, notifications: Notifications, qtbot: Any) -> EditPanel:
    found = EditPanel(viewer, tasks, notifications)
    qtbot.addWidget(found)
    found.show_mask(mask_of(layer, None))
    return found


def count(layer: Any, label: int) -> int:
    return int(np.count_nonzero(np.asarray(layer.data) == label))


def test_small_components_are_removed_and_undo_brings_them_back(
    edit: EditPanel, layer: Any, notifications: Notifications, wait_for: WaitFor
) -> None:
    """The minimum volume stands in nm³ with its number of voxels, and the edit can be undone."""
    edit.min_volume.setValue(20)
    assert edit.voxels.text() == "= 20 voxels"
    edit.remove_button.click()
    wait_for(edit.isEnabled, notifications)
    assert (count(layer, 1), count(layer, 2)) == (27, 286)
    assert notifications.history.entries[-1].text == "8 voxels changed."
    edit.undo.click()
    assert count(layer, 1) == 35


def test_holes_are_filled(edit: EditPanel, layer: Any, notifications: Notifications, wait_for: WaitFor) -> None:
    """Enclosed background gets the label around it."""
    edit.fill_button.click()
    wait_for(edit.isEnabled, notifications)
    assert count(layer, 2) == 294


def test_the_component_under_the_cursor_is_kept(
    edit: EditPanel, viewer: Any, layer: Any, notifications: Notifications, wait_for: WaitFor
) -> None:
    """Others of its label go, other labels stay; beside the mask a message says what to do."""
    viewer.cursor.position = layer.data_to_world((1, 1, 1))
    edit.keep_component()
    wait_for(edit.isEnabled, notifications)
    assert (count(layer, 1), count(layer, 2)) == (8, 286)
    viewer.cursor.position = (-50.0, 0.0, 0.0)
    edit.keep_component()
    assert notifications.history.entries[-1].hint == "Point at the mask, then press Alt+K."


def test_the_brush_is_a_ball_of_a_size_in_nm(edit: EditPanel, layer: Any) -> None:
    """With the switch for 3D it paints through the sections; size and switch follow napari's own controls."""
    layer.selected_label = 3
    edit.brush_size.setValue(5)
    assert layer.brush_size == 5
    layer.paint((6, 8, 8), 3)
    assert np.unique(np.nonzero(layer.data == 3)[0]).tolist() == [6]
    edit.volume_box.setChecked(True)
    layer.paint((6, 8, 8), 3)
    sections, rows, columns = (np.unique(axis) for axis in np.nonzero(layer.data == 3))
    assert sections.tolist() == [4, 5, 6, 7, 8]
    assert len(rows) == len(columns) == 5
    edit.undo.click()
    assert np.unique(np.nonzero(layer.data == 3)[0]).tolist() == [6]
    layer.n_edit_dimensions, layer.brush_size = 2, 9
    assert not edit.volume_box.isChecked()
    assert edit.brush_size.value() == 9
