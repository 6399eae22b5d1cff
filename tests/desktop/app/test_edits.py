"""Which edits of masks are unsaved, without panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.models.jobs import JobState
from napari_cryomamba.app.controller import AppController

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker

pytestmark = pytest.mark.desktop


def paint(layer: Any, label: int, at: int = 5) -> None:
    """Paint one voxel, by napari's own way."""
    layer.data_setitem(tuple(np.array([at]) for _ in range(3)), label)


def unsaved(controller: AppController) -> list[str]:
    """The layers with unsaved edits."""
    return [mask.layer.name for mask in controller.edits.unsaved()]


def test_a_mask_is_unsaved_from_its_first_edit_until_it_is_saved(controller: AppController, viewer: Any) -> None:
    """Painting makes it unsaved, saving does not cover what was painted meanwhile, an undo after it is an edit too."""
    layer = viewer.add_labels(np.zeros((8, 9, 10), np.uint8), name="mine")
    assert unsaved(controller) == []
    paint(layer, 1)
    state = controller.edits.state(layer)
    paint(layer, 2)
    controller.edits.mark_saved(layer, state)
    assert unsaved(controller) == ["mine"]
    controller.edits.mark_saved(layer, controller.edits.state(layer))
    assert unsaved(controller) == []
    layer.undo()
    assert unsaved(controller) == ["mine"]
    viewer.layers.remove(layer)
    assert unsaved(controller) == []


def test_a_threshold_that_is_previewed_does_not_hide_edits(controller: AppController, make_record: RecordMaker) -> None:
    """The edited voxels count while another array is shown in their place; another version replaces them for good."""
    record = make_record(state=JobState.COMPLETED)
    controller.jobs.on_record(record)
    controller.preview.show_mask(record, np.zeros((48, 96, 96), np.uint8), (13.0, 13.0, 13.0))
    overlay = controller.preview.overlays[record.job_id]
    edited = overlay.layer.data
    paint(overlay.layer, 1)
    overlay.show_temporarily(np.ones((24, 48, 48), np.uint8), 2)
    assert unsaved(controller) == [overlay.layer.name]
    assert controller.edits.array(overlay.layer) is edited
    overlay.restore()
    assert unsaved(controller) == [overlay.layer.name]
    controller.preview.show_mask(record, np.ones((48, 96, 96), np.uint8), (13.0, 13.0, 13.0))
    assert unsaved(controller) == []
