"""Tells the server which part of the tomogram is in view, so that its tiles are computed first."""

from __future__ import annotations

from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from cryomamba.geometry import Spacing
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.models.world_coordinates import voxel_at
from napari_cryomamba.napari_types import Viewer

PAUSE_MS = 250


class Focus(QObject):
    """Follows the viewer's slice, and sends it once the user has stopped scrolling. For the GUI thread."""

    def __init__(
        self, viewer: Viewer, jobs: JobController, preview: PreviewController, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._preview = viewer, jobs, preview
        self._send_later = qdebounced(self.send, timeout=PAUSE_MS, parent=self)
        viewer.dims.events.current_step.connect(self._on_step)

    def _on_step(self, _event: object = None) -> None:
        self._send_later()

    def send(self) -> None:
        """Send the position in view now, for every job that is watched and runs."""
        if self._viewer.dims.ndim < 3:
            # No tomogram is open, so nothing is in view.
            return
        for record in self._preview.running():
            self._jobs.source(record.job_id).focus(record.job_id, self._position(record))

    def _position(self, record: JobRecord) -> Spacing:
        z, y, x = (float(at) for at in self._viewer.dims.point[-3:])
        layer = self._preview.tomogram_of(record)
        source = source_of(layer) if layer is not None else None
        size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
        return voxel_at((z, y, x), size, record.volume.shape)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._send_later.cancel()
