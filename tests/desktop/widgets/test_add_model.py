"""Adding a trained model from the desktop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inference.trained_models.networks import convolution, write_toml
from tests.trained_models import write_model

from cryomamba.settings import load_settings
from cryomamba_server.model_store.catalog import ModelCatalog
from napari_cryomamba.models.model_check import parse_check
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.widgets.add_model import HERE, AddModelDialog
from napari_cryomamba.widgets.trained_models import ModelsDialog

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def dialogs(panel: CryoMambaWidget, qtbot: Any) -> tuple[ModelsDialog, AddModelDialog]:
    """The list, and what its button opens."""
    listed = ModelsDialog(panel.controller.models, panel)
    qtbot.addWidget(listed)
    listed.add_button.click()
    (found,) = listed.findChildren(AddModelDialog)
    return listed, found


def network(folder: Path) -> Path:
    """Write a model that can be run, with a licence."""
    folder = write_toml(folder, normalization="zero_mean_unit_variance", licence="CC-BY-NC-4.0")
    convolution(folder / "net.onnx")
    return folder


def test_a_model_is_checked_and_added(
    dialogs: tuple[ModelsDialog, AddModelDialog], panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor
) -> None:
    """Its name is suggested, its licence shown; it appears in the list, where the licence can be accepted."""
    listed, dialog = dialogs
    assert not dialog.add_button.isEnabled()
    dialog.path.setText(str(network(tmp_path / "My net")))
    assert dialog.name.text() == "My-net"
    # Without a server, it goes to this computer.
    assert [dialog.where.itemText(row) for row in range(dialog.where.count())] == [HERE]
    dialog.add_button.click()
    assert dialog.status.text() == "Checking the model…"
    assert not dialog.add_button.isEnabled()
    wait_for(lambda: "is added" in dialog.status.text(), panel.controller.notifications)
    assert "The sidecar has no test tensors" in dialog.status.text()
    assert "Its licence is: CC-BY-NC-4.0. Accept it" in dialog.status.text()
    assert dialog.problem.isHidden()
    (model,) = ModelCatalog(load_settings()).models()
    assert (model.name, model.licence_accepted) == ("My-net", False)
    wait_for(lambda: listed.table.rowCount() == 1, panel.controller.notifications)
    listed.table.selectRow(0)
    assert listed.accept_button.isEnabled()


def test_a_model_that_cannot_be_used_is_not_added(
    dialogs: tuple[ModelsDialog, AddModelDialog], panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor
) -> None:
    """The dialog has the sentences of 'cryomamba models check', and they go when another file is chosen."""
    _listed, dialog = dialogs
    dialog.path.setText(str(write_model(tmp_path / "broken")))
    dialog.add_button.click()
    wait_for(lambda: not dialog.problem.isHidden(), panel.controller.notifications)
    assert dialog.problem.text().startswith("The model cannot be used:\n• 'net.onnx' cannot be read")
    assert dialog.status.isHidden()
    assert ModelCatalog(load_settings()).models() == ()
    dialog.path.setText(str(tmp_path / "other"))
    assert dialog.problem.isHidden()
    assert dialog.add_button.isEnabled()


def test_a_name_that_is_taken_is_refused(
    dialogs: tuple[ModelsDialog, AddModelDialog], panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor
) -> None:
    """With what to do; the model that is there stays."""
    _listed, dialog = dialogs
    dialog.path.setText(str(network(tmp_path / "net")))
    for _ in range(2):
        dialog.add_button.click()
        wait_for(dialog.add_button.isEnabled, panel.controller.notifications)
    assert dialog.problem.text().startswith("There is already a model 'net'. Choose another name")
    assert [model.name for model in ModelCatalog(load_settings()).models()] == ["net"]


def test_a_check_without_a_result_is_a_note() -> None:
    """Without the extra that runs networks a model can still be added, and the user knows what was not done."""
    assert parse_check("", "error: The extra 'inference' is not installed.\nmore").notes == (
        "The network was not run: error: The extra 'inference' is not installed.",
    )
    assert parse_check("", "").notes == ("The network was not run: the check ended without a result",)
    assert parse_check('{"problems": ["a"], "notes": []}', "").problems == ("a",)
