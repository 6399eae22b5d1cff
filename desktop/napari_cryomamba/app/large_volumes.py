"""Very large layers in 3D: napari would send all their voxels to the graphics card, so a coarse copy is shown."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QObject

from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.models.thresholds import block_maximum
from napari_cryomamba.napari_types import Viewer

VOXELS_MAX = 512**3
COARSE_VOXELS = 256**3


class LargeVolumePolicy(QObject):
    """In 3D, hides tomograms of more than `voxels_max` voxels, and shows coarse copies of masks as large."""

    def __init__(
        self,
        viewer: Viewer,
        preview: PreviewController,
        tasks: TaskRunner,
        notifications: Notifications,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._preview, self._tasks, self._notifications = viewer, preview, tasks, notifications
        self.voxels_max = VOXELS_MAX
        self._hidden: list[Any] = []
        self._coarse: list[Overlay] = []
        # Before napari's own callback, which starts to read the voxels.
        viewer.dims.events.ndisplay.connect(self._on_ndisplay, position="first")

    def _on_ndisplay(self, _event: object = None) -> None:
        if self._viewer.dims.ndisplay == 3:
            self._enter_3d()
        else:
            self._leave_3d()

    def _enter_3d(self) -> None:
        for layer in tomogram_layers(self._viewer):
            if layer.visible and self._is_large(layer.data):
                layer.visible = False
                self._hidden.append(layer)
                source = source_of(layer)
                name = source.meta.name if source is not None else layer.name
                self._notifications.notify(
                    Notification(
                        Level.INFO,
                        f"'{name}' is too large for 3D rendering, so it is hidden in 3D.",
                        "Its masks are still shown; switch back to 2D to see the tomogram.",
                        "3D",
                    )
                )
        for overlay in self._preview.overlays.values():
            shown = overlay.in_viewer and overlay.layer.visible and not overlay.temporary
            if shown and self._is_large(overlay.layer.data):
                self._show_coarse(overlay)

    def _show_coarse(self, overlay: Overlay) -> None:
        layer, mask = overlay.layer, overlay.layer.data
        layer.visible = False
        self._coarse.append(overlay)
        factor = math.ceil((mask.size / COARSE_VOXELS) ** (1 / 3))

        def done(coarse: Any) -> None:  # noqa: ANN401
            if overlay in self._coarse and overlay.in_viewer and overlay.layer.data is mask:
                overlay.show_temporarily(coarse, factor)
                overlay.layer.visible = True

        self._tasks.run(
            "Drawing the mask in 3D", lambda task: block_maximum(mask, factor, progress=task.progress), done
        )

    def _leave_3d(self) -> None:
        hidden, self._hidden = self._hidden, []
        coarse, self._coarse = self._coarse, []
        for layer in hidden:
            layer.visible = True
        for overlay in coarse:
            overlay.restore()
            if overlay.in_viewer:
                overlay.layer.visible = True

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    def _is_large(self, array: Any) -> bool:  # noqa: ANN401 (whatever napari slices)
        return int(math.prod(array.shape)) > self.voxels_max
