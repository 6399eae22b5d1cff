"""The selected tomogram: name, header, statistics and warnings."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from cryomamba.volumes import Statistics, open_volume, stream_statistics
from cryomamba.volumes.images import is_url
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.app.tomograms import TomogramController
from napari_cryomamba.layers.tomogram import sample_statistics, source_of
from napari_cryomamba.layers.tomograms import active_tomogram, tomogram_layers
from napari_cryomamba.models.metadata import header_rows, image_rows, statistics_rows
from napari_cryomamba.models.source import Source
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

RECENT_SHOWN = 6
_LAYOUT_EVENTS = (QEvent.Type.Resize, QEvent.Type.StyleChange, QEvent.Type.FontChange, QEvent.Type.Show)


class LengthBox(QDoubleSpinBox):
    """A number without buttons."""

    def event(self, event: QEvent) -> bool:
        """Place the field here: with napari's style sheet, Qt 6.11.3 gives it a width of one pixel at each of these."""
        handled = super().event(event)
        if event.type() in _LAYOUT_EVENTS:
            self.lineEdit().setGeometry(self.rect().adjusted(8, 1, -8, -1))
        return handled


class TomogramPanel(QScrollArea):
    """The metadata of the selected tomogram; statistics are computed in a thread, once for each file."""

    open_requested = Signal()

    def __init__(self, viewer: Viewer, tomograms: TomogramController, tasks: TaskRunner) -> None:
        super().__init__()
        self._viewer, self._tomograms, self._tasks = viewer, tomograms, tasks
        self._layer: Layer = None
        self._statistics: dict[str, Statistics] = {}
        self._task: Task | None = None
        self._measured = ""
        self.setWidgetResizable(True)
        body = QWidget(self)
        self.setWidget(body)
        self._layout = QVBoxLayout(body)
        self.title = text_label(bold=True)
        self.chooser = QComboBox(body)
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.setToolTip("Show another tomogram with its masks, and hide the others")
        self.empty = QWidget(body)
        self._fill_empty()
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.progress = QProgressBar(body)
        self.progress.setFormat("Measuring intensities %p %")
        self.warnings = text_label(state="warning")
        self.sizes = [LengthBox(body) for _ in range(3)]
        self.apply = button("Apply", body, self._correct)
        self.apply.setToolTip(
            "Use this voxel size instead of the header's, also for new jobs. The file is not changed."
        )
        self.size_row = self._size_row(body)
        self.mask_row = self._mask_row(body)
        for widget in (self.chooser, self.title, self.empty, self.warnings, self.mask_row, self.size_row):
            self._layout.addWidget(widget)
        self._layout.addLayout(self.form)
        self._layout.addWidget(self.progress)
        self._layout.addStretch(1)
        self.progress.hide()
        self.chooser.activated.connect(self._choose)
        viewer.layers.selection.events.active.connect(self.refresh)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def _mask_row(self, body: QWidget) -> QWidget:
        widget = QWidget(body)
        hint = text_label("The values are whole numbers, as in a mask.")
        self.use_as_mask = button("Use as mask", widget, lambda: self._tomograms.use_as_mask(self._layer))
        self.use_as_mask.setToolTip("Show the labels of this file in place of its densities, to measure and edit them")
        widget.setLayout(hbox(hint, self.use_as_mask, stretch=hint))
        return widget

    def insert_panel(self, panel: QWidget) -> None:
        """Show a further panel between the tomogram's name and its header."""
        self._layout.insertWidget(self._layout.indexOf(self.size_row), panel)

    def _size_row(self, body: QWidget) -> QWidget:
        widget = QWidget(body)
        for box in self.sizes:
            box.setDecimals(3)
            box.setRange(0.001, 10_000)
            box.setSuffix(" Å")
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setMinimumWidth(64)
            box.setKeyboardTracking(False)
        vbox(widget, QLabel("Voxel size (z, y, x)"), hbox(*self.sizes, self.apply))
        return widget

    def _on_inserted(self, event: LayerEvent) -> None:
        # A mask or a job's preview changes nothing here, and must not reset a voxel size that is being typed.
        if source_of(event.value) is not None:
            self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Show the selected tomogram."""
        layers = tomogram_layers(self._viewer)
        self._layer = active_tomogram(self._viewer)
        source = source_of(self._layer) if self._layer is not None else None
        self.chooser.clear()
        self.chooser.addItems([layer.name for layer in layers])
        self.chooser.setCurrentIndex(layers.index(self._layer) if self._layer in layers else -1)
        self.chooser.setVisible(len(layers) > 1)
        self.title.setText(source.meta.name if source else "No tomogram open")
        self.empty.setVisible(source is None)
        self.size_row.setVisible(source is not None)
        self.mask_row.setVisible(source is not None and source.looks_like_mask)
        while self.form.rowCount():
            self.form.removeRow(0)
        self.warnings.hide()
        if source is None:
            return
        for box, size in zip(self.sizes, source.meta.voxel_size_A, strict=True):
            box.setValue(size)
        warnings = "\n".join(f"⚠ {w.message} {w.hint}" for w in source.meta.warnings)
        self.warnings.setText(warnings)
        self.warnings.setVisible(bool(warnings))
        image = source.image
        for label, text in header_rows(source.meta) if image is None else image_rows(image, source.meta.voxel_size_A):
            self._add(label, text)
        statistics = self._statistics.get(str(source.path))
        if statistics is not None:
            for label, text in statistics_rows(statistics, sampled=is_url(source.location)):
                self._add(label, text)
        elif self._measured != str(source.path):
            self._measure(source)

    def _fill_empty(self) -> None:
        layout = QVBoxLayout(self.empty)
        layout.setContentsMargins(0, 0, 0, 0)
        hint = QLabel(
            "Drop files on the window, or choose them: MRC (.mrc, .rec, .map, .st, .ali; .gz and .bz2 also work), TIFF "
            "or OME-Zarr.",
            self.empty,
        )
        hint.setWordWrap(True)
        layout.addWidget(hint)
        for text, slot in (
            ("Open tomogram…", self.open_requested),
            ("Open sample tomogram", self._tomograms.open_sample),
        ):
            choice = QPushButton(text, self.empty)
            choice.clicked.connect(slot)
            layout.addWidget(choice)
        for name in self._tomograms.recent_files[:RECENT_SHOWN]:
            choice = QPushButton(name.rstrip("/").rpartition("/")[2] if is_url(name) else Path(name).name, self.empty)
            choice.setFlat(True)
            choice.setToolTip(name)
            path: Path | str = name if is_url(name) else Path(name)
            choice.clicked.connect(lambda _checked=False, path=path: self._tomograms.open_files([path]))
            layout.addWidget(choice)

    def _choose(self, index: int) -> None:
        self._tomograms.show_only(tomogram_layers(self._viewer)[index])

    def _add(self, label: str, text: str) -> None:
        value = QLabel(text, self)
        value.setWordWrap(True)
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.form.addRow(f"{label}:", value)

    def _measure(self, source: Source) -> None:
        self.stop()
        self._measured = str(source.path)
        self.progress.setValue(0)
        self.progress.show()

        def measure(task: Task) -> Statistics:
            if source.image is not None and is_url(source.location):
                # All voxels would have to be downloaded.
                return sample_statistics(source.image)
            if source.image is not None:
                return stream_statistics(source.image, progress=task.progress, cancelled=task.is_cancelled)
            with open_volume(source.path) as volume:
                return stream_statistics(volume, progress=task.progress, cancelled=task.is_cancelled)

        def done(found: Statistics) -> None:
            self.progress.hide()
            self._statistics[str(source.path)] = found
            self.refresh()

        self._task = self._tasks.run(
            "Measuring the tomogram",
            measure,
            done,
            progress=lambda fraction: self.progress.setValue(round(fraction * 100)),
            failed=self.progress.hide,
        )

    def _correct(self) -> None:
        z, y, x = (box.value() for box in self.sizes)
        if self._tomograms.correct_voxel_size(self._layer, (z, y, x)):
            self.refresh()

    @property
    def measured(self) -> bool:
        """Whether the statistics of the shown tomogram are known."""
        source = source_of(self._layer) if self._layer is not None else None
        return source is not None and str(source.path) in self._statistics

    def stop(self) -> None:
        """Cancel the measurement that is running; it stops at the next MiB."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._measured = ""
        self.progress.hide()
