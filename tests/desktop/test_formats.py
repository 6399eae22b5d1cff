"""Tomograms that are not MRC files: opened, segmented on this computer, and what is exported is opened again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QInputDialog, QLabel

from cryomamba.volumes import inspect, open_volume, write_volume
from cryomamba.volumes.exports import write_ome_zarr, write_tiff
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def tiff(phantom_file: Path, tmp_path: Path) -> Path:
    """The phantom as TIFF."""
    with open_volume(phantom_file) as volume:
        write_tiff(volume, tmp_path / "cell.ome.tif")
    return tmp_path / "cell.ome.tif"


@pytest.fixture
def zarr_folder(phantom_file: Path, tmp_path: Path) -> Path:
    """The phantom as OME-Zarr."""
    with open_volume(phantom_file) as volume:
        write_ome_zarr(volume, tmp_path / "cell.ome.zarr")
    return tmp_path / "cell.ome.zarr"


def open_and_measure(panel: CryoMambaWidget, path: Path, wait_for: WaitFor) -> Any:
    """Open a file and wait until it is measured and engines are found."""
    panel.controller.tomograms.open_files([path])
    wait_for(lambda: panel.tomogram.measured and panel.controller.jobs.local_engines, panel.controller.notifications)
    return panel.viewer.layers[-1]


def segment(panel: CryoMambaWidget, wait_for: WaitFor, engine: str = "threshold") -> Any:
    """Run an engine here, and return the overlay of the finished mask."""
    panel.segment.engine.setCurrentText(engine)
    panel.segment.local_button.click()
    overlays = panel.controller.preview.overlays
    [overlay] = wait_for(lambda: [o for o in overlays.values() if o.final], panel.controller.notifications)
    return overlay


@pytest.mark.parametrize("kind", ["tiff", "zarr_folder"])
def test_other_formats_are_segmented_like_mrc(
    panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor, request: pytest.FixtureRequest, kind: str
) -> None:
    """The mask is that of the same tomogram as MRC; voxel size and names are kept, and it is saved beside the file."""
    path = request.getfixturevalue(kind)
    layer = open_and_measure(panel, path, wait_for)
    assert layer.name == path.name
    np.testing.assert_allclose(layer.scale, 1.3)
    shown = "\n".join(label.text() for label in panel.tomogram.findChildren(QLabel))
    assert "OME-" in shown
    assert "Mean ± sd" in shown
    overlay = segment(panel, wait_for)
    assert "was written as MRC" in panel.segment.conversion.text()
    np.testing.assert_allclose(overlay.layer.scale, 1.3)
    job = panel.controller.jobs.table.rows[0].record
    assert (job.name, job.volume.name) == (path.name, path.name)
    assert inspect(job.volume.path or "").voxel_size_A == pytest.approx((13.0, 13.0, 13.0))

    panel.viewer.layers.selection.active = overlay.layer
    panel.export.save_button.click()
    saved = path.with_name("cell__threshold_v1.mrc")
    wait_for(saved.exists, panel.controller.notifications)
    panel.viewer.layers.clear()
    open_and_measure(panel, phantom_file, wait_for)
    panel.controller.preview.overlays.clear()
    same = segment(panel, wait_for)
    with open_volume(saved) as mask:
        np.testing.assert_array_equal(mask.read_native(*[slice(None)] * 3), same.layer.data)


@pytest.mark.parametrize("name", ["mask.ome.zarr", "mask.ome.tif"])
def test_an_exported_mask_opens_as_labels(
    panel: CryoMambaWidget, phantom_file: Path, tmp_path: Path, wait_for: WaitFor, name: str
) -> None:
    """What the export wrote is labels without being asked, in the place of its tomogram."""
    open_and_measure(panel, phantom_file, wait_for)
    overlay = segment(panel, wait_for)
    panel.viewer.layers.selection.active = overlay.layer
    panel.export.export_to(tmp_path / name)
    wait_for((tmp_path / name).exists, panel.controller.notifications)
    count = len(panel.viewer.layers)
    panel.controller.tomograms.open_files([tmp_path / name])
    wait_for(lambda: len(panel.viewer.layers) > count, panel.controller.notifications)
    layer = panel.viewer.layers[-1]
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, overlay.layer.data)
    np.testing.assert_allclose(layer.scale, overlay.layer.scale)


def test_a_foreign_segmentation_is_offered_as_a_mask(panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor) -> None:
    """Whole numbers that are mostly 0 open as densities with a button that makes them labels; noise has no button."""
    labels = np.zeros((8, 20, 30), np.int32)
    labels[2:5, 4:9, 6:20] = 7
    tifffile.imwrite(tmp_path / "other.tif", labels, photometric="minisblack")
    open_and_measure(panel, tmp_path / "other.tif", wait_for)
    assert not panel.tomogram.mask_row.isHidden()
    panel.tomogram.use_as_mask.click()
    wait_for(lambda: type(panel.viewer.layers[0]).__name__ == "Labels", panel.controller.notifications)
    assert len(panel.viewer.layers) == 1
    np.testing.assert_array_equal(panel.viewer.layers[0].data, labels)
    noise = np.random.default_rng(1).normal(0, 1, (8, 20, 30)).astype(np.float32)
    write_volume(tmp_path / "noise.mrc", noise, 10.0)
    open_and_measure(panel, tmp_path / "noise.mrc", wait_for)
    assert panel.tomogram.mask_row.isHidden()


def test_layers_of_other_programs_are_tomograms(panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor) -> None:
    """A script's image is in the list and can be segmented here; what is no volume is left alone."""
    with open_volume(phantom_file) as volume:
        voxels = volume.read_native(*[slice(None)] * 3)
    viewer = panel.viewer
    viewer.add_image(np.zeros((20, 30)), name="a section")
    viewer.add_image(np.zeros((4, 20, 30, 3), np.uint8), rgb=True, name="colours")
    viewer.add_image(voxels, name="shifted", translate=(5, 0, 0))
    layer = viewer.add_image(voxels, name="denoised", scale=(13.0, 13.0, 13.0))
    names = [panel.segment.tomogram.itemText(row) for row in range(panel.segment.tomogram.count())]
    assert names == ["denoised"]
    np.testing.assert_allclose(layer.scale, 1.3)
    wait_for(lambda: panel.tomogram.measured and panel.controller.jobs.local_engines, panel.controller.notifications)
    panel.segment.tomogram.setCurrentText("denoised")
    overlay = segment(panel, wait_for)
    assert overlay.layer.data.shape == voxels.shape
    np.testing.assert_allclose(overlay.layer.scale, layer.scale)
    assert source_of(layer) is not None
    assert panel.controller.tomograms.recent_files == []


def test_a_file_that_cannot_be_opened_is_named(
    panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the name of the file or the address, and what to do."""
    (tmp_path / "broken.tif").write_bytes(b"nothing")
    panel.controller.tomograms.open_files([tmp_path / "broken.tif"])
    history = panel.controller.notifications.history
    wait_for(lambda: len(history.entries) == 1)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_arguments: ("http://127.0.0.1:1/gone.ome.zarr", True))
    panel.menu.open_address_dialog()
    wait_for(lambda: len(history.entries) == 2)
    texts = "\n".join(entry.text for entry in history.entries)
    assert "broken.tif" in texts
    assert "gone.ome.zarr" in texts
    assert all(entry.hint for entry in history.entries)
