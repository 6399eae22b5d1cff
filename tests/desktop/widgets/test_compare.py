"""Two masks compared in the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.masks.compare import BOTH, ONLY_FIRST, ONLY_SECOND
from cryomamba.masks.editing.component import find_component
from napari_cryomamba.layers.history import apply_edit
from napari_cryomamba.models.edits import relabel
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop
GRID = Placement.of_volume((20.0, 10.0, 10.0)).layer_arguments()


@pytest.fixture
def masks(panel: CryoMambaWidget) -> tuple[Any, Any]:
    """Two slabs, the second a voxel farther along x, and a mask of another shape; the first is selected."""
    first, second = np.zeros((8, 20, 30), np.uint8), np.zeros((8, 20, 30), np.uint16)
    first[2:6, 5:15, 10:14], second[2:6, 5:15, 11:15] = 1, 3
    layers = [panel.viewer.add_labels(mask, name=name, **GRID) for mask, name in ((first, "one"), (second, "two"))]
    panel.viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="elsewhere")
    panel.viewer.layers.selection.active = layers[0]
    return layers[0], layers[1]


def test_scores_of_two_masks(panel: CryoMambaWidget, masks: tuple[Any, Any], wait_for: WaitFor) -> None:
    """A slab that is moved by a voxel has Dice 0.75 and F1 1; only masks of the same shape are offered."""
    compare = panel.compare
    assert [compare.other.itemText(row) for row in range(compare.other.count())] == ["two"]
    compare.score_button.click()
    wait_for(lambda: "Dice" in compare.text.text(), panel.controller.notifications)
    assert compare.text.text().startswith("Dice 0.750 · F1 within one voxel 1.000\n160 and 160 voxels, 120 in common")


def test_a_and_b_are_shown_in_turn(panel: CryoMambaWidget, masks: tuple[Any, Any]) -> None:
    """One of them is visible after each press, and the text says which."""
    one, two = masks
    panel.menu.compare_requested.emit()
    assert (one.visible, two.visible) == (True, False)
    panel.compare.toggle_button.click()
    assert (one.visible, two.visible) == (False, True)
    assert panel.compare.text.text() == "Shown: two"


def test_the_difference_follows_edits(panel: CryoMambaWidget, masks: tuple[Any, Any]) -> None:
    """Three labels, computed for the slice that is shown; an edit shows at once, and the masks come back."""
    one, two = masks
    compare = panel.compare
    compare.difference_button.click()
    layer = panel.viewer.layers["difference"]
    assert panel.viewer.layers.selection.active is one
    assert (one.visible, two.visible) == (False, False)
    panel.viewer.dims.set_current_step(0, 3)
    row = [ONLY_FIRST, BOTH, BOTH, BOTH, ONLY_SECOND]
    assert layer._slice.image.raw[8, 10:15].tolist() == row
    apply_edit(one, relabel([find_component(one.data, (3, 8, 11))], 0))
    assert layer._slice.image.raw[8, 10:15].tolist() == [0, *[ONLY_SECOND] * 4]
    compare.difference_button.click()
    assert "difference" not in panel.viewer.layers
    assert (one.visible, two.visible) == (True, True)


def test_the_difference_with_a_third_mask_shows_the_second_again(
    panel: CryoMambaWidget, masks: tuple[Any, Any]
) -> None:
    """While the difference is shown, the two masks that it is computed from are hidden, and no other."""
    one, two = masks
    third = panel.viewer.add_labels(np.zeros((8, 20, 30), np.uint8), name="three", **GRID)
    panel.viewer.layers.selection.active = one
    compare = panel.compare
    compare.other.setCurrentText("two")
    compare.show_difference()
    compare.other.setCurrentText("three")
    assert (one.visible, two.visible, third.visible) == (False, True, False)
    compare.difference_button.click()
    assert (one.visible, two.visible, third.visible) == (True, True, True)


def test_scores_are_shown_only_beside_the_masks_that_they_are_of(
    panel: CryoMambaWidget, masks: tuple[Any, Any], wait_for: WaitFor
) -> None:
    """If another mask is chosen while they are computed, they are left out."""
    panel.viewer.add_labels(np.zeros((8, 20, 30), np.uint8), name="three", **GRID)
    panel.viewer.layers.selection.active = masks[0]
    compare = panel.compare
    compare.other.setCurrentText("two")
    compare.score_button.click()
    compare.other.setCurrentText("three")
    wait_for(compare.score_button.isEnabled, panel.controller.notifications)
    assert compare.text.text() == ""


def test_one_mask_has_nothing_to_be_compared_with(panel: CryoMambaWidget, masks: tuple[Any, Any]) -> None:
    """The panel says how to get a second one; taking a mask away ends the difference."""
    compare = panel.compare
    compare.show_difference()
    panel.viewer.layers.remove(masks[1])
    assert not compare.difference_button.isEnabled()
    assert "second mask" in compare.text.text()
    assert "difference" not in panel.viewer.layers
