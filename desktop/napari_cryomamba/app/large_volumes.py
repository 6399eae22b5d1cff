"""Very large layers in 3D: napari would hand all their voxels to the graphics card, so a coarse copy stands in."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QObject

from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.app.thresholds import block_maximum
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.history import Level, Notice

VOXELS_MAX = 512**3
COARSE_VOXELS = 256**3


class LargeVolumePolicy(QObject):
    """Hides tomograms of more than 512³ voxels while the view is in 3D, and shows coarse copies of such masks."""

    def __init__(
        self,
        viewer: Any,  # noqa: ANN401 (napari has no types)
        watching: PreviewController,
        aside: TaskRunner,
        notices: Notifications,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._watching, self._aside, self._notices = viewer, watching, aside, notices
        self._hidden: list[Any] = []
        self._coarse: list[Overlay] = []
        # Before napari's own callback, which begins to read the voxels.
        viewer.dims.events.ndisplay.connect(self._on_dimensions, position="first")

    def _on_dimensions(self, _event: object = None) -> None:
        if self._viewer.dims.ndisplay == 3:
            self._enter()
        else:
            self._leave()

    def _enter(self) -> None:
        for layer in tomogram_layers(self._viewer):
            if layer.visible and is_large(layer.data):
                layer.visible = False
                self._hidden.append(layer)
                source = source_of(layer)
                name = source.meta.name if source is not None else layer.name
                self._notices.tell(
                    Notice(
                        Level.INFO,
                        f"'{name}' is too large to be drawn whole, so it is hidden in 3D.",
                        "Its masks are shown; 2D brings it back.",
                        "3D",
                    )
                )
        for overlay in self._watching.overlays.values():
            if overlay.in_viewer and overlay.layer.visible and not overlay.trying and is_large(overlay.layer.data):
                self._make_coarse(overlay)

    def _make_coarse(self, overlay: Overlay) -> None:
        layer, mask = overlay.layer, overlay.layer.data
        layer.visible = False
        self._coarse.append(overlay)
        factor = math.ceil((mask.size / COARSE_VOXELS) ** (1 / 3))

        def made(coarse: Any) -> None:  # noqa: ANN401
            if overlay in self._coarse and overlay.in_viewer and overlay.layer.data is mask:
                overlay.try_on(coarse, factor)
                overlay.layer.visible = True

        self._aside.run("Drawing the mask in 3D", lambda task: block_maximum(mask, factor, step=task.progress), made)

    def _leave(self) -> None:
        hidden, self._hidden = self._hidden, []
        coarse, self._coarse = self._coarse, []
        for layer in hidden:
            layer.visible = True
        for overlay in coarse:
            overlay.take_off()
            if overlay.in_viewer:
                overlay.layer.visible = True

    def close(self) -> None:
        """Look at the viewer no longer."""
        self._viewer.dims.events.ndisplay.disconnect(self._on_dimensions)


def is_large(array: Any) -> bool:  # noqa: ANN401 (whatever napari slices)
    """Whether an array has more voxels than should be drawn at once."""
    return int(math.prod(array.shape)) > VOXELS_MAX
