"""The selected mask: its look, and the panels that threshold, measure, edit and save it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QScrollArea, QSpinBox, QWidget
from superqt import QCollapsible, QLabeledDoubleSlider

from cryomamba.engines.artifacts import INSTANCES, MASK, MEDIAL_SURFACE, UNCERTAINTY, revision_number
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.results import Results
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.layers.masks import Mask, color_layer, mask_of
from napari_cryomamba.layers.overlay import ABOUT_KEY
from napari_cryomamba.layers.uncertainty import uncertainty_of_job
from napari_cryomamba.models.edits import Edit
from napari_cryomamba.models.job_details import as_lines
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.compare import ComparePanel
from napari_cryomamba.widgets.edit import EditPanel
from napari_cryomamba.widgets.export import ExportPanel
from napari_cryomamba.widgets.label_table import LabelTable
from napari_cryomamba.widgets.layout import hbox, text_label, vbox
from napari_cryomamba.widgets.statistics import StatisticsPanel
from napari_cryomamba.widgets.threshold import ThresholdPanel

_STYLE_EVENTS = ("visible", "opacity", "contour")
_VERSIONS = {MASK.name: "Original result", INSTANCES.name: "Labelled components", MEDIAL_SURFACE.name: "Medial surface"}


class MaskPanel(QScrollArea):
    """Shows the selected mask, also in the panels that it contains."""

    def __init__(
        self,
        viewer: Viewer,
        jobs: JobController,
        preview: PreviewController,
        results: Results,
        preferences: Preferences,
        *,
        threshold: ThresholdPanel,
        statistics: StatisticsPanel,
        edit: EditPanel,
        compare: ComparePanel,
        export: ExportPanel,
    ) -> None:
        super().__init__()
        self._viewer, self._jobs, self._preview = viewer, jobs, preview
        self._results, self._preferences = results, preferences
        self._threshold, self._statistics, self._edit, self._export = threshold, statistics, edit, export
        self._compare = compare
        self.current: Mask | None = None
        self._filling = False
        self.setWidgetResizable(True)
        body = QWidget(self)
        self.setWidget(body)
        self.title = text_label(bold=True)
        self.visible_box = QCheckBox("Visible", body)
        self.opacity = QLabeledDoubleSlider(Qt.Orientation.Horizontal, body)
        self.opacity.setRange(0, 1)
        self.style_box = QComboBox(body)
        self.style_box.addItems(["Filled", "Outlines"])
        self.width_box = QSpinBox(body)
        self.width_box.setRange(1, 20)
        self.width_box.setSuffix(" px")
        self.labels = LabelTable(body)
        self.version = QComboBox(body)
        self.version.setToolTip("The engine's result and the corrected versions that were saved with the job")
        self.uncertainty_box = QCheckBox("Show uncertainty", body)
        self.uncertainty_box.setToolTip(
            "Predictive entropy of the label of each voxel: black is certain, yellow is undecided"
        )
        self.made = text_label()
        self._build(body)
        self._connect()
        self.refresh()

    def _build(self, body: QWidget) -> None:
        style = hbox(self.visible_box, self.style_box, self.width_box)
        style.addStretch(1)
        form = QFormLayout()
        form.addRow("Opacity", self.opacity)
        layout = vbox(body, self.title, self.version, style, form, self.uncertainty_box, self.labels, margin=4)
        for title, panel, expanded in (
            ("Threshold", self._threshold, True),
            ("Components", self._statistics, True),
            ("Edit", self._edit, False),
            ("Compare", self._compare, False),
            ("Save && export", self._export, True),
            ("How it was made", self.made, False),
        ):
            section = QCollapsible(title, body)
            section.setDuration(0)
            section.addWidget(panel)
            if expanded:
                section.expand(animate=False)
            layout.addWidget(section)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.visible_box.toggled.connect(self._set_visible)
        self.opacity.valueChanged.connect(self._set_opacity)
        self.style_box.currentIndexChanged.connect(self._set_contour)
        self.width_box.valueChanged.connect(self._set_contour)
        self.labels.renamed.connect(self._rename)
        self.labels.colored.connect(self.set_color)
        self._preview.overlay_changed.connect(self._on_overlay)
        self._jobs.changed.connect(self._list_versions)
        self._jobs.changed.connect(self._offer_uncertainty)
        self.version.activated.connect(self._choose_version)
        self.uncertainty_box.clicked.connect(self._show_uncertainty)
        self._viewer.layers.events.inserted.connect(self._offer_uncertainty)
        self._edit.editor.edited.connect(self._on_edited)
        self._viewer.layers.selection.events.active.connect(self.refresh)
        self._viewer.layers.events.removed.connect(self.refresh)

    def _on_overlay(self, job_id: str) -> None:
        overlay = self._preview.overlays.get(job_id)
        if self.current is None and overlay is not None and overlay.in_viewer:
            self.show_layer(overlay.layer)
        elif overlay is None or (self.current is not None and overlay.layer is self.current.layer):
            # Another job's mask must not take the panel, nor end what is typed in it.
            self.refresh()

    def _on_edited(self, edit: Edit) -> None:
        self._compare.refresh_difference()
        if self.current is None or not edit.added:
            return
        overlay = self._preview.overlay_of_layer(self.current.layer)
        if overlay is not None:
            overlay.add_labels(edit.added)
        else:
            self.current.palette.add_names({label: f"label {label}" for label in edit.added})
        self._fill()

    def refresh(self, _event: object = None) -> None:
        """Show the selected mask; if none is selected, the one that was shown before."""
        active = self._viewer.layers.selection.active
        self.show_layer(active if mask_of(active, None) is not None else self._fallback())

    def _fallback(self) -> Layer:
        layers = self._viewer.layers
        if self.current is not None and self.current.layer in layers:
            return self.current.layer
        return next((layer for layer in reversed(layers) if mask_of(layer, None) is not None), None)

    def show_layer(self, layer: Layer) -> None:
        """Show a layer's mask."""
        self._listen(layer)
        overlay = self._preview.overlay_of_layer(layer)
        self.current = mask_of(layer, overlay)
        mask = self.current
        temporary = overlay is not None and overlay.temporary
        preview = " (new threshold)" if temporary else " (preview)" if mask is not None and not mask.finished else ""
        self.title.setText(f"{mask.layer.name}{preview}" if mask is not None else "No mask")
        for widget in (self.visible_box, self.opacity, self.style_box, self.width_box, self.labels):
            widget.setEnabled(mask is not None)
        self._fill()
        self._edit.show_mask(mask)
        self._compare.show_mask(mask)
        self._statistics.show_mask(mask)
        self._export.show_mask(mask, overlay)
        self._threshold.show_mask(mask, overlay)
        self._list_versions()
        self._offer_uncertainty()
        rows = layer.metadata.get(ABOUT_KEY, {}) if mask is not None else {}
        self.made.setText(as_lines(list(rows.items())) or "This mask was not made by a job in the table.")

    def _record(self) -> JobRecord | None:
        layer = self.current.layer if self.current is not None else None
        overlay = self._preview.overlay_of_layer(layer)
        job = self._jobs.table.get(overlay.job_id) if overlay is not None else None
        return job.record if job is not None else None

    def _list_versions(self) -> None:
        record = self._record()
        names = []
        if record is not None and record.mask is not None:
            names = [name for name in _VERSIONS if record.has(name)] + [one.name for one in record.revisions]
        if [self.version.itemData(row) for row in range(self.version.count())] != names:
            self.version.clear()
            for name in names:
                self.version.addItem(_VERSIONS.get(name) or f"Version {revision_number(name)}", name)
        self.version.setVisible(len(names) > 1)
        shown = self._results.shown.get(record.job_id, "") if record is not None else ""
        self.version.setCurrentIndex(names.index(shown) if shown in names else -1)

    def _offer_uncertainty(self, _event: object = None) -> None:
        record, finished = self._record(), self.current is not None and self.current.finished
        offered = record is not None and record.has(UNCERTAINTY.name) and finished
        layer = uncertainty_of_job(self._viewer, record.job_id) if record is not None else None
        self.uncertainty_box.setVisible(offered)
        self.uncertainty_box.setChecked(layer is not None and layer.visible)

    def _show_uncertainty(self, on: bool) -> None:
        record = self._record()
        if record is not None and self.current is not None:
            self._results.show_uncertainty(record, self.current.layer, visible=on)

    def _choose_version(self, row: int) -> None:
        record = self._record()
        if record is not None:
            self._results.show_version(record, self.version.itemData(row))

    def _listen(self, layer: Layer) -> None:
        before = self.current.layer if self.current is not None else None
        if layer is before:
            return
        for name in _STYLE_EVENTS:
            if before is not None:
                getattr(before.events, name).disconnect(self._on_style)
            if layer is not None:
                getattr(layer.events, name).connect(self._on_style)

    def _on_style(self, _event: object = None) -> None:
        if not self._filling:
            self._fill()

    def _fill(self) -> None:
        self._filling = True
        mask = self.current
        if mask is not None:
            layer = mask.layer
            self.visible_box.setChecked(layer.visible)
            self.opacity.setValue(layer.opacity)
            self.style_box.setCurrentIndex(1 if layer.contour else 0)
            self.width_box.setValue(max(layer.contour, 1))
        self.width_box.setVisible(self.style_box.currentIndex() == 1)
        self.labels.show_palette(None if mask is None else mask.palette)
        self._filling = False

    def _set_visible(self, on: bool) -> None:
        if self.current is not None and not self._filling:
            self.current.layer.visible = on

    def _set_opacity(self, value: float) -> None:
        if self.current is not None and not self._filling:
            self.current.layer.opacity = value
            self._preferences.values.opacity = value

    def _set_contour(self) -> None:
        outlines = self.style_box.currentIndex() == 1
        self.width_box.setVisible(outlines)
        if self.current is not None and not self._filling:
            self.current.layer.contour = self.width_box.value() if outlines else 0
            self._preferences.values.contour = self.current.layer.contour
            self._preferences.save()

    def _rename(self, label: int, name: str) -> None:
        if self.current is not None:
            self.current.palette.rename(label, name)
            overlay = self._preview.overlay_of_layer(self.current.layer)
            if overlay is not None:
                self._preferences.values.remember_names(overlay.job_id, self.current.palette.names)
                self._preferences.save()

    def set_color(self, label: int, color: str) -> None:
        """Give a label a colour, ``#rrggbb``."""
        if self.current is None:
            return
        self.current.palette.set_color(label, color)
        overlay = self._preview.overlay_of_layer(self.current.layer)
        if overlay is not None:
            overlay.recolor()
        else:
            color_layer(self.current.layer, self.current.palette)
        self._fill()
