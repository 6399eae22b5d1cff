"""The question before the window closes: unsaved edits, and jobs that would end with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget

from cryomamba.printable import printable
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.edits import Edits
from napari_cryomamba.app.revisions import next_version, save_mask
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.models.jobs import Job, JobKind
from napari_cryomamba.widgets.save_dialog import choose_file

_LISTED = 5


def closing_text(masks: Sequence[str], local_jobs: Sequence[str], uploads: Sequence[str]) -> str:
    """Return what would be lost, one paragraph for each kind; empty if nothing."""
    kinds = (
        ("Edits that are not saved:", masks),
        ("Jobs that run on this computer and would be cancelled:", local_jobs),
        ("Uploads that would stop:", uploads),
    )
    parts = []
    for title, names in kinds:
        if names:
            more = [f"and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
            parts.append("\n".join([title, *(f"    • {name}" for name in [*names[:_LISTED], *more])]))
    return "\n\n".join(parts)


class ClosingQuestion:
    """Asks once, and saves the masks if the user wants that.

    Parameters
    ----------
    proceed : callable
        Closes the window.

    Attributes
    ----------
    discarded : bool
        Whether the user has discarded the unsaved edits.
    """

    def __init__(self, app: AppController, parent: QWidget, proceed: Callable[[], None]) -> None:
        self._app, self._parent, self._proceed = app, parent, proceed
        self.discarded = False
        self.box: QMessageBox | None = None
        self.save_button: QPushButton | None = None
        self.discard_button: QPushButton | None = None
        self.cancel_button: QPushButton | None = None

    def ask(self) -> bool:
        """Show the question unless it is shown already; False if there is nothing to ask."""
        masks, unfinished = self._app.edits.unsaved(), self._app.jobs.table.unfinished()
        text = closing_text(
            [printable(mask.layer.name) for mask in masks],
            [_title(job) for job in unfinished if job.kind is JobKind.LOCAL],
            [_title(job) for job in unfinished if job.kind is JobKind.UPLOAD],
        )
        if not text:
            return False
        if self.box is None:
            self._show(text, masks)
        return True

    def _show(self, text: str, masks: list[Mask]) -> None:
        roles = QMessageBox.ButtonRole
        box = self.box = QMessageBox(self._parent)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Close CryoMamba?")
        box.setText("Close the window?")
        box.setInformativeText(text)
        self.save_button = box.addButton("&Save", roles.AcceptRole) if masks else None
        if self.save_button is not None:
            self.save_button.setToolTip("Save each mask as a new version beside its tomogram, then close")
        self.discard_button = box.addButton("&Discard" if masks else "C&lose", roles.DestructiveRole)
        self.cancel_button = box.addButton("Cancel", roles.RejectRole)
        box.setDefaultButton(self.save_button or self.cancel_button)
        box.setEscapeButton(self.cancel_button)
        box.finished.connect(lambda _result: self._answered(masks))
        box.open()

    def _answered(self, masks: list[Mask]) -> None:
        box, self.box = self.box, None
        if box is None:
            return
        clicked = box.clickedButton()
        box.deleteLater()
        if self.save_button is not None and clicked is self.save_button:
            self._save(masks)
        elif self.discard_button is not None and clicked is self.discard_button:
            self.discarded = True
            self._proceed()

    def _save(self, masks: list[Mask]) -> None:
        """Save one after the other; an error, or a file that is not chosen, leaves the window open."""
        if not masks:
            self._proceed()
            return
        mask, *others = masks
        path = self._path(mask)
        if path is not None:
            save_edits(self._app.tasks, self._app.edits, mask, path, lambda: self._save(others))

    def _path(self, mask: Mask) -> Path | None:
        if mask.folder is not None:
            return next_version(mask.folder, mask.tomogram, mask.feature)
        suggested = Path.home() / f"{mask.layer.name}.mrc"
        return choose_file(self._parent, f"Save '{mask.layer.name}'", str(suggested), ".mrc", "MRC (*.mrc)")


def save_edits(tasks: TaskRunner, edits: Edits, mask: Mask, path: Path, done: Callable[[], None]) -> None:
    """Save an edited mask in a thread, and note that it is saved."""
    array, header, size_A, feature = edits.array(mask.layer), mask.header, mask.voxel_size_A, mask.feature
    state, names = edits.state(mask.layer), dict(mask.palette.names)

    def saved(_none: object) -> None:
        edits.mark_saved(mask.layer, state)
        done()

    tasks.run(
        f"Saving {path.name}",
        lambda task: save_mask(path, array, header, size_A, engine=feature, names=names, progress=task.progress),
        saved,
    )


def _title(job: Job) -> str:
    return printable(f"{job.record.name or job.record.volume.name} ({job.record.engine or 'upload'})")
