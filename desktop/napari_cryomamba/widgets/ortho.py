"""Orthogonal slices: two more canvases with the x–z and y–z slices of the main one, linked in position."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Points
from napari.qt import QtViewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSplitter, QWidget

from napari_cryomamba.layers.sphere_slices import draw_as_spheres
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.layout import vbox

ORDERS = {"x – z": (1, 0, 2), "y – z": (2, 1, 0)}
_STYLE = {
    Image: ("contrast_limits", "gamma", "colormap", "opacity", "visible", "blending"),
    Labels: ("colormap", "opacity", "visible", "contour", "blending"),
    Points: ("opacity", "visible"),
}
# Properties of single points change with the number of points, so the copy is replaced.
_OF_POINTS = ("size", "shown", "face_color", "border_color", "border_width", "symbol")
_PLACEMENT = ("scale", "translate")


class _Plane(QWidget):
    def __init__(self, order: tuple[int, ...], parent: QWidget) -> None:
        super().__init__(parent)
        self.model = ViewerModel(ndisplay=2, order=order)
        self.canvas = QtViewer(self.model, show_welcome_screen=False)
        vbox(self, self.canvas)
        # A canvas knows its size only after it was shown, and changes it with the dock.
        self.model.canvas.events.size.connect(self._fit)

    def _fit(self, _event: object = None) -> None:
        self.model.reset_view()


class OrthogonalViews(QWidget):
    """The two more canvases of a viewer.

    Layers are copies that share their data with the viewer's, so nothing is read or stored twice. A double click in
    any canvas moves all three to that point.

    Parameters
    ----------
    viewer : napari.Viewer
        Its own canvas shows x – y.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._copies: dict[Any, list[Any]] = {}
        self._syncing = False
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.planes = [_Plane(order, self) for order in ORDERS.values()]
        for plane in self.planes:
            splitter.addWidget(plane)
        vbox(self, splitter)
        self.setMinimumHeight(280)
        for layer in viewer.layers:
            self._add(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._follow_viewer)
        viewer.mouse_double_click_callbacks.append(self._jump)
        for plane in self.planes:
            plane.model.dims.events.current_step.connect(self._follow_plane)
            plane.model.mouse_double_click_callbacks.append(self._jump)
        self._follow_viewer()

    def _add(self, layer: Layer) -> None:
        kind = next((kind for kind in _STYLE if isinstance(layer, kind)), None)
        if kind is None or layer.ndim != 3:
            return
        self._copies[layer] = [self._copy(layer, kind, plane) for plane in self.planes]
        if kind is Points:
            for name in ("data", "size", "features"):
                getattr(layer.events, name).connect(self._on_points)
        else:
            layer.events.data.connect(self._on_data)
        for name in (*_STYLE[kind], *_PLACEMENT):
            getattr(layer.events, name).connect(self._on_style)
        if kind is Labels:
            layer.events.paint.connect(self._on_data)

    @staticmethod
    def _copy(layer: Layer, kind: type[Layer], plane: _Plane) -> Layer:
        style = {name: getattr(layer, name) for name in _STYLE[kind] if name != "contour"}
        style |= {name: getattr(layer, name) for name in _PLACEMENT}
        if kind is Points:
            style |= {name: getattr(layer, name) for name in _OF_POINTS}
        copy = kind(layer.data, name=layer.name, units=layer.units, axis_labels=layer.axis_labels, **style)
        if kind is Labels:
            copy.contour = layer.contour
        plane.model.add_layer(copy)
        if kind is Points:
            draw_as_spheres(copy)
        return copy

    def _on_inserted(self, event: LayerEvent) -> None:
        self._add(event.value)

    def _on_removed(self, event: LayerEvent) -> None:
        self._drop(event.value)

    def _drop(self, layer: Layer) -> None:
        for plane, copy in zip(self.planes, self._copies.pop(layer, ()), strict=False):
            plane.model.layers.remove(copy)
        layer.events.disconnect(self)

    def _on_style(self, event: LayerEvent) -> None:
        layer = event.source
        name = event.type
        for copy in self._copies.get(layer, ()):
            if name in _PLACEMENT or hasattr(copy, name):
                setattr(copy, name, getattr(layer, name))

    def _on_points(self, event: LayerEvent) -> None:
        self._drop(event.source)
        self._add(event.source)

    def _on_data(self, event: LayerEvent) -> None:
        layer = event.source
        for copy in self._copies.get(layer, ()):
            if copy.data is layer.data:
                copy.refresh(thumbnail=False, extent=False)
            else:
                copy.data = layer.data

    def refresh_layer(self, layer: Layer) -> None:
        """Redraw a layer whose array was changed in place."""
        for copy in self._copies.get(layer, ()):
            if copy.data is not layer.data:
                copy.data = layer.data
            copy.refresh(thumbnail=False, highlight=False, extent=False)

    def _follow_viewer(self, _event: object = None) -> None:
        if self._syncing:
            return
        self._syncing = True
        for plane in self.planes:
            plane.model.dims.current_step = self._viewer.dims.current_step
        self._syncing = False

    def _follow_plane(self, event: LayerEvent) -> None:
        if not self._syncing:
            self._viewer.dims.current_step = event.source.current_step

    def _jump(self, _model: Viewer, event: LayerEvent) -> None:
        self._viewer.dims.point = tuple(event.position)

    def close_views(self) -> None:
        """Disconnect from the viewer and close the canvases; closing twice is no error."""
        if self._viewer is None:
            return
        viewer, self._viewer = self._viewer, None
        for plane in self.planes:
            plane.model.dims.events.current_step.disconnect(self._follow_plane)
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        viewer.layers.events.removed.disconnect(self._on_removed)
        viewer.dims.events.current_step.disconnect(self._follow_viewer)
        viewer.mouse_double_click_callbacks.remove(self._jump)
        for layer in list(self._copies):
            self._drop(layer)
        for plane in self.planes:
            plane.canvas.close()
