"""The trained models in the desktop: the list, the choice in the form, and the licence before the first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from napari.layers import Layer
from tests.trained_models import write_model

from cryomamba.engines.info import EngineInfo
from cryomamba.settings import load_settings
from cryomamba_server.model_store.catalog import ModelCatalog
from cryomamba_server.model_store.store import ModelStore
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.widgets.trained_models import COLUMNS, ModelsDialog

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop

NET = EngineInfo(
    name="onnx",
    summary="Runs networks.",
    parameters={
        "type": "object",
        "properties": {"model": {"type": "string", "title": "Model", "default": "", "choices_from": "models"}},
    },
)
LICENCE = "CC-BY-NC-4.0 \u202e"


@pytest.fixture
def models(tmp_path: Path) -> ModelCatalog:
    """Two models of this computer, of which one states a licence, and one for another engine."""
    settings = load_settings()
    store = ModelStore.of(settings)
    store.add(write_model(tmp_path / "a", title="Membranes", licence=LICENCE), "membranes")
    store.add(write_model(tmp_path / "b"), "free")
    other = write_model(tmp_path / "c")
    (other / "model.toml").write_text((other / "model.toml").read_text().replace('"onnx"', '"torchscript"'))
    store.add(other, "other")
    return ModelCatalog(settings)


def cell(dialog: ModelsDialog, row: int, title: str) -> str:
    """Return the text of a cell."""
    item = dialog.table.item(row, COLUMNS.index(title))
    assert item is not None
    return item.text()


def choose_engine(panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor) -> Any:
    """Open a tomogram, choose the engine that takes a model, and return the editor of the model."""
    app = panel.controller
    panel.viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    wait_for(lambda: app.jobs.local_engines, app.notifications)
    app.jobs.local.engines_found.emit((NET,))
    panel.segment.engine.setCurrentText("onnx")
    app.models.refresh()
    editor = panel.segment.form.model_editor
    assert editor is not None
    wait_for(lambda: editor.editor.count() == 2, app.notifications)
    return editor


def test_the_form_offers_the_models_that_fit(
    models: ModelCatalog, panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor
) -> None:
    """Those of the engine; without one no job can be started, and what was entered stays when others are found."""
    segment = panel.segment
    editor = choose_engine(panel, phantom_file, wait_for)
    assert [editor.editor.itemText(row) for row in range(2)] == ["free", "membranes"]
    assert (editor.value, editor.problem.text()) == ("", "Choose a model.")
    assert not segment.local_button.isEnabled()
    editor.editor.setCurrentText("/a/folder of mine")
    assert segment.form.parameters == {"model": "/a/folder of mine"}
    assert segment.local_button.isEnabled()
    panel.controller.models.changed.emit()
    assert editor.value == "/a/folder of mine"
    assert segment.licence.isHidden()


def test_a_licence_is_accepted_in_the_form(
    models: ModelCatalog, panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor
) -> None:
    """It is shown when its model is chosen, and accepted once for this computer."""
    segment = panel.segment
    editor = choose_engine(panel, phantom_file, wait_for)
    editor.editor.setCurrentText("membranes")
    assert not segment.licence.isHidden()
    assert r"CC-BY-NC-4.0 \u202e" in segment.licence.text.text()
    segment.licence.button.click()
    wait_for(segment.licence.isHidden, panel.controller.notifications)
    assert all(model.licence_accepted for model in models.models())


def test_the_list_shows_every_model_and_accepts_a_licence(
    models: ModelCatalog, panel: CryoMambaWidget, qtbot: Any, wait_for: WaitFor
) -> None:
    """With labels, voxel size, size, licence and checksum; the selected row stays selected."""
    dialog = ModelsDialog(panel.controller.models, panel)
    qtbot.addWidget(dialog)
    wait_for(lambda: dialog.table.rowCount() == 3, panel.controller.notifications)
    cells = {title: cell(dialog, 1, title) for title in COLUMNS}
    (known,) = [model for model in models.models() if model.name == "membranes"]
    assert cells["Model"] == "membranes"
    assert (cells["Where"], cells["Engine"], cells["Finds"]) == ("This computer", "onnx", "membrane")
    assert (cells["Voxel size"], cells["SHA-256"]) == ("10 Å", known.sha256[:12])
    assert cells["Licence"] == r"CC-BY-NC-4.0 \u202e (not accepted)"
    assert not dialog.accept_button.isEnabled()
    dialog.table.selectRow(1)
    assert dialog.details.text() == "Membranes"
    dialog.accept_button.click()
    wait_for(lambda: "not accepted" not in cell(dialog, 1, "Licence"), panel.controller.notifications)
    assert dialog.details.text() == "Membranes"
    assert not dialog.accept_button.isEnabled()


def test_the_list_is_in_the_menu(panel: CryoMambaWidget, qtbot: Any) -> None:
    """Without models it says so."""
    (action,) = (one for one in panel.menu.actions() if one.text() == "&Trained models…")
    action.trigger()
    (dialog,) = panel.findChildren(ModelsDialog)
    assert dialog.isVisible()
    assert dialog.details.text().startswith("No trained models yet. Add one")
    dialog.close()
