"""The table of measurements, alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import mask_of
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets.statistics import StatisticsPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def layer(viewer: Any) -> Any:
    """Two boxes of 8 and 27 voxels of 1 nm³."""
    mask = np.zeros((12, 16, 20), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    mask[5:8, 5:8, 1:4] = 1
    return viewer.add_labels(mask, **Placement.of_volume((10.0, 10.0, 10.0)).layer_arguments())


@pytest.fixture
def statistics(viewer: Any, layer: Any, tasks: TaskRunner, notifications: Notifications, qtbot: Any) -> StatisticsPanel:
    found = StatisticsPanel(viewer, tasks, notifications)
    qtbot.addWidget(found)
    found.show_mask(mask_of(layer, None))
    return found


def test_labels_and_components_are_listed(
    statistics: StatisticsPanel, notifications: Notifications, wait_for: WaitFor, tmp_path: Path, qapp: Any
) -> None:
    """The label comes first, then its components by size; they can be left out, copied and saved."""
    statistics.measure_button.click()
    rows = wait_for(lambda: statistics.rows, notifications)
    assert [row.cells[2:5] for row in rows] == [("all", 35, 35.0), (1, 27, 27.0), (2, 8, 8.0)]
    statistics.copy_button.click()
    assert qapp.clipboard().text().splitlines()[0].startswith("Label\tName\tComponent")
    statistics.save_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith("kind,label,name")
    statistics.components.setChecked(False)
    assert statistics.table.rowCount() == 1


def test_an_edit_makes_the_table_out_of_date(
    statistics: StatisticsPanel, layer: Any, notifications: Notifications, wait_for: WaitFor
) -> None:
    """The button says that the mask was edited since."""
    statistics.measure_button.click()
    wait_for(lambda: statistics.rows, notifications)
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    assert statistics.measure_button.text() == "Measure again"


def test_a_double_click_goes_to_the_component(
    statistics: StatisticsPanel, viewer: Any, notifications: Notifications, wait_for: WaitFor
) -> None:
    """The view moves to the centre of mass."""
    statistics.measure_button.click()
    rows = wait_for(lambda: statistics.rows, notifications)
    statistics.table.cellDoubleClicked.emit(1, 0)
    assert rows[1].centre_nm == pytest.approx((6.0, 6.0, 2.0))
    assert viewer.dims.point == pytest.approx((6.0, 6.0, 2.0))
