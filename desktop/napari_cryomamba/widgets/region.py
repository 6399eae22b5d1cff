"""Where to segment: the whole tomogram, where a mask of the viewer is not 0, or where a mask file is not 0."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from cryomamba.masks.region import require_mask, require_same_grid
from cryomamba.volumes import inspect, open_volume
from napari_cryomamba.app.revisions import save_mask
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.models.source import Source
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.layout import button, hbox

WHOLE = "whole tomogram"
KEPT_S = 30 * 24 * 3600
_FILES = "MRC (*.mrc *.mrc.gz *.mrc.bz2 *.rec *.map);;All files (*)"


@dataclass(frozen=True, slots=True)
class Region:
    """A choice: a Labels layer, a file, or neither for the whole tomogram."""

    title: str
    layer: Layer = None
    path: Path | None = None


class RegionChooser(QWidget):
    """Chooses the mask that limits a job.

    A mask of the viewer is written to a file when a job starts, with the edits made until then.

    Parameters
    ----------
    folder : Path
        For these files; those older than 30 days are deleted.
    """

    def __init__(self, viewer: Viewer, tasks: TaskRunner, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._tasks, self._folder = viewer, tasks, folder
        self._source: Source | None = None
        self._choices: list[Region] = [Region(WHOLE)]
        self._file: Path | None = None
        self.chooser = QComboBox(self)
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.setToolTip(
            "Segment and measure only where a mask is not 0, for example a lamella or a cell. "
            "The mask must have the shape and voxel size of the tomogram."
        )
        self.file_button = button("File…", self, self._choose_file)
        self.setLayout(hbox(self.chooser, self.file_button, stretch=self.chooser))
        layers = viewer.layers
        for event in (layers.events.inserted, layers.events.removed):
            event.connect(self._refresh)
        self._refresh()

    def show_tomogram(self, source: Source | None) -> None:
        """Offer the masks of another tomogram."""
        if source is not None and self._source is not None and source.path != self._source.path:
            self._file = None
        self._source = source
        self._refresh()

    @property
    def chosen(self) -> Region:
        """The choice."""
        return self._choices[max(self.chooser.currentIndex(), 0)]

    def choose(self, path: Path) -> None:
        """Choose a mask file."""
        self._file = path
        self._refresh()
        self.chooser.setCurrentIndex(len(self._choices) - 1)

    def _refresh(self, _event: object = None) -> None:
        before = self.chosen
        masks = [Region(layer.name, layer=layer) for layer in self._viewer.layers if self._fits(layer)]
        files = [] if self._file is None else [Region(self._file.name, path=self._file)]
        self._choices = [Region(WHOLE), *masks, *files]
        self.chooser.clear()
        self.chooser.addItems([choice.title for choice in self._choices])
        kept = [
            number
            for number, choice in enumerate(self._choices)
            if choice.layer is before.layer and choice.path == before.path
        ]
        self.chooser.setCurrentIndex(kept[0] if kept else 0)

    def _fits(self, layer: Layer) -> bool:
        is_mask: bool = layer._type_string == "labels"  # noqa: SLF001 (napari's own word for it)
        return is_mask and self._source is not None and tuple(layer.data.shape) == self._source.meta.shape

    def _choose_file(self) -> None:
        folder = str(self._source.folder or "") if self._source is not None else ""
        name, _ = QFileDialog.getOpenFileName(self, "Choose a mask", folder, _FILES)
        if name:
            self.choose(Path(name))

    def with_mask(self, source: Source, start: Callable[[Path | None], None]) -> None:
        """Call `start` with the file of the chosen mask once it is checked or written; None for the whole tomogram.

        If the mask cannot be used, an error says why and `start` is not called.
        """
        choice = self.chosen
        if choice.path is not None:
            self._tasks.run("Checking the mask", lambda _task: _checked(choice.path, source), start)
        elif choice.layer is None:
            start(None)
        else:
            name = re.sub(r"[^0-9A-Za-z._-]+", "-", choice.title).removesuffix(".mrc")
            array, path = choice.layer.data, self._folder / f"{name}-{uuid.uuid4().hex[:8]}.mrc"
            self._tasks.run("Writing the mask", lambda task: self._written(path, array, source, task), start)

    def _written(self, path: Path, array: Any, source: Source, task: Task) -> Path:  # noqa: ANN401 (napari's data)
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("*.mrc"):
            if old.stat().st_mtime < time.time() - KEPT_S:
                old.unlink(missing_ok=True)
        size_A = source.meta.voxel_size_A
        save_mask(path, array, source.header, size_A, engine="region", progress=task.progress)
        return path


def _checked(path: Path | None, source: Source) -> Path | None:
    if path is not None:
        require_same_grid(inspect(path), source.meta.shape, source.meta.voxel_size_A)
        with open_volume(path) as mask:
            require_mask(mask)
    return path
