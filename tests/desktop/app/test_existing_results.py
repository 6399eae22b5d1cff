"""Results that exist for a tomogram that is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.models.jobs import JobState
from cryomamba.volumes import open_volume
from napari_cryomamba.app.existing_results import masks_beside
from napari_cryomamba.app.revisions import save_mask
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def tomogram(tmp_path: Path, phantom_file: Path) -> Path:
    """A tomogram with two masks of ours beside it, one of another tomogram, and a file that is none."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "t1.mrc"
    path.write_bytes(phantom_file.read_bytes())
    with open_volume(path) as volume:
        for name in ("t1__membrane_v1", "t1__membrane_v2", "t10__membrane"):
            labels = np.zeros(volume.shape, np.uint8)
            save_mask(folder / f"{name}.mrc", labels, volume.header, volume.voxel_size_A, engine="membrane")
    (folder / "t1__notes.mrc").write_bytes(b"nothing")
    (folder / "t1__raw.mrc").write_bytes(phantom_file.read_bytes())
    return path


def test_masks_beside_a_tomogram_are_those_that_we_wrote_for_it(tomogram: Path) -> None:
    """By name and header; a damaged file or another tomogram is none."""
    assert {path.name for path in masks_beside(tomogram)} == {"t1__membrane_v1.mrc", "t1__membrane_v2.mrc"}


def test_results_are_offered_when_their_tomogram_is_opened(
    panel: CryoMambaWidget, tomogram: Path, wait_for: WaitFor
) -> None:
    """Files and finished jobs count; they are shown when the user asks for it, and not offered again then."""
    app = panel.controller
    source = open_tomogram(tomogram).source
    app.jobs.local.start(JobSubmission(source, "threshold", {}, "", 1.0))
    wait_for(
        lambda: app.jobs.table.rows and app.jobs.table.rows[0].record.state is JobState.COMPLETED, app.notifications
    )
    assert panel.existing.isHidden()
    app.tomograms.open_files([tomogram])
    wait_for(lambda: not panel.existing.isHidden(), app.notifications)
    assert panel.existing.text.text() == "3 results for t1.mrc"
    panel.existing.accept_button.click()
    wait_for(lambda: len(panel.viewer.layers) == 4, app.notifications)
    assert panel.existing.isHidden()
    found: list[object] = []
    app.existing.found.connect(found.append)
    app.existing.look_for(panel.viewer.layers["t1.mrc"])
    wait_for(lambda: not app.tasks.is_busy, app.notifications)
    assert found == []
