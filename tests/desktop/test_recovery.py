"""Edits outlive a crash, and nobody loses them by closing the window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.volumes import open_volume
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import SubmissionMaker, WaitFor

pytestmark = pytest.mark.desktop

EDITING = """
import sys
import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtWidgets import QApplication
from napari_cryomamba.layers.tomogram import open_tomogram, METADATA_KEY, source_of
from napari_cryomamba.widgets import CryoMambaWidget

app = QApplication([])
viewer = ViewerModel()
panel = CryoMambaWidget(viewer, connect=False)
mask = viewer.add_layer(Layer.create(*open_tomogram(sys.argv[1], as_mask=True).layer()))
panel.mask_panel.current.palette.rename(2, "inner")
mask.data_setitem(tuple(np.array([5]) for _ in range(3)), 2)
panel.controller.autosave.saved.connect(lambda: print("saved", flush=True))
panel.controller.autosave.save_now()
app.exec()
"""


@pytest.fixture
def mask_file(tmp_path: Path, phantom_file: Path) -> Path:
    """A mask beside its tomogram."""
    from napari_cryomamba.app.revisions import save_mask

    folder = tmp_path / "data"
    folder.mkdir()
    tomogram = folder / "t1.mrc"
    tomogram.write_bytes(phantom_file.read_bytes())
    path = folder / "t1__membrane.mrc"
    with open_volume(tomogram) as volume:
        save_mask(path, np.zeros((48, 96, 96), np.uint8), volume.header, volume.voxel_size_A, engine="membrane")
    return path


def question(panel: CryoMambaWidget) -> Any:
    """The question that is asked before closing; its box and buttons are None until it is."""
    return panel.closing.question


def edit(viewer: Any, mask_file: Path) -> Any:
    """Open the mask and paint a voxel."""
    [layer] = viewer.open(str(mask_file), plugin="cryomamba")
    layer.data_setitem(tuple(np.array([5]) for _ in range(3)), 1)
    return layer


@pytest.mark.slow
def test_edits_of_a_killed_program_are_offered_again(
    new_window: tuple[Any, CryoMambaWidget], home: Path, mask_file: Path, wait_for: WaitFor
) -> None:
    """After SIGKILL the next start offers the mask with its edits and names; while the program runs it does not."""
    viewer, panel = new_window
    environment = {**os.environ, "CRYOMAMBA_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
    program = subprocess.Popen(
        [sys.executable, "-c", EDITING, str(mask_file)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "saved\n"
        autosave = panel.controller.autosave
        assert autosave.left_behind() == []
        program.send_signal(signal.SIGKILL)
        program.wait()
    finally:
        program.kill()
        program.wait()
        program.stdout.close() if program.stdout is not None else None
    panel.recovery.offer_edits()
    assert not panel.recovery.isHidden()
    assert "t1__membrane.mrc" in panel.recovery.text.text()
    panel.recovery.accept_button.click()
    assert panel.recovery.isHidden()
    [mask] = wait_for(panel.controller.edits.unsaved, panel.controller.notifications)
    assert mask.layer.data[5, 5, 5] == 2
    assert np.count_nonzero(mask.layer.data) == 1
    assert mask.palette.name(2) == "inner"
    assert 2 in mask.layer.colormap.color_dict
    assert viewer.layers[0].name == "t1.mrc"
    # Still unsaved, so a second crash would not lose them either; and a new version goes beside the tomogram.
    assert list((home / "desktop" / "autosave").glob("*/*.json"))
    assert mask.folder == mask_file.parent
    panel.export.save_version()
    wait_for(lambda: not panel.controller.edits.unsaved(), panel.controller.notifications)
    panel.controller.autosave.save_now()
    assert not list((home / "desktop" / "autosave").glob("*/*.json"))


def test_closing_with_unsaved_edits_asks_and_saves(
    new_window: tuple[Any, CryoMambaWidget], mask_file: Path, wait_for: WaitFor
) -> None:
    """Cancel leaves the window open with the edits; Save writes a new version, and only then does the window close."""
    viewer, panel = new_window
    edit(viewer, mask_file)
    main = panel.window()
    main.close()
    box = question(panel).box
    assert "t1__membrane.mrc" in box.informativeText()
    question(panel).cancel_button.click()
    assert main.isVisible()
    assert not panel.closed
    main.close()
    question(panel).save_button.click()
    wait_for(lambda: panel.closed, panel.controller.notifications)
    with open_volume(mask_file.with_name("t1__membrane_v1.mrc")) as saved:
        assert saved.read(slice(5, 6), slice(5, 6), slice(5, 6))[0, 0, 0] == 1


def test_discarding_closes_and_keeps_nothing(
    new_window: tuple[Any, CryoMambaWidget], home: Path, mask_file: Path, wait_for: WaitFor
) -> None:
    """What the user discards is not offered at the next start, and no file is written beside the tomogram."""
    viewer, panel = new_window
    edit(viewer, mask_file)
    saved: list[bool] = []
    panel.controller.autosave.saved.connect(lambda: saved.append(True))
    panel.controller.autosave.save_now()
    wait_for(lambda: saved, panel.controller.notifications)
    panel.window().close()
    question(panel).discard_button.click()
    assert panel.closed
    assert not list((home / "desktop" / "autosave").glob("*/*.json"))
    assert sorted(path.name for path in mask_file.parent.iterdir()) == ["t1.mrc", "t1__membrane.mrc"]


def test_closing_while_a_local_job_runs_asks(
    new_window: tuple[Any, CryoMambaWidget], make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """The question names the job; there is nothing to save, so it offers to close or to stay."""
    _, panel = new_window
    jobs = panel.controller.jobs
    jobs.run_locally(make_submission("demo", seconds=60.0))
    wait_for(lambda: [job for job in jobs.table.unfinished() if job.kind is JobKind.LOCAL])
    panel.window().close()
    assert "vesicles.mrc (demo)" in question(panel).box.informativeText()
    assert question(panel).save_button is None
    question(panel).cancel_button.click()
    assert not panel.closed
    assert jobs.table.unfinished()
    panel.window().close()
    question(panel).discard_button.click()
    assert panel.closed
