"""Keeps unsaved edits of masks on disk, and brings back those of a process that was killed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from napari.layers import Layer as NapariLayer
from qtpy.QtCore import QObject, QTimer, Signal

from cryomamba.file_names import is_volume, stem
from cryomamba.volumes import inspect
from napari_cryomamba.app.edits import Edits, State
from napari_cryomamba.app.revisions import save_mask
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.layers.masks import Mask, color_layer, mask_of, palette_of
from napari_cryomamba.layers.tomogram import METADATA_KEY, Array, Tomogram, open_mask, open_tomogram, source_of
from napari_cryomamba.layers.tomograms import layer_of_path
from napari_cryomamba.models.palette import PALETTE_KEY, Palette
from napari_cryomamba.models.recovery import RecoveredEdit, RecoveryFolder, delete
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.napari_types import Layer, Viewer

EVERY_MS = 30_000
MASKS_MAX = 16
"""How many masks with unsaved edits are kept, the topmost."""
BYTES_PER_S = 10e6
"""What autosaving may write of one mask on average, so that large ones do not keep the disk busy: 4 GB every 400 s."""


@dataclass(slots=True)
class _Kept:
    """A mask's key, when it was written last or edited first, and the state that is written."""

    key: str
    began_s: float
    state: State | None = None


class Autosave(QObject):
    """Writes each edited mask into the data directory while it has unsaved edits. For the GUI thread; :meth:`close` it.

    Signals
    -------
    saved
        A mask was written.
    """

    saved = Signal()

    def __init__(
        self,
        viewer: Viewer,
        edits: Edits,
        tasks: TaskRunner,
        folder: Path,
        parent: QObject | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._edits, self._tasks, self._clock = viewer, edits, tasks, clock
        self._folder = RecoveryFolder(folder)
        self._kept: dict[Layer, _Kept] = {}
        self._task: Task | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.save_now)
        self._timer.start()

    def save_now(self) -> None:
        """Write the masks whose edits are newer than what is kept of them, one after the other."""
        if self._task is not None:
            return
        unsaved = self._edits.unsaved()[-MASKS_MAX:]
        layers = {mask.layer for mask in unsaved}
        for layer in [layer for layer in self._kept if layer not in layers]:
            self._folder.drop(self._kept.pop(layer).key)
        for mask in unsaved:
            kept = self._kept.setdefault(mask.layer, _Kept(uuid.uuid4().hex, self._clock()))
            state = self._edits.state(mask.layer)
            if kept.state != state and self._is_due(mask, kept):
                self._save(mask, kept, state)
                return

    @property
    def idle(self) -> bool:
        """Whether nothing is being written."""
        return self._task is None

    def _is_due(self, mask: Mask, kept: _Kept) -> bool:
        """Whether it is long enough ago that a mask was written last, or edited first; the timer waits, too."""
        wait_s = self._edits.array(mask.layer).nbytes / BYTES_PER_S - EVERY_MS / 1000
        return self._clock() - kept.began_s >= wait_s

    def _save(self, mask: Mask, kept: _Kept, state: State) -> None:
        kept.began_s = self._clock()
        array, header, size_A = self._edits.array(mask.layer), mask.header, mask.voxel_size_A
        record = RecoveredEdit(
            name=mask.layer.name,
            tomogram=_tomogram_path(mask),
            feature=mask.feature,
            names=dict(mask.palette.names),
            voxel_size_A=size_A,
            saved_at=datetime.now(UTC),
        )

        def work(_task: Task) -> None:
            path = self._folder.mask_path(kept.key)
            save_mask(path, array, header, size_A, engine=record.feature)
            self._folder.keep(kept.key, record)

        def done(_none: object) -> None:
            kept.state, self._task = state, None
            self.saved.emit()
            self.save_now()

        def failed() -> None:
            self._task = None

        self._task = self._tasks.run("Autosave", work, done, failed=failed, background=True)

    # what an earlier process has left

    def left_behind(self) -> list[tuple[Path, RecoveredEdit]]:
        """Return the edits that another process could not save, newest first."""
        return self._folder.left_behind()

    def discard(self, found: list[tuple[Path, RecoveredEdit]]) -> None:
        """Delete edits of another process."""
        for mask, _record in found:
            delete(mask)

    def recover(self, found: list[tuple[Path, RecoveredEdit]]) -> None:
        """Open edits of another process over their tomograms; they stay unsaved until the user saves them."""
        for mask, record in reversed(found):
            self._recover(mask, record)

    def _recover(self, path: Path, record: RecoveredEdit) -> None:
        wanted = record.tomogram
        there = layer_of_path(self._viewer, str(wanted)) if wanted is not None else None

        def work(_task: Task) -> tuple[Array, Tomogram | None]:
            tomogram = None
            if wanted is not None and there is None and wanted.is_file():
                tomogram = open_tomogram(wanted)
            # Into memory: the file will be replaced by the next autosave.
            return np.array(open_mask(path)), tomogram

        def opened(result: tuple[Array, Tomogram | None]) -> None:
            array, tomogram = result
            if tomogram is not None and layer_of_path(self._viewer, str(wanted)) is None:
                self._viewer.add_layer(NapariLayer.create(*tomogram.layer()))
            layer = self._add(array, record, path)
            kept = self._kept[layer] = _Kept(uuid.uuid4().hex, self._clock())
            self._folder.adopt(kept.key, path)
            self._edits.mark_edited(layer)
            kept.state = self._edits.state(layer)

        self._tasks.run(f"Opening the unsaved edits of {record.name}", work, opened)

    def _add(self, array: Array, record: RecoveredEdit, path: Path) -> Layer:
        tomogram = layer_of_path(self._viewer, str(record.tomogram)) if record.tomogram is not None else None
        source = source_of(tomogram) if tomogram is not None else None
        size_A = source.meta.voxel_size_A if source is not None else record.voxel_size_A
        if source is not None:
            # As if it were saved beside its tomogram: there a new version of it goes.
            name = f"{stem(source.path)}__{record.feature}.mrc"
            meta = inspect(path).model_copy(update={"name": name})
            source = replace(source, path=source.path.with_name(name), meta=meta, is_mask=True)
        layer = self._viewer.add_labels(
            array,
            name=f"{record.name} (recovered)",
            metadata={METADATA_KEY: source, PALETTE_KEY: Palette(names=dict(record.names))},
            **Placement.of_volume(size_A).layer_arguments(),
        )
        if record.names:
            color_layer(layer, palette_of(layer))
        if mask_of(layer, None) is None:
            raise ValueError("a recovered mask is a Labels layer with three axes")
        return layer

    def close(self, *, keep: bool) -> None:
        """End; `keep` what is not saved for the next start, or delete it."""
        self._timer.stop()
        self._folder.close(keep=keep)


def _tomogram_path(mask: Mask) -> Path | None:
    """Return the file of a mask's tomogram; None if it is unknown. A mask's own file does not tell its extension."""
    folder = mask.folder
    if folder is None:
        return None
    name = stem(Path(mask.tomogram))
    found = (path for path in folder.iterdir() if is_volume(path) and stem(path) == name)
    return folder / mask.tomogram if (folder / mask.tomogram).is_file() else next(found, None)
