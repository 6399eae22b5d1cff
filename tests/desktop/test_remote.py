"""Volumes on a web server, those of the gateway too, and other formats segmented on a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from cryomamba.client import connect
from cryomamba.testing import Stack
from cryomamba.volumes import open_volume, stream_statistics
from cryomamba.volumes.exports import write_tiff
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.system]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, phantom_file: Path) -> Iterator[Stack]:
    """A server that reads the phantom, and nothing of what the desktop writes."""
    with Stack(tmp_path_factory.mktemp("stack"), roots=[phantom_file.parent]) as found:
        yield found.start().wait_ready()


@pytest.fixture
def connected(panel: CryoMambaWidget, stack: Stack, wait_for: WaitFor) -> CryoMambaWidget:
    """The panels, connected."""
    panel.connection.address.setCurrentText(stack.http_url)
    panel.connection.connect_now()
    wait_for(lambda: panel.controller.server.can_run("threshold"))
    return panel


def segment_on_server(panel: CryoMambaWidget, wait_for: WaitFor) -> np.ndarray:
    """Submit a job for the open tomogram, and return its mask."""
    panel.segment.engine.setCurrentText("threshold")
    panel.segment.submit_button.click()
    overlays = panel.controller.preview.overlays
    [overlay] = wait_for(lambda: [o for o in overlays.values() if o.final], panel.controller.notifications)
    return np.asarray(overlay.layer.data)


def test_a_volume_of_the_gateway_is_segmented(
    connected: CryoMambaWidget, stack: Stack, phantom_file: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    """It opens by its address without being transferred, and a job on it has the mask that the file has."""
    with connect(stack.http_url) as client:
        job = client.submit(phantom_file, engine="threshold").wait()
        expected = job.download(tmp_path / "expected.mrc")
    address = f"{stack.http_url}/v1/zarr/0.5/jobs/{job.job_id}.ome.zarr"
    connected.controller.tomograms.open_files([address])
    [layer] = wait_for(lambda: list(connected.viewer.layers), connected.controller.notifications)
    np.testing.assert_allclose(layer.scale, 1.3)
    with open_volume(phantom_file) as volume:
        np.testing.assert_array_equal(layer.data[20], volume.read_native(slice(20, 21), slice(None), slice(None))[0])
    assert connected.controller.tomograms.recent_files == [address]
    wait_for(lambda: connected.tomogram.measured, connected.controller.notifications)
    shown = [label.text() for label in connected.tomogram.findChildren(QLabel)]
    assert any(text.startswith("of a sample of ") for text in shown)
    with open_volume(phantom_file) as volume:
        whole = stream_statistics(volume)
    mean, deviation = next(text for text in shown if " ± " in text and "Mean" not in text).split(" ± ")
    assert float(mean) == pytest.approx(whole.mean, abs=0.02 * whole.std)
    assert float(deviation) == pytest.approx(whole.std, rel=0.02)
    mask = segment_on_server(connected, wait_for)
    with open_volume(expected) as volume:
        np.testing.assert_array_equal(mask, volume.read_native(*[slice(None)] * 3))


def test_the_gateways_masks_open_as_labels(
    connected: CryoMambaWidget, stack: Stack, phantom_file: Path, wait_for: WaitFor
) -> None:
    """The address of a job's mask is labels without being asked."""
    with connect(stack.http_url) as client:
        job = client.submit(phantom_file, engine="threshold").wait()
    address = f"{stack.http_url}/v1/zarr/0.4/jobs/{job.job_id}.ome.zarr/labels/mask"
    connected.controller.tomograms.open_files([address])
    [layer] = wait_for(lambda: list(connected.viewer.layers), connected.controller.notifications)
    assert type(layer).__name__ == "Labels"
    assert layer.data.any()


def test_a_tiff_is_uploaded_as_mrc(
    connected: CryoMambaWidget, phantom_file: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    """The server cannot read the file that is written for it, so that one is uploaded; the voxel size goes with it."""
    with open_volume(phantom_file) as volume:
        write_tiff(volume, tmp_path / "cell.ome.tif")
    connected.controller.tomograms.open_files([tmp_path / "cell.ome.tif"])
    wait_for(lambda: connected.viewer.layers, connected.controller.notifications)
    assert segment_on_server(connected, wait_for).any()
    record = next(job.record for job in connected.controller.jobs.table.rows if job.record.state == "completed")
    assert record.volume.voxel_size_A == pytest.approx((13.0, 13.0, 13.0))
    assert record.name == "cell.ome.tif"
