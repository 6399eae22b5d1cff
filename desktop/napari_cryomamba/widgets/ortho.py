"""Orthogonal views: the xz and yz sections beside the main canvas, linked in position and zoom, with a crosshair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.components._viewer_mouse_bindings import double_click_to_zoom
from napari.layers import Image, Labels, Points
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QSplitter, QWidget

from napari_cryomamba.app.sections import Sections
from napari_cryomamba.layers.history import history_lengths
from napari_cryomamba.layers.sphere_slices import draw_as_spheres
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.layout import vbox
from napari_cryomamba.widgets.plane_view import FurtherPlane, PlaneView

ORDERS = ((1, 0, 2), (2, 1, 0))
# A hand that clicks moves the mouse a little.
_DRAG_PIXELS = 3
_LAYOUT_MS = 300
_STYLE = {
    Image: ("contrast_limits", "gamma", "colormap", "opacity", "visible", "blending"),
    Labels: ("colormap", "opacity", "visible", "contour", "blending"),
    Points: ("opacity", "visible"),
}
# Properties of single points change with the number of points, so the copy is replaced.
_OF_POINTS = ("size", "shown", "face_color", "border_color", "border_width", "symbol")
_PLACEMENT = ("scale", "translate")


class OrthogonalViews(QWidget):
    """The two more canvases of a viewer.

    Layers are copies that share their data with the viewer's, so nothing is read or stored twice. A click in any
    canvas moves the crosshair of all three there; the main canvas takes it only while no tool is chosen. All have one
    zoom, and one point in their middle.

    Parameters
    ----------
    viewer : napari.Viewer
        Its own canvas shows the xy section.
    """

    def __init__(self, viewer: Viewer, sections: Sections, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._sections = viewer, sections
        self._copies: dict[Any, list[Any]] = {}
        self._histories: dict[Any, tuple[int, int]] = {}
        self._syncing = False
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.planes = [FurtherPlane(order, sections, self) for order in ORDERS]
        for plane in self.planes:
            splitter.addWidget(plane)
        vbox(self, splitter)
        self.setMinimumHeight(150)
        main = PlaneView(viewer, viewer.window._qt_viewer)  # noqa: SLF001 (napari has no public way to its canvas)
        self.views = [main, *(plane.view for plane in self.planes)]
        for layer in viewer.layers:
            self._add(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.point.connect(self._follow_viewer)
        viewer.dims.events.ndisplay.connect(self._draw_crosshairs)
        viewer.events.theme.connect(self._use_theme)
        sections.tomogram_changed.connect(self._on_tomogram)
        for view in self.views:
            self._link(view)
        for plane in self.planes:
            plane.model.dims.events.point.connect(self._follow_plane)
            plane.model.cursor.events.position.connect(self._on_cursor)
        self._use_theme()
        self.use_orientation()
        self._on_tomogram()
        # The canvases have their sizes only once they are laid out, which takes the window several turns: the layout
        # ends when no canvas has changed its size for a while, however slow the machine is.
        self.laid_out = False
        self._layout_timer = QTimer(self)
        self._layout_timer.setSingleShot(True)
        self._layout_timer.setInterval(_LAYOUT_MS)
        self._layout_timer.timeout.connect(self._end_layout)
        for view in self.views:
            view.model.canvas.events.size.connect(self._on_size)
        self._layout_timer.start()

    def _link(self, view: PlaneView) -> None:
        model = view.model
        if double_click_to_zoom in model.mouse_double_click_callbacks:
            model.mouse_double_click_callbacks.remove(double_click_to_zoom)
        model.mouse_double_click_callbacks.append(self._jump)
        model.mouse_drag_callbacks.append(self._click)
        model.scene.camera.events.zoom.connect(self._on_camera)
        model.scene.camera.events.center.connect(self._on_camera)

    def _unlink(self, view: PlaneView) -> None:
        model = view.model
        model.scene.camera.events.zoom.disconnect(self._on_camera)
        model.scene.camera.events.center.disconnect(self._on_camera)
        model.mouse_drag_callbacks.remove(self._click)
        model.mouse_double_click_callbacks.remove(self._jump)
        model.mouse_double_click_callbacks.append(double_click_to_zoom)
        view.close()

    def _on_size(self, _event: object = None) -> None:
        if not self.laid_out:
            self.fit()
            self._layout_timer.start()

    def _end_layout(self) -> None:
        self.fit()
        self.laid_out = True

    def fit(self) -> None:
        """Fit the main canvas to the tomogram; the others follow."""
        if self._viewer is None or self._viewer.dims.ndisplay != 2:
            return
        tomogram = self._sections.tomogram
        self._viewer.reset_view(layers=None if tomogram is None else [tomogram])
        self._use_camera_of(self.views[0])

    def _use_theme(self, _event: object = None) -> None:
        for plane in self.planes:
            plane.model.theme = self._viewer.theme

    def use_orientation(self) -> None:
        """Let the axes point as in the main canvas."""
        for plane in self.planes:
            plane.model.scene.camera.orientation = self._viewer.scene.camera.orientation

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
            self._histories[layer] = history_lengths(layer)
            layer.events.set_data.connect(self._on_drawn)

    @staticmethod
    def _copy(layer: Layer, kind: type[Layer], plane: FurtherPlane) -> Layer:
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
        self._histories.pop(layer, None)
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

    def _on_drawn(self, event: LayerEvent) -> None:
        """Redraw a mask after napari's own undo and redo, which are announced in no other way."""
        layer = event.source
        lengths = history_lengths(layer)
        if lengths != self._histories.get(layer):
            self._histories[layer] = lengths
            self._on_data(event)

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
            plane.model.dims.point = self._viewer.dims.point[-3:]
        self._syncing = False
        self._draw_crosshairs()

    def _follow_plane(self, event: LayerEvent) -> None:
        if not self._syncing:
            self._go_to(event.source.point)

    def _on_tomogram(self) -> None:
        for plane in self.planes:
            plane.steps.apply()
        self._follow_viewer()

    def _on_cursor(self, event: LayerEvent) -> None:
        for plane in self.planes:
            # It also moves when layers come and go.
            if plane.model.cursor is event.source and plane.model.mouse_over_canvas:
                self._sections.point_at(tuple(event.source.position), plane.view.axis)

    def _draw_crosshairs(self, _event: object = None) -> None:
        for view in self.views:
            view.draw_crosshair(self._sections.tomogram, self._viewer.dims.point[-3:])

    def _on_camera(self, event: LayerEvent) -> None:
        if not self._syncing:
            for view in self.views:
                if view.model.scene.camera is event.source:
                    self._use_camera_of(view)

    def _use_camera_of(self, source: PlaneView) -> None:
        """Give all canvases the zoom of one, and its middle along the axes that they share."""
        if not source.flat:
            return
        camera = source.model.scene.camera
        middle = dict(zip(source.model.dims.displayed, camera.center[-2:], strict=True))
        self._syncing = True
        for view in self.views:
            if view is not source and view.flat:
                own = view.model.scene.camera
                pairs = zip(view.model.dims.displayed, own.center[-2:], strict=True)
                own.zoom = camera.zoom
                own.center = (0.0, *(middle.get(axis, at) for axis, at in pairs))
        self._syncing = False

    def _click(self, model: Viewer, event: LayerEvent) -> Iterator[None]:
        """Move the crosshair to a click of the left button that is not a drag, if no tool is in use."""
        active = model.layers.selection.active
        tool = model is self._viewer and active is not None and active.mode != "pan_zoom"
        if event.button != 1 or event.modifiers or tool or model.dims.ndisplay != 2:
            return
        start = event.pos
        yield
        while event.type == "mouse_move":
            if max(abs(event.pos - start)) > _DRAG_PIXELS:
                return
            yield
        self._go_to(event.position)

    def _jump(self, _model: Viewer, event: LayerEvent) -> None:
        self._go_to(event.position)

    def _go_to(self, point: tuple[float, ...]) -> None:
        self._viewer.dims.point = tuple(point)
        for view in self.views:
            view.show_point(self._viewer.dims.point)

    def close_views(self) -> None:
        """Disconnect from the viewer and close the canvases; closing twice is no error."""
        if self._viewer is None:
            return
        viewer, self._viewer = self._viewer, None
        for plane in self.planes:
            plane.model.dims.events.point.disconnect(self._follow_plane)
            plane.model.cursor.events.position.disconnect(self._on_cursor)
            plane.steps.close()
        for view in self.views:
            self._unlink(view)
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        viewer.layers.events.removed.disconnect(self._on_removed)
        viewer.dims.events.point.disconnect(self._follow_viewer)
        viewer.dims.events.ndisplay.disconnect(self._draw_crosshairs)
        viewer.events.theme.disconnect(self._use_theme)
        self._layout_timer.stop()
        for view in self.views:
            view.model.canvas.events.size.disconnect(self._on_size)
        self._sections.tomogram_changed.disconnect(self._on_tomogram)
        for layer in list(self._copies):
            self._drop(layer)
        for plane in self.planes:
            plane.canvas.close()
