"""Edits of a finished mask beyond napari's brush: connected components and holes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QWidget

from cryomamba.errors import InvalidRequestError
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import Mask, apply_edit
from napari_cryomamba.models.components import Edit, fill_holes, keep_component, remove_small_components
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox


class EditPanel(QWidget):
    """Each edit runs in a thread and goes through napari's history, so that Ctrl-Z undoes it."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer, self._tasks, self._notifications = viewer, tasks, notifications
        self._mask: Mask | None = None
        self.min_volume = QDoubleSpinBox(self)
        self.min_volume.setRange(0.1, 1e9)
        self.min_volume.setDecimals(1)
        self.min_volume.setValue(1000)
        self.min_volume.setSuffix(" nm³")
        self.voxels = QLabel(self)
        self.remove_button = button("Remove small components", self, self.remove_small_components)
        self.fill_button = button("Fill holes", self, self.fill_holes)
        self.keep_button = button("Keep this component", self, self.keep_component)
        self.keep_button.setToolTip(
            "Keep only the component under the cursor. Point at the mask, then press Alt+K, or press this button: "
            "it takes the last position of the cursor on the canvas."
        )
        self.brush = button("Brush", self, lambda: self._set_mode("paint"))
        self.eraser = button("Eraser", self, lambda: self._set_mode("erase"))
        self.undo = button("Undo", self, self._undo)
        self._build()
        self.min_volume.valueChanged.connect(self._show_voxels)

    def _build(self) -> None:
        hint = text_label("More tools are in napari's layer controls. Keys: 2 brush, 1 eraser, 3 polygon, 4 fill.")
        grid = QGridLayout()
        grid.addWidget(self.remove_button, 0, 0)
        grid.addWidget(self.min_volume, 0, 1)
        grid.addWidget(self.voxels, 1, 1)
        grid.addWidget(self.fill_button, 2, 0)
        grid.addWidget(self.keep_button, 2, 1)
        vbox(self, hbox(self.brush, self.eraser, self.undo), grid, hint)

    def show_mask(self, mask: Mask | None) -> None:
        """Show another mask."""
        self._mask = mask
        self.setEnabled(mask is not None and mask.finished)
        self._show_voxels()

    def _show_voxels(self) -> None:
        if self._mask is None:
            return
        z, y, x = self._mask.voxel_size_A
        self.voxels.setText(f"= {self.min_volume.value() * 1000 / (z * y * x):,.0f} voxels")

    def _set_mode(self, mode: str) -> None:
        if self._mask is not None:
            self._viewer.layers.selection.active = self._mask.layer
            self._mask.layer.mode = mode

    def _undo(self) -> None:
        if self._mask is not None:
            self._mask.layer.undo()

    def remove_small_components(self) -> None:
        """Remove every component below the volume in the field, of every label."""
        if self._mask is not None:
            array, size, minimum = self._mask.array, self._mask.voxel_size_A, self.min_volume.value()
            self._edit("Removing small components", lambda: remove_small_components(array, size, minimum))

    def fill_holes(self) -> None:
        """Fill the holes of the mask."""
        if self._mask is not None:
            array, size = self._mask.array, self._mask.voxel_size_A
            self._edit("Filling holes", lambda: fill_holes(array, size))

    def keep_component(self) -> None:
        """Keep the component under the cursor, and remove the others of its label."""
        mask = self._mask
        if mask is None:
            return
        point = mask.layer.world_to_data(self._viewer.cursor.position[-3:])
        z, y, x = (round(float(value)) for value in point)
        if not all(0 <= at < side for at, side in zip((z, y, x), mask.array.shape, strict=True)):
            error = InvalidRequestError("No mask at this position.", hint="Point at the mask, then press Alt+K.")
            self._notifications.notify_error(error, "Keeping a component")
            return
        array, size = mask.array, mask.voxel_size_A
        self._edit("Keeping a component", lambda: keep_component(array, size, (z, y, x)))

    def _edit(self, context: str, find: Callable[[], Edit]) -> None:
        mask = self._mask
        if mask is None or not self._notifications.report_errors(context, mask.require_finished):
            return
        self.setEnabled(False)

        def done(edit: Edit) -> None:
            self.setEnabled(True)
            apply_edit(mask.layer, edit)
            count = f"{len(edit):,} voxel{'' if len(edit) == 1 else 's'}"
            self._notifications.notify(Notification(Level.INFO, f"{count} changed.", context=context))

        self._tasks.run(context, lambda _task: find(), done, failed=lambda: self.setEnabled(True))
