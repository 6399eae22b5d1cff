"""What a tomogram is: name, size, header, statistics, and what is odd about it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from cryomamba.volumes import Statistics, VolumeMeta, open_volume, stream_statistics
from napari_cryomamba.aside import Task
from napari_cryomamba.desk import Desk
from napari_cryomamba.tomogram import Source, source_of
from napari_cryomamba.tomograms import active_tomogram

_MODE_NAMES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16", 101: "4 bits"}


class TomogramPanel(QScrollArea):
    """The metadata of the selected tomogram; statistics come from a thread and are kept for as long as it is open."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._layer: Any = None
        self._statistics: dict[str, Statistics] = {}
        self._task: Task | None = None
        self._measured = ""
        self.setWidgetResizable(True)
        body = QWidget(self)
        self.setWidget(body)
        self._layout = QVBoxLayout(body)
        self.title = QLabel(body)
        self.title.setWordWrap(True)
        self.title.setStyleSheet("font-weight: bold;")
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.progress = QProgressBar(body)
        self.progress.setFormat("Measuring intensities %p %")
        self.warnings = QLabel(body)
        self.warnings.setWordWrap(True)
        self.warnings.setStyleSheet("color: #d29922;")
        self.sizes = [QDoubleSpinBox(body) for _ in range(3)]
        self.apply = QPushButton("Apply", body)
        self.apply.setToolTip("Use this voxel size instead of the header's; jobs take it too. The file stays as it is.")
        for widget in (self.title, self.warnings, self._size_row(body)):
            self._layout.addWidget(widget)
        self._layout.addLayout(self.form)
        self._layout.addWidget(self.progress)
        self._layout.addStretch(1)
        self.progress.hide()
        self.apply.clicked.connect(self._correct)
        desk.viewer.layers.selection.events.active.connect(self.refresh)
        desk.viewer.layers.events.inserted.connect(self.refresh)
        desk.viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def _size_row(self, body: QWidget) -> QWidget:
        row = QWidget(body)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Voxel z, y, x", row))
        for box in self.sizes:
            box.setDecimals(3)
            box.setRange(0.001, 10_000)
            box.setSuffix(" Å")
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setMinimumWidth(64)
            box.setKeyboardTracking(False)
            layout.addWidget(box)
        layout.addWidget(self.apply)
        return row

    def refresh(self, _event: object = None) -> None:
        """Show the selected tomogram."""
        self._layer = active_tomogram(self._desk.viewer)
        source = source_of(self._layer) if self._layer is not None else None
        self.title.setText(source.meta.name if source else "Open a tomogram: drop a file here, or File → Open")
        for widget in (*self.sizes, self.apply):
            widget.setEnabled(source is not None)
        self._clear_form()
        self.warnings.hide()
        if source is None:
            return
        for box, size in zip(self.sizes, source.meta.voxel_size_A, strict=True):
            box.setValue(size)
        told = "\n".join(f"⚠ {w.message} {w.hint}" for w in source.meta.warnings)
        self.warnings.setText(told)
        self.warnings.setVisible(bool(told))
        for label, text in header_rows(source.meta):
            self._add(label, text)
        statistics = self._statistics.get(str(source.path))
        if statistics is not None:
            self._add_statistics(statistics)
        elif self._measured != str(source.path):
            self._measure(source)

    def _clear_form(self) -> None:
        while self.form.rowCount():
            self.form.removeRow(0)

    def _add(self, label: str, text: str) -> None:
        value = QLabel(text, self)
        value.setWordWrap(True)
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.form.addRow(f"{label}:", value)

    def _add_statistics(self, statistics: Statistics) -> None:
        for label, text in statistics_rows(statistics):
            self._add(label, text)

    def _measure(self, source: Source) -> None:
        self.stop()
        self._measured = str(source.path)
        self.progress.setValue(0)
        self.progress.show()

        def measure(task: Task) -> Statistics:
            with open_volume(source.path) as volume:
                return stream_statistics(volume, progress=task.progress, cancelled=task.cancelled)

        def done(found: Statistics) -> None:
            self.progress.hide()
            self._statistics[str(source.path)] = found
            self.refresh()

        self._task = self._desk.aside.run(
            "Measuring the tomogram",
            measure,
            done,
            progress=lambda fraction: self.progress.setValue(round(fraction * 100)),
            failed=self.progress.hide,
        )

    def _correct(self) -> None:
        z, y, x = (box.value() for box in self.sizes)
        if self._desk.correct_voxel_size(self._layer, (z, y, x)):
            self.refresh()

    @property
    def measured(self) -> bool:
        """Whether the intensities of the shown tomogram are known."""
        source = source_of(self._layer) if self._layer is not None else None
        return source is not None and str(source.path) in self._statistics

    def stop(self) -> None:
        """End the measurement that is under way; it stops at the next MiB."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._measured = ""
        self.progress.hide()


def header_rows(meta: VolumeMeta) -> list[tuple[str, str]]:
    """Return what the header says, as label and text."""
    z, y, x = meta.shape
    extent = " × ".join(f"{n * s / 10:.0f}" for n, s in zip(meta.shape, meta.voxel_size_A, strict=True))
    sizes = meta.voxel_size_A
    size = f"{sizes[0]:.3f} Å" if len(set(sizes)) == 1 else " × ".join(f"{s:.3f}" for s in sizes) + " Å"
    rows = [
        ("Shape z × y × x", f"{z} × {y} × {x} voxels"),
        ("Extent", f"{extent} nm"),
        ("Voxel size", size),
        ("Mode", f"{meta.mode} ({_MODE_NAMES.get(meta.mode, meta.dtype)})"),
        ("File size", _bytes(meta.size_bytes) + (f" ({meta.compression})" if meta.compression else "")),
        ("Origin x, y, z", ", ".join(f"{v:g}" for v in meta.origin_A) + " Å"),
        ("Start col, row, sec", ", ".join(str(v) for v in meta.nstart)),
    ]
    if meta.axes != (1, 2, 3):
        rows.append(("Axes in the file", ", ".join("xyz"[axis - 1] for axis in meta.axes)))
    if meta.extended_header is not None:
        rows.append(("Extended header", f"{meta.extended_header.type}, {_bytes(meta.extended_header.nbytes)}"))
    return rows


def statistics_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """Return the intensities, as label and text."""
    rows = [
        ("Mean ± sd", f"{statistics.mean:.4g} ± {statistics.std:.4g}"),
        ("Range", f"{statistics.minimum:.4g} … {statistics.maximum:.4g}"),
        ("Median", f"{statistics.percentiles[50.0]:.4g}"),
    ]
    if statistics.non_finite:
        rows.append(("Not numbers", f"{statistics.non_finite:,} voxels are NaN or infinite"))
    return rows


def _bytes(count: int) -> str:
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
