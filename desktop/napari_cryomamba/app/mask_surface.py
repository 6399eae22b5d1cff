"""The surface that stands for a mask while the view is in 3D."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.layers.selection import selection_kept
from napari_cryomamba.layers.volume_view import light_from_viewer, surface_colors, surface_layer
from napari_cryomamba.models.isosurface import Isosurface, isosurface
from napari_cryomamba.napari_types import Layer, Viewer

SURFACE_INTERVAL_MS = 1000
_COPIED_VOXELS = 1 << 24
"""Size of a mask up to which it is copied before its surface is made: a preview is drawn into the same array."""


class MaskSurface:
    """The surface of a Labels layer that is hidden; made in a thread, again when the mask changes."""

    def __init__(self, labels: Layer, viewer: Viewer, tasks: TaskRunner, parent: QObject) -> None:
        self.labels = labels
        self.layer: Layer = None
        self._wanted = True
        self._viewer, self._tasks = viewer, tasks
        self._surface: Isosurface | None = None
        self._task: Task | None = None
        self._again = False
        # With a parent, because Python may collect this object in a thread that must not delete a timer.
        self._update_later = qthrottled(self._make, timeout=SURFACE_INTERVAL_MS, parent=parent)
        self._slots: list[tuple[Any, Callable[[object], None]]] = [
            (labels.events.data, self.update),
            (labels.events.labels_update, self.update),
            (labels.events.paint, self.update),
            (labels.events.colormap, self._on_colors),
            (labels.events.visible, self._on_visible),
            (labels.events.scale, self._on_placement),
            (labels.events.translate, self._on_placement),
        ]
        for event, slot in self._slots:
            event.connect(slot)
        self.update()

    @property
    def visible(self) -> bool:
        """Whether it is shown, or will be once it is made."""
        return self._wanted if self.layer is None else bool(self.layer.visible)

    def show(self, *, visible: bool) -> None:
        """Show or hide it."""
        self._wanted = visible
        if self.layer is not None:
            self.layer.visible = visible

    def update(self, _event: object = None) -> None:
        """Make the surface again, at most once a second."""
        self._update_later()

    def _make(self) -> None:
        if self._task is not None:
            self._again = True
            return
        mask = self.labels.data
        if math.prod(mask.shape) <= _COPIED_VOXELS:
            mask = np.array(mask)
        self._task = self._tasks.run(
            "Drawing the mask in 3D",
            lambda task: isosurface(mask, progress=task.progress),
            self._done,
            failed=self._next,
        )

    def _done(self, surface: Isosurface) -> None:
        self._surface = surface
        if not len(surface.triangles):
            # napari cannot draw a surface without triangles.
            if self.layer is not None:
                self.layer.opacity = 0.0
        elif self.layer is None:
            self.layer = surface_layer(self.labels, surface)
            self.layer.visible = self._wanted
            with selection_kept(self._viewer):
                self._viewer.add_layer(self.layer)
            light_from_viewer(self._viewer, self.layer)
        else:
            # One redraw, once vertices and colours are as many.
            with self.layer.events.blocker_all():
                self.layer.vertex_colors = None
                self.layer.data = (surface.vertices, surface.triangles)
            self.layer.opacity = 1.0
            self.layer.vertex_colors = surface_colors(self.labels, surface)
            self._on_placement()
        self._next()

    def _next(self) -> None:
        self._task = None
        if self._again:
            self._again = False
            self.update()

    def _on_colors(self, _event: object = None) -> None:
        if self.layer is not None and self._surface is not None:
            self.layer.vertex_colors = surface_colors(self.labels, self._surface)

    def _on_visible(self, _event: object = None) -> None:
        """Show the surface in place of a mask that is to be shown."""
        if self.labels.visible:
            self.labels.visible = False
            self.show(visible=True)

    def _on_placement(self, _event: object = None) -> None:
        if self.layer is not None:
            self.layer.scale, self.layer.translate = self.labels.scale, self.labels.translate

    def close(self) -> None:
        """Stop following the mask."""
        for event, slot in self._slots:
            event.disconnect(slot)
        self._update_later.cancel()
        self._update_later.deleteLater()
        if self._task is not None:
            self._task.cancel()
