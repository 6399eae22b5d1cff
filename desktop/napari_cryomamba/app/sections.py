"""Sections of the tomogram that is shown, whatever else is open: the steps through them, and the cursor's position."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from cryomamba.geometry import Spacing
from napari_cryomamba.layers.tomograms import active_tomogram, tomogram_layers
from napari_cryomamba.models.sections import Position, axis_range
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer


class SectionSteps:
    """Keeps the steps of a viewer's sliders equal to the sections of a tomogram.

    napari itself takes the extent of all layers and the smallest voxel among them, so with two tomograms a step is not
    a section.
    """

    def __init__(self, viewer: Viewer, tomogram: Callable[[], Layer]) -> None:
        self._viewer, self._tomogram = viewer, tomogram
        self._setting = False
        viewer.dims.events.range.connect(self.apply)

    def apply(self, _event: object = None) -> None:
        """Set the ranges of the sliders, if they are others."""
        dims, layer = self._viewer.dims, self._tomogram()
        if self._setting or layer is None or dims.ndim < 3:
            return
        wanted = (*dims.range[:-3], *section_ranges(layer))
        if tuple(map(tuple, dims.range)) != wanted:
            self._setting = True
            dims.range = wanted
            self._setting = False

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.dims.events.range.disconnect(self.apply)


class Sections(QObject):
    """Steps through the sections of the tomogram that is shown. For the GUI thread; :meth:`close` it.

    Signals
    -------
    changed
        Another section is shown, or the cursor moved.
    tomogram_changed
        Another tomogram is shown.
    """

    changed = Signal()
    tomogram_changed = Signal()

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._shown: Layer = None
        self._cursor: tuple[float, ...] = ()
        self._plane: int | None = None
        self._steps = SectionSteps(viewer, lambda: self._shown)
        layers = viewer.layers
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_layers)
        viewer.dims.events.point.connect(self._on_change)
        viewer.dims.events.order.connect(self._on_change)
        viewer.cursor.events.position.connect(self._on_cursor)
        for layer in tomogram_layers(viewer):
            layer.events.visible.connect(self._on_layers)
        viewer.bind_key("PageUp", self.next, overwrite=True)
        viewer.bind_key("PageDown", self.previous, overwrite=True)
        self._on_layers()

    @property
    def tomogram(self) -> Layer:
        """The layer of the tomogram that is shown, or None."""
        return self._shown

    @property
    def axis(self) -> int:
        """The axis, z 0 to x 2, that the shown section is perpendicular to."""
        return cut_axis(self._viewer)

    def next(self, _viewer: object = None) -> None:
        """Show the next section."""
        self.step(1)

    def previous(self, _viewer: object = None) -> None:
        """Show the previous section."""
        self.step(-1)

    def step(self, count: int) -> None:
        """Go on by some sections along the axis of the section that is shown."""
        dims = self._viewer.dims
        if dims.ndim >= 3:
            axis = dims.order[-3]
            dims.set_current_step(axis, dims.current_step[axis] + count)

    def point_at(self, world: tuple[float, ...], axis: int | None = None) -> None:
        """Set the place of the cursor.

        Parameters
        ----------
        world : tuple of float
            In nm (…, z, y, x).
        axis : int, optional
            That the section under the cursor is perpendicular to, if it is not that of the main canvas.
        """
        self._cursor, self._plane = world, axis
        self.changed.emit()

    def position(self) -> Position | None:
        """Return where the cursor is in the tomogram that is shown; None if there is none."""
        layer, dims = self._shown, self._viewer.dims
        if layer is None or dims.ndim < 3:
            return None
        axis = self.axis if self._plane is None else self._plane
        world = np.array(dims.point[-3:], float)
        if len(self._cursor) >= 3:
            world[:] = self._cursor[-3:]
            world[axis] = dims.point[-3:][axis]
        z, y, x = (int(at) for at in np.round(layer.world_to_data(world)))
        return Position(
            shape=tuple(layer.data.shape),
            axis=axis,
            voxel=(z, y, x),
            nm=_spacing(world),
            density=_density(layer.data, (z, y, x)),
        )

    def _on_inserted(self, event: LayerEvent) -> None:
        event.value.events.visible.connect(self._on_layers)
        self._on_layers()

    def _on_layers(self, _event: object = None) -> None:
        layer = active_tomogram(self._viewer)
        changed = layer is not self._shown
        self._shown = layer
        self._steps.apply()
        if changed:
            self.tomogram_changed.emit()
        self.changed.emit()

    def _on_change(self, _event: object = None) -> None:
        self.changed.emit()

    def _on_cursor(self, _event: object = None) -> None:
        self.point_at(tuple(self._viewer.cursor.position))

    def close(self) -> None:
        """Disconnect from the viewer."""
        viewer = self._viewer
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        viewer.layers.events.removed.disconnect(self._on_layers)
        viewer.layers.selection.events.active.disconnect(self._on_layers)
        self._steps.close()
        viewer.dims.events.point.disconnect(self._on_change)
        viewer.dims.events.order.disconnect(self._on_change)
        viewer.cursor.events.position.disconnect(self._on_cursor)
        for key in ("PageUp", "PageDown"):
            viewer.bind_key(key, None)
        for layer in viewer.layers:
            layer.events.visible.disconnect(self._on_layers)


def cut_axis(viewer: Viewer) -> int:
    """Return the axis, z 0 to x 2, that the section of a viewer is perpendicular to."""
    order: tuple[int, ...] = viewer.dims.order[-3:]
    return order[0] - min(order) if len(order) == 3 else 0


def go_to(viewer: Viewer, point: Iterable[float]) -> None:
    """Show the section through a point (nm; z, y, x), with the point in the middle of the canvas."""
    at = tuple(float(coordinate) for coordinate in point)
    viewer.dims.set_point(range(viewer.dims.ndim)[-3:], at)
    viewer.scene.camera.center = at


def section_ranges(layer: Layer) -> tuple[tuple[float, float, float], ...]:
    """Return the ranges (start, stop, step; nm) of a viewer's sliders that step through a tomogram: z, y, x."""
    first, sizes = layer.extent.world[0][-3:], layer.extent.step[-3:]
    counts = layer.data.shape[-3:]
    return tuple(
        axis_range(count, float(size), float(start)) for count, size, start in zip(counts, sizes, first, strict=True)
    )


def _spacing(values: Any) -> Spacing:  # noqa: ANN401 (an array of three numbers)
    z, y, x = (float(value) for value in values)
    return z, y, x


def _density(data: Any, voxel: tuple[int, int, int]) -> float | None:  # noqa: ANN401 (whatever napari slices)
    if not all(0 <= at < side for at, side in zip(voxel, data.shape, strict=True)):
        return None
    return float(np.asarray(data[voxel]))
