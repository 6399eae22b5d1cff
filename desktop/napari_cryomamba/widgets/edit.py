"""Edits of a finished mask beyond napari's brush."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QLabel, QSpinBox, QWidget

from napari_cryomamba.app.mask_editor import MaskEditor
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.models.edits import fill_holes, interpolate, remove_small_components
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.component_tools import ComponentTools
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox


class EditPanel(QWidget):
    """Each edit runs in a thread and is one step of the mask's history, so that Ctrl-Z undoes it."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer = viewer
        self._mask: Mask | None = None
        self.editor = MaskEditor(tasks, notifications, self)
        self.tools = ComponentTools(viewer, self.editor, tasks, notifications)
        self.brush = button("Brush", self, lambda: self._set_mode("paint"))
        self.eraser = button("Eraser", self, lambda: self._set_mode("erase"))
        self.undo = button("Undo", self, self.editor.undo)
        self.redo = button("Redo", self, self.editor.redo)
        self.volume_box = QCheckBox("3D brush", self)
        self.volume_box.setToolTip("Brush, eraser and fill change a ball through the sections, not a disc in one")
        self.brush_size = QDoubleSpinBox(self)
        self.brush_size.setRange(0.1, 10_000)
        self.brush_size.setDecimals(1)
        self.brush_size.setSuffix(" nm")
        self.brush_size.setPrefix("Ø ")
        self.brush_size.setToolTip("Diameter of the brush")
        self._filling = False
        self.interpolate_button = button("Interpolate label", self, self.interpolate)
        self.interpolate_button.setToolTip(
            "Fill the sections between those in which the brush's label was painted, along the axis that is scrolled"
        )
        self.longest_gap = QSpinBox(self)
        self.longest_gap.setRange(1, 999)
        self.longest_gap.setValue(20)
        self.longest_gap.setPrefix("gaps up to ")
        self.min_volume = QDoubleSpinBox(self)
        self.min_volume.setRange(0.1, 1e9)
        self.min_volume.setDecimals(1)
        self.min_volume.setValue(1000)
        self.min_volume.setSuffix(" nm³")
        self.voxels = QLabel(self)
        self.remove_button = button("Remove small components", self, self.remove_small_components)
        self.fill_button = button("Fill all holes", self, self.fill_holes)
        self.status = text_label()
        self._build()
        self.min_volume.valueChanged.connect(self._show_voxels)
        self.editor.busy_changed.connect(self._on_busy)
        self.editor.progressed.connect(self.status.setText)
        self.volume_box.toggled.connect(self._set_volume)
        self.brush_size.valueChanged.connect(self._set_brush_size)

    def _build(self) -> None:
        hint = text_label("More tools are in napari's layer controls. Keys: 2 brush, 1 eraser, 3 polygon, 4 fill.")
        brush = hbox(self.volume_box, self.brush_size, stretch=self.brush_size)
        grid = QGridLayout()
        grid.addWidget(self.interpolate_button, 0, 0)
        grid.addWidget(self.longest_gap, 0, 1)
        grid.addWidget(self.remove_button, 1, 0)
        grid.addWidget(self.min_volume, 1, 1)
        grid.addWidget(self.fill_button, 2, 0)
        grid.addWidget(self.voxels, 2, 1)
        vbox(self, hbox(self.brush, self.eraser, self.undo, self.redo), brush, self.tools, grid, self.status, hint)

    def show_mask(self, mask: Mask | None) -> None:
        """Show another mask."""
        self._listen(mask)
        self._mask = mask
        self.editor.show_mask(mask)
        self.tools.show_mask(mask)
        self.setEnabled(mask is not None and mask.finished and not self.editor.busy)
        self._show_voxels()

    def _listen(self, mask: Mask | None) -> None:
        before, after = (found.layer if found is not None else None for found in (self._mask, mask))
        if before is not after:
            for layer, action in ((before, "disconnect"), (after, "connect")):
                if layer is not None:
                    for event in (layer.events.brush_size, layer.events.n_edit_dimensions):
                        getattr(event, action)(self._show_brush)
        if after is not None:
            self._show_brush(layer=after)

    def _show_brush(self, event: LayerEvent | None = None, *, layer: Layer = None) -> None:
        layer = layer if event is None else event.source
        self._filling = True
        self.volume_box.setChecked(layer.n_edit_dimensions == 3)
        self.brush_size.setValue(float(layer.brush_size) * _smallest_nm(layer))
        self._filling = False

    def _set_volume(self, on: bool) -> None:
        if self._mask is not None and not self._filling:
            self._mask.layer.n_edit_dimensions = 3 if on else 2

    def _set_brush_size(self, diameter_nm: float) -> None:
        """Set the brush; napari's is a whole number of voxels."""
        if self._mask is not None and not self._filling:
            self._mask.layer.brush_size = max(round(diameter_nm / _smallest_nm(self._mask.layer)), 1)

    def _on_busy(self, busy: bool) -> None:
        self.setEnabled(not busy and self._mask is not None and self._mask.finished)

    def _show_voxels(self) -> None:
        if self._mask is None:
            return
        z, y, x = self._mask.voxel_size_A
        self.voxels.setText(f"= {self.min_volume.value() * 1000 / (z * y * x):,.0f} voxels")

    def _set_mode(self, mode: str) -> None:
        if self._mask is not None:
            self._viewer.layers.selection.active = self._mask.layer
            self._mask.layer.mode = mode

    def remove_small_components(self) -> None:
        """Remove every component below the volume in the field, of every label."""
        minimum = self.min_volume.value()
        self.editor.run(
            "Removing small components",
            lambda array, size, progress: remove_small_components(array, size, minimum, progress=progress),
        )

    def fill_holes(self) -> None:
        """Fill the holes of the mask."""
        self.editor.run("Filling holes", lambda array, size, progress: fill_holes(array, size, progress=progress))

    def interpolate(self) -> None:
        """Fill the sections between those in which the selected label was painted."""
        if self._mask is None:
            return
        label, axis, gap = self._mask.layer.selected_label, self._viewer.dims.order[-3], self.longest_gap.value()
        self.editor.run(
            f"Interpolating label {label}",
            lambda array, size, progress: interpolate(array, label, axis, size, longest_gap=gap, progress=progress),
        )

    def keep_component(self) -> None:
        """Keep the component under the cursor, and remove the others of its label."""
        self.tools.keep_under_cursor()


def _smallest_nm(layer: Layer) -> float:
    """Return the smallest side of a voxel, which is the unit of napari's brush."""
    return min(abs(float(side)) for side in layer.scale)
