"""The lines with section and voxel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from napari.layers import Layer

from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


def test_section_and_voxel_follow_slider_and_cursor(
    panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor
) -> None:
    """The panel says section, voxel, nm and density of what is under the cursor; without a tomogram nothing."""
    viewer, bar = panel.viewer, panel.position
    assert bar.isHidden()
    layer = viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    viewer.dims.set_current_step(0, 9)
    viewer.cursor.position = (0.0, 13.0, 26.0)
    wait_for(lambda: bar.section.text() == "Section 10 of 48 (xy) · 11.7 13.0 26.0 nm")
    wait_for(lambda: bar.voxel.text() == f"Voxel z 10 y 11 x 21 · density {layer.data[9, 10, 20]:.4g}")
    assert not bar.isHidden()
    viewer.layers.clear()
    wait_for(bar.isHidden)
