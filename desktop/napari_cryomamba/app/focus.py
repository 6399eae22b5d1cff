"""Where the person looks, told to the server: the tiles there come first."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.geometry import Spacing
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import layer_of_path
from napari_cryomamba.models.placement import voxel_at
from napari_cryomamba.net.bridge import Bridge

PAUSE_MS = 250


class Focus(QObject):
    """Follows the viewer's sections, and tells the server once the person has stopped. For the GUI thread."""

    def __init__(self, viewer: Any, watching: PreviewController, bridge: Bridge, parent: QObject | None = None) -> None:  # noqa: ANN401 (napari has no types)
        super().__init__(parent)
        self._viewer, self._watching, self._bridge = viewer, watching, bridge
        self._tell_soon = qdebounced(self.tell, timeout=PAUSE_MS)
        viewer.dims.events.current_step.connect(self._on_step)

    def _on_step(self, _event: object = None) -> None:
        self._tell_soon()

    def tell(self) -> None:
        """Tell the server now, for every job that is watched and runs."""
        for record in self._watching.running():
            position = self._position(record)
            # A focus is a wish; a server that is away will be told with the next step.
            self._bridge.ask("", partial(AsyncClient.focus, job_id=record.job_id, position=position), failed=_ignore)

    def _position(self, record: JobRecord) -> Spacing:
        point = tuple(self._viewer.dims.point[-3:])
        layer = layer_of_path(self._viewer, self._watching.tomogram_path(record))
        source = source_of(layer) if layer is not None else None
        size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
        return voxel_at((float(point[0]), float(point[1]), float(point[2])), size, record.volume.shape)

    def close(self) -> None:
        """Look no longer."""
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._tell_soon.cancel()


def _ignore(_error: CryoMambaError) -> None:
    """Let an error pass that the person cannot act on."""
