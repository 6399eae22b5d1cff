"""Edits of the mask that is worked on: computed in a thread, applied as one step of its history."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from cryomamba.geometry import Spacing
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.history import apply_edit, keep_history
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.layers.tomogram import Array
from napari_cryomamba.models.edits import Edit, Progress
from napari_cryomamba.models.notifications import Level, Notification

FindEdit = Callable[[Array, Spacing, Progress], Edit]


class MaskEditor(QObject):
    """Runs one edit at a time.

    Signals
    -------
    busy_changed : bool
        An edit is being computed.
    progressed : str
        What is being done, and how much of it is done.
    edited : Edit
        An edit was applied.
    """

    busy_changed = Signal(bool)
    progressed = Signal(str)
    edited = Signal(object)

    def __init__(self, tasks: TaskRunner, notifications: Notifications, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks, self._notifications = tasks, notifications
        self.mask: Mask | None = None
        self.busy = False

    def show_mask(self, mask: Mask | None) -> None:
        """Edit another mask from now on."""
        self.mask = mask
        if mask is not None and mask.finished:
            keep_history(mask.layer)

    def run(self, context: str, find: FindEdit) -> None:
        """Compute an edit from the mask, its voxel size (Å) and a function that reports progress, and apply it."""
        mask = self.mask
        if self.busy or mask is None or not self._notifications.report_errors(context, mask.require_finished):
            return
        array, size = mask.array, mask.voxel_size_A
        self._set_busy(busy=True)

        def done(edit: Edit) -> None:
            apply_edit(mask.layer, edit)
            self._set_busy(busy=False)
            count = f"{len(edit):,} voxel{'' if len(edit) == 1 else 's'} changed."
            self.progressed.emit(f"{context}: {count}")
            self._notifications.notify(Notification(Level.INFO, count, context=context))
            self.edited.emit(edit)

        self._tasks.run(
            context,
            lambda task: find(array, size, task.progress),
            done,
            progress=lambda fraction: self.progressed.emit(f"{context} … {fraction:.0%}"),
            failed=self._fail,
        )

    def _fail(self) -> None:
        self._set_busy(busy=False)
        self.progressed.emit(self._notifications.newest_text())

    def _set_busy(self, *, busy: bool) -> None:
        self.busy = busy
        self.busy_changed.emit(busy)

    def undo(self) -> None:
        """Take the last step back, be it a stroke or an edit."""
        self._step("undo", "_undo_history")

    def redo(self) -> None:
        """Repeat the step that was taken back."""
        self._step("redo", "_redo_history")

    def _step(self, action: str, history: str) -> None:
        if self.mask is None or self.busy:
            return
        layer = self.mask.layer
        if not getattr(layer, history):
            self.progressed.emit(f"There is nothing to {action}.")
            return
        getattr(layer, action)()
        self.edited.emit(Edit(()))
