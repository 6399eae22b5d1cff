"""What takes the place of masks in 3D, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Layer

from cryomamba.models.jobs import VolumeSummary
from cryomamba.volumes import write_volume
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.net.messages import JobChanged

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def previewed(
    controller: AppController, viewer: Any, make_record: RecordMaker, make_frame: FrameMaker, phantom_file: Path
) -> Any:
    """A running job with its first preview; its layer."""
    viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    volume = VolumeSummary(
        name="vesicles.mrc", shape=(48, 96, 96), voxel_size_A=(13.0, 13.0, 13.0), path=str(phantom_file)
    )
    controller.jobs.table.adopt("job-1")
    controller.on_message(JobChanged(make_record(volume=volume)))
    controller.preview.show_job("job-1")
    controller.frames["job-1"].put(make_frame())
    controller.preview.draw("job-1")
    return controller.preview.overlays["job-1"].layer


def test_a_running_preview_grows_in_3d(
    controller: AppController, viewer: Any, previewed: Any, make_frame: FrameMaker, wait_for: WaitFor
) -> None:
    """The surface lies on the preview's own grid, and follows its frames; the labels come back in 2D."""
    view = controller.volume_view
    viewer.dims.ndisplay = 3
    wait_for(lambda: view.surfaces, controller.notifications)
    (surface,) = view.surfaces
    np.testing.assert_allclose(surface.scale, previewed.scale)
    np.testing.assert_allclose(surface.translate, previewed.translate)
    before = len(surface.vertices)
    mask = np.zeros((24, 48, 48), np.uint8)
    mask[:, :20, :40] = 1
    controller.frames["job-1"].put(make_frame(seq=2, label=1))
    frame = make_frame(seq=3)
    frame.mask[...] = mask
    controller.frames["job-1"].put(frame)
    controller.preview.draw("job-1")
    wait_for(lambda: len(surface.vertices) > before, controller.notifications)
    assert not previewed.visible
    controller.preview.overlays["job-1"].palette.set_color(1, "#ff0000")
    controller.preview.overlays["job-1"].recolor()
    np.testing.assert_allclose(surface.vertex_colors[0], (1, 0, 0, 1))
    viewer.dims.ndisplay = 2
    assert previewed.visible
    assert surface not in viewer.layers
    assert not view.surfaces


def test_a_mask_that_arrives_in_3d_becomes_a_surface(
    controller: AppController, viewer: Any, previewed: Any, wait_for: WaitFor
) -> None:
    """A layer of labels that is added meanwhile, too; deleting it deletes its surface."""
    viewer.dims.ndisplay = 3
    labels = viewer.add_labels(np.ones((8, 9, 10), np.uint8), scale=(1.3,) * 3, units=("nm",) * 3, name="new")
    assert not labels.visible
    view = controller.volume_view
    wait_for(lambda: len(view.surfaces) == 2, controller.notifications)
    viewer.layers.remove(labels)
    assert [layer.name for layer in view.surfaces] == [f"{previewed.name} · surface"]
    viewer.dims.ndisplay = 2


def test_another_tomogram_brings_its_own_masks(
    controller: AppController, viewer: Any, previewed: Any, tmp_path: Path, wait_for: WaitFor
) -> None:
    """In 3D too, a tomogram is shown with its masks only, and 2D shows the same."""
    view = controller.volume_view
    first = viewer.layers[0]
    viewer.dims.ndisplay = 3
    wait_for(lambda: view.surfaces, controller.notifications)
    path = tmp_path / "second.mrc"
    write_volume(path, np.zeros((20, 40, 60), np.float32), 5.0)
    second = viewer.add_layer(Layer.create(*open_tomogram(path).layer()))
    assert view.section.data.shape == (1, 40, 60)
    assert not view.surfaces[0].visible
    viewer.dims.ndisplay = 2
    assert [layer.visible for layer in (first, second, previewed)] == [False, True, False]
    viewer.dims.ndisplay = 3
    controller.tomograms.show_only(first)
    wait_for(lambda: view.surfaces, controller.notifications)
    assert view.surfaces[0].visible
    assert view.section.data.shape == (1, 96, 96)
    viewer.dims.ndisplay = 2
    assert [layer.visible for layer in (first, second, previewed)] == [True, False, True]
