"""A trained model of a real server in the real window: listed, added, its licence accepted, and run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inference.trained_models.networks import convolution, write_toml

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack
from napari_cryomamba.widgets.add_model import SERVER, AddModelDialog
from napari_cryomamba.widgets.trained_models import COLUMNS, ModelsDialog

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.system]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A model that states a licence."""
    folder = write_toml(tmp_path / "net", normalization="zero_mean_unit_variance", licence="CC-BY-NC-4.0")
    convolution(folder / "net.onnx")
    return folder


@pytest.fixture
def stack(tmp_path: Path, phantom_file: Path, network: Path) -> Iterator[Stack]:
    """A stack with the model."""
    with Stack(tmp_path / "server", roots=[phantom_file.parent]) as found:
        found.start().wait_ready()
        with cryomamba.connect(found.http_url) as client:
            client.add_model(network, "membranes")
        yield found


def test_a_model_of_the_server_is_chosen_and_run(
    stack: Stack, network: Path, new_window: tuple[Any, Any], phantom_file: Path, wait_for: WaitFor
) -> None:
    """Another is added; the form offers both and shows its licence; once that is accepted, the job runs with it."""
    viewer, panel = new_window
    app, segment = panel.controller, panel.segment
    panel.controller.tomograms.open_files([phantom_file])
    panel.connection.address.setCurrentText(stack.http_url)
    panel.connection.connect_now()
    wait_for(lambda: app.models.on_server, app.notifications)
    panel.menu.models_requested.emit()
    (dialog,) = panel.findChildren(ModelsDialog)
    row = {title: dialog.table.item(0, COLUMNS.index(title)).text() for title in COLUMNS}
    assert (row["Model"], row["Where"], row["Runs on"]) == ("membranes", "Server", "1 worker")
    assert row["Licence"] == "CC-BY-NC-4.0 (not accepted)"
    # One more, added from the window.
    dialog.add_button.click()
    (adding,) = dialog.findChildren(AddModelDialog)
    adding.path.setText(str(network))
    adding.name.setText("again")
    adding.where.setCurrentText(SERVER)
    adding.add_button.click()
    wait_for(lambda: len(app.models.on_server) == 2, app.notifications)
    assert "The model 'again' is added." in adding.status.text()
    adding.close()
    dialog.close()
    wait_for(lambda: segment.engine.findText("onnx") >= 0 and segment.layer is not None, app.notifications)
    segment.engine.setCurrentText("onnx")
    editor = segment.form.model_editor
    wait_for(lambda: editor.editor.count() == 2, app.notifications)
    editor.editor.setCurrentText("membranes")
    assert not segment.licence.isHidden()
    segment.licence.button.click()
    wait_for(segment.licence.isHidden, app.notifications)
    wait_for(segment.submit_button.isEnabled, app.notifications)
    segment.submit_button.click()
    wait_for(lambda: [job.record.state for job in app.jobs.table.rows] == [JobState.COMPLETED], app.notifications)
    assert app.jobs.table.rows[0].record.params == {"model": "membranes"}
    viewer.layers.clear()
