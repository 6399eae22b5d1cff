"""Several tomograms for one start: all that are open, or files that need not be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from cryomamba.file_names import is_volume
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.source import Source
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label

_NAMED = 3


class BatchChooser(QWidget):
    """A button whose menu chooses several tomograms, and a line that says which; `changed` after each choice."""

    changed = Signal()

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._all_open = False
        self.files: list[Path] = []
        self.menu = QMenu(self)
        self.all_action = self.menu.addAction("All &open tomograms", self.choose_open)
        self.menu.addAction("&Files…", self._ask_for_files)
        self.menu.addAction("All tomograms of a f&older…", self._ask_for_folder)
        self.button = button("Several", self, lambda: None)
        self.button.setToolTip("Start the same job on several tomograms")
        self.button.setMenu(self.menu)
        self.text = text_label()
        self.clear_button = button("Only one", self, self.clear)
        self.clear_button.setToolTip("Start the job on the chosen tomogram alone")
        self.setLayout(hbox(self.text, self.clear_button, stretch=self.text))
        self.refresh()

    @property
    def active(self) -> bool:
        """Whether several tomograms are chosen."""
        return self._all_open or bool(self.files)

    def open_sources(self) -> list[Source]:
        """Return the files of the open tomograms if these are chosen."""
        found = (source_of(layer) for layer in tomogram_layers(self._viewer)) if self._all_open else iter(())
        return [source for source in found if source is not None]

    def choose_open(self) -> None:
        """Choose all tomograms that will be open when the job is started."""
        self._all_open, self.files = True, []
        self.refresh()

    def choose_files(self, paths: Iterable[Path]) -> None:
        """Choose files."""
        self._all_open, self.files = False, sorted(set(paths))
        self.refresh()

    def choose_folder(self, folder: Path) -> None:
        """Choose the volumes in a folder; masks and score maps among them are left out when the jobs start."""
        self.choose_files(path for path in folder.iterdir() if path.is_file() and is_volume(path))

    def clear(self) -> None:
        """Choose none."""
        self._all_open, self.files = False, []
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Show what is chosen."""
        names = [source.meta.name for source in self.open_sources()] if self._all_open else [p.name for p in self.files]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        kind = "open tomograms" if self._all_open else "files"
        self.text.setText(f"{len(names)} {kind}: {', '.join(names[:_NAMED])}{more}")
        self.setVisible(self.active)
        self.changed.emit()

    def _ask_for_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Choose tomograms", "", "All files (*)")
        if names:
            self.choose_files(Path(name) for name in names)

    def _ask_for_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a folder of tomograms")
        if name:
            self.choose_folder(Path(name))
