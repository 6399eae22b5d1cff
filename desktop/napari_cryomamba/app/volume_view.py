"""The view in 3D: masks as surfaces, the tomogram as a section that can be moved, a camera that shows both."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_cryomamba.app.mask_surface import MaskSurface
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.sections import Sections
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.selection import selection_kept
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.layers.volume_view import SectionLayer, stands_for_another
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer

VOXELS_MAX = 512**3
"""More would not fit on many graphics cards."""
PERSPECTIVE_DEGREES = 25.0
FIT_MARGIN = 0.2
"""Of the canvas: napari fits the box without perspective."""
SECTION_INTERVAL_MS = 40
# Looking down at the sections from a corner; z, y, x where y points down.
_VIEW_DIRECTION = (0.75, 0.55, 0.35)


class TomogramIn3D(StrEnum):
    """What is shown of the tomogram in 3D."""

    XY = "section xy"
    XZ = "section xz"
    YZ = "section yz"
    PROJECTION = "projection"
    HIDDEN = "hidden"


_SECTIONS = (TomogramIn3D.XY, TomogramIn3D.XZ, TomogramIn3D.YZ)


class VolumeView(QObject):
    """What takes the place of tomograms and masks while the view is in 3D. For the GUI thread; :meth:`close` it.

    Signals
    -------
    changed
        Something else is shown of the tomogram.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Viewer,
        sections: Sections,
        preview: PreviewController,
        tasks: TaskRunner,
        notifications: Notifications,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._sections, self._preview = viewer, sections, preview
        self._tasks, self._notifications = tasks, notifications
        self.voxels_max = VOXELS_MAX
        self.shown = TomogramIn3D.XY
        self._hidden: list[Any] = []
        self._surfaces: dict[Any, MaskSurface] = {}
        self._section: SectionLayer | None = None
        self._camera_2d: tuple[float, Any] | None = None
        self._reached: tuple[float, ...] = ()
        self._move_later = qthrottled(self._move_section, timeout=SECTION_INTERVAL_MS, parent=self)
        dims = viewer.dims.events
        # Before napari's own callback, which reads all voxels, and after that which moves the camera.
        self._before = _as_napari(self._before_change)
        dims.ndisplay.connect(self._before, position="first")
        dims.ndisplay.connect(self._after_change, position="last")
        dims.point.connect(self._on_point)
        self._inserted = _as_napari(self._on_inserted)
        viewer.layers.events.inserted.connect(self._inserted, position="first")
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            layer.events.visible.connect(self._on_visible)
        preview.frame_drawn.connect(self._on_drawn)
        sections.tomogram_changed.connect(self._on_tomogram)

    @property
    def on(self) -> bool:
        """Whether the view is in 3D."""
        return bool(self._viewer.dims.ndisplay == 3)

    @property
    def surfaces(self) -> list[Any]:
        """The layers with surfaces of masks."""
        return [found.layer for found in self._surfaces.values() if found.layer is not None]

    @property
    def section(self) -> Layer:
        """The layer with the section of the tomogram, or None."""
        return self._section.layer if self._section is not None else None

    def show_tomogram(self, shown: TomogramIn3D) -> None:
        """Choose what is shown of the tomogram in 3D."""
        self.shown = shown
        if self.on:
            self._leave_tomogram()
            self._enter_tomogram()
        self.changed.emit()

    def next_choice(self) -> None:
        """Choose the next of what can be shown of the tomogram."""
        choices = list(TomogramIn3D)
        self.show_tomogram(choices[(choices.index(self.shown) + 1) % len(choices)])

    # 2D and 3D

    def _before_change(self, _event: object = None) -> None:
        viewer = self._viewer
        if not self.on:
            return
        camera = viewer.scene.camera
        self._camera_2d = (camera.zoom, camera.center)
        self._reached = viewer.dims.point
        self._enter_tomogram()
        for layer in list(viewer.layers):
            self._replace_mask(layer)

    def _after_change(self, _event: object = None) -> None:
        camera = self._viewer.scene.camera
        if self.on:
            self._fit()
            return
        self._leave_tomogram()
        for layer in list(self._surfaces):
            self._restore_mask(layer)
        if self._camera_2d is not None:
            # napari would show the section in the middle of the camera, not the one that was reached in 3D.
            self._viewer.dims.point = self._reached
            camera.zoom, camera.center = self._camera_2d
            self._camera_2d = None

    def _fit(self) -> None:
        """Look at the tomogram from a corner."""
        viewer = self._viewer
        camera = viewer.scene.camera
        down = str(camera.orientation[1]) == "down"
        z, y, x = _VIEW_DIRECTION
        away = 1 if str(camera.orientation[0]) == "away" else -1
        view = np.array((away * z, y if down else -y, x))
        camera.set_view_direction(tuple(view / np.linalg.norm(view)), (0, -1 if down else 1, 0))
        camera.perspective = PERSPECTIVE_DEGREES
        tomogram = self._sections.tomogram
        layers = [tomogram] if tomogram is not None and tomogram in viewer.layers else None
        viewer.fit_to_view(layers=layers, margin=FIT_MARGIN)

    # the tomogram

    def _enter_tomogram(self) -> None:
        shown = self._sections.tomogram
        for layer in tomogram_layers(self._viewer):
            if layer is shown and self.shown is TomogramIn3D.PROJECTION and not self._too_large(layer):
                continue
            if layer.visible:
                layer.visible = False
                self._hidden.append(layer)
        if shown not in self._hidden:
            return
        if self.shown in _SECTIONS:
            axis = _SECTIONS.index(self.shown)
            self._section = SectionLayer(shown, axis, self._step(axis, shown))
            with selection_kept(self._viewer):
                self._viewer.add_layer(self._section.layer)
        elif self.shown is TomogramIn3D.PROJECTION:
            self._notifications.notify(
                Notification(
                    Level.INFO,
                    f"'{shown.name}' is too large for a projection in 3D, so it is hidden.",
                    "Choose a section of it: CryoMamba → View → Tomogram in 3D.",
                    "3D",
                )
            )

    def _leave_tomogram(self) -> None:
        hidden, self._hidden = self._hidden, []
        section, self._section = self._section, None
        if section is not None:
            section.close()
            self._remove(section.layer)
        for layer in hidden:
            if layer in self._viewer.layers:
                layer.visible = True

    def _on_tomogram(self) -> None:
        tomogram = self._sections.tomogram
        if not self.on or tomogram in self._hidden:
            return
        if tomogram is not None:
            # The others are not shown in 2D either.
            self._hidden = [tomogram]
            self._leave_tomogram()
            self._enter_tomogram()
            self._hidden = [layer for layer in self._hidden if layer is tomogram]
        for overlay in self._preview.overlays.values():
            surface = self._surfaces.get(overlay.layer)
            if surface is not None and overlay.tomogram is not None:
                surface.show(visible=overlay.tomogram is tomogram)

    def _on_point(self, _event: object = None) -> None:
        if self.on:
            self._reached = self._viewer.dims.point
        if self._section is not None:
            self._move_later()

    def _move_section(self) -> None:
        section = self._section
        if section is not None and section.layer in self._viewer.layers:
            section.go_to(self._step(section.axis, section.tomogram))

    def _step(self, axis: int, layer: Layer) -> int:
        step: int = self._viewer.dims.current_step[-3:][axis]
        return min(max(step, 0), int(layer.data.shape[axis]) - 1)

    def _too_large(self, layer: Layer) -> bool:
        return int(math.prod(layer.data.shape)) > self.voxels_max

    # masks

    def _replace_mask(self, layer: Layer) -> None:
        is_mask = layer._type_string == "labels" and layer.ndim == 3  # noqa: SLF001 (napari's own word for it)
        if is_mask and layer.visible and layer not in self._surfaces:
            layer.visible = False
            self._surfaces[layer] = MaskSurface(layer, self._viewer, self._tasks, self)

    def _restore_mask(self, layer: Layer) -> None:
        surface = self._surfaces.pop(layer)
        surface.close()
        if surface.layer is not None:
            self._remove(surface.layer)
        if layer in self._viewer.layers:
            layer.visible = surface.visible

    def _remove(self, layer: Layer) -> None:
        if layer in self._viewer.layers:
            with selection_kept(self._viewer):
                self._viewer.layers.remove(layer)

    def _on_inserted(self, event: LayerEvent) -> None:
        if not stands_for_another(event.value):
            event.value.events.visible.connect(self._on_visible)
            if self.on:
                self._replace_mask(event.value)

    def _on_visible(self, event: LayerEvent) -> None:
        if self.on:
            self._replace_mask(event.source)

    def _on_removed(self, event: LayerEvent) -> None:
        event.value.events.visible.disconnect(self._on_visible)
        if event.value in self._surfaces:
            self._restore_mask(event.value)

    def _on_drawn(self, job_id: str) -> None:
        overlay = self._preview.overlays.get(job_id)
        surface = self._surfaces.get(overlay.layer) if overlay is not None else None
        if surface is not None:
            surface.update()

    def close(self) -> None:
        """Disconnect from the viewer; what was hidden is shown again."""
        dims = self._viewer.dims.events
        self._leave_tomogram()
        for layer in list(self._surfaces):
            self._restore_mask(layer)
        for layer in self._viewer.layers:
            layer.events.visible.disconnect(self._on_visible)
        dims.ndisplay.disconnect(self._before)
        dims.ndisplay.disconnect(self._after_change)
        dims.point.disconnect(self._on_point)
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._sections.tomogram_changed.disconnect(self._on_tomogram)
        self._move_later.cancel()


def _as_napari(slot: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a callback that can be the first: napari calls those of its own modules before all others."""

    def call(event: Any = None) -> None:  # noqa: ANN401 (napari's event)
        slot(event)

    call.__module__ = f"napari.{__name__}"
    return call
