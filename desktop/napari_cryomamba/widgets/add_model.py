"""Adds a trained model to this computer or to the server, once it is checked."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QDialog, QFileDialog, QFormLayout, QLineEdit, QWidget

from cryomamba.printable import printable_lines
from cryomamba.trained_models.packing import default_name
from napari_cryomamba.app.trained_models import AddedModel, TrainedModels
from napari_cryomamba.widgets.layout import StateLabel, button, hbox, text_label, vbox

_WIDTH = 560
_HINT = (
    "A folder with model.toml or bioimage.io's rdf.yaml, a results folder of nnU-Net, a checkpoint of MemBrain-seg, a "
    "weights file beside its sidecar, or a .zip or .tar of a folder. The network is run once, as a test."
)
HERE, SERVER = "This computer", "Server"


class AddModelDialog(QDialog):
    """Asks for a folder or file and a name, and says in words why a model cannot be used."""

    def __init__(self, models: TrainedModels, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add model")
        self._models = models
        self.path = QLineEdit(self)
        self.path.setPlaceholderText("Folder or file")
        self.folder_button = button("Folder…", self, self._choose_folder)
        self.file_button = button("File…", self, self._choose_file)
        self.name = QLineEdit(self)
        self.name.setToolTip("Jobs refer to the model by this name")
        self.where = QComboBox(self)
        self.where.addItem(HERE)
        if models.can_add_to_server:
            self.where.addItem(SERVER)
        self.status = text_label()
        self.problem = StateLabel("error")
        self.problem.setWordWrap(True)
        self.add_button = button("Add", self, self._add)
        self.add_button.setDefault(True)
        self.close_button = button("Close", self, self.reject)
        form = QFormLayout()
        form.addRow("Model", hbox(self.path, self.folder_button, self.file_button, stretch=self.path))
        form.addRow("Name", self.name)
        form.addRow("Add to", self.where)
        vbox(
            self, text_label(_HINT), form, self.status, self.problem, hbox(self.add_button, self.close_button), margin=8
        )
        self.path.textChanged.connect(self._on_path)
        self.name.textChanged.connect(self._allow)
        self._show(status="", problem="")
        self.resize(_WIDTH, self.sizeHint().height())

    def _choose_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of the model"):
            self.path.setText(chosen)

    def _choose_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Weights file or archive of the model")
        if chosen:
            self.path.setText(chosen)

    def _on_path(self, text: str) -> None:
        """Suggest a name."""
        self.name.setText(default_name(Path(text.strip()).expanduser()) if text.strip() else "")
        self._show(status="", problem="")

    def _add(self) -> None:
        self._show(status="", problem="")
        self.add_button.setEnabled(False)
        self._models.add(
            Path(self.path.text().strip()).expanduser(),
            self.name.text().strip(),
            to_server=self.where.currentText() == SERVER,
            done=self._on_added,
            failed=lambda text: self._show(status="", problem=text),
            report=self._show_status,
        )

    def _on_added(self, added: AddedModel) -> None:
        licence = f"Its licence is: {added.licence}. Accept it in the list before the first use."
        sentences = [f"The model '{added.name}' is added.", *added.notes, *([licence] if added.licence else [])]
        self._show(status="\n".join(sentences), problem="")

    def _show_status(self, text: str) -> None:
        self.status.setText(printable_lines(text))
        self.status.setVisible(bool(text))

    def _show(self, *, status: str, problem: str) -> None:
        self._show_status(status)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self._allow()

    def _allow(self) -> None:
        self.add_button.setEnabled(bool(self.path.text().strip() and self.name.text().strip()))
