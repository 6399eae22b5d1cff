"""The list of trained models, and the licence of the one that is chosen in a form."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractItemView, QDialog, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from cryomamba.models.model_listing import ListedModel, OfferedModel
from cryomamba.printable import printable
from napari_cryomamba.app.trained_models import PlacedModel, TrainedModels
from napari_cryomamba.widgets.add_model import AddModelDialog
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

COLUMNS = ("Model", "Where", "Engine", "Finds", "Voxel size", "Size", "Licence", "Runs on", "SHA-256")
_SIZE = (980, 420)


class ModelsDialog(QDialog):
    """A table of the models of the server and of this computer, and a button that accepts a licence."""

    def __init__(self, models: TrainedModels, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Trained models")
        self._models = models
        self._rows: list[PlacedModel] = []
        self.table = QTableWidget(0, len(COLUMNS), self)
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        if (header := self.table.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        if (rows := self.table.verticalHeader()) is not None:
            rows.hide()
        self.details = text_label()
        self.accept_button = button("Accept licence", self, self._accept)
        self.refresh_button = button("Refresh", self, models.refresh)
        self.table.itemSelectionChanged.connect(self._show_selected)
        models.changed.connect(self.show_models)
        self.add_button = button("Add model…", self, self._open_add)
        buttons = hbox(self.add_button, self.accept_button, self.refresh_button)
        vbox(self, self.table, self.details, buttons, margin=8, stretch=self.table)
        self.resize(*_SIZE)
        self.show_models()
        models.refresh()

    def show_models(self) -> None:
        """Fill the table; the selected model stays selected."""
        before = self._selected
        self._rows = self._models.all
        self.table.setRowCount(len(self._rows))
        for row, placed in enumerate(self._rows):
            for column, text in enumerate(_cells(placed)):
                item = QTableWidgetItem(printable(text))
                item.setToolTip(printable(text))
                self.table.setItem(row, column, item)
        keys = [(placed.model.name, placed.on_server) for placed in self._rows]
        if before is not None and (key := (before.model.name, before.on_server)) in keys:
            self.table.selectRow(keys.index(key))
        self._show_selected()

    @property
    def _selected(self) -> PlacedModel | None:
        rows = {index.row() for index in self.table.selectedIndexes()}
        return next((self._rows[row] for row in rows if row < len(self._rows)), None)

    def _show_selected(self) -> None:
        placed = self._selected
        model = None if placed is None else placed.model
        texts = () if model is None else (model.title, model.summary, model.citation)
        nothing = "No trained models yet. Add one that you have, or paint one with the engine 'pixels'."
        self.details.setText(printable(" · ".join(text for text in texts if text)) or ("" if self._rows else nothing))
        self.accept_button.setEnabled(model is not None and not model.licence_accepted)

    def _open_add(self) -> None:
        AddModelDialog(self._models, self).open()

    def _accept(self) -> None:
        placed = self._selected
        if placed is not None:
            self._models.accept(placed)


class LicenceBar(QWidget):
    """Shows the licence of a model that nobody has accepted, and accepts it."""

    def __init__(self, models: TrainedModels, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models = models
        self._shown: Sequence[PlacedModel] = ()
        self.text = text_label()
        self.button = button("Accept licence", self, self._accept)
        vbox(self, self.text, hbox(self.button))
        self.hide()

    def show_model(self, engine: str, name: str) -> None:
        """Show the licence of the model that is chosen, if it must be accepted before its first use."""
        self._shown = self._models.not_accepted(engine, name)
        licences = dict.fromkeys(placed.model.licence for placed in self._shown)
        self.text.setText(printable(f"Licence of the model '{name}', to be accepted once: {'; '.join(licences)}"))
        self.setVisible(bool(self._shown))

    def _accept(self) -> None:
        for placed in self._shown:
            self._models.accept(placed)


def _cells(placed: PlacedModel) -> tuple[str, ...]:
    model = placed.model
    accepted = "" if model.licence_accepted else " (not accepted)"
    return (
        model.name,
        "Server" if placed.on_server else "This computer",
        model.kind,
        ", ".join(model.labels.values()),
        _voxel_size(model),
        f"{model.size_bytes / 1e6:.3g} MB",
        f"{model.licence}{accepted}" if model.licence else "not stated",
        _workers(model) if isinstance(model, ListedModel) else "this computer",
        model.sha256[:12],
    )


def _voxel_size(model: OfferedModel) -> str:
    if model.voxel_size_A is None:
        return "any"
    sizes = [f"{size:g}" for size in model.voxel_size_A]
    return " × ".join(sizes[:1] if len(set(sizes)) == 1 else sizes) + " Å"


def _workers(model: ListedModel) -> str:
    count = len(model.workers)
    return "no connected worker" if count == 0 else f"{count} worker{'' if count == 1 else 's'}"
