"""A canvas with the sections along one axis: the name of its plane, and the crosshair."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.qt import QtViewer
from qtpy.QtWidgets import QWidget

from napari_cryomamba.app.sections import Sections, SectionSteps, cut_axis
from napari_cryomamba.layers.crosshair import Crosshair
from napari_cryomamba.models.sections import PLANE_COLORS, PLANE_NAMES
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.layout import vbox

_NAME_POINTS = 14


class PlaneView:
    """A canvas with its viewer: draws the name of its plane and the crosshair. The main canvas and the others alike."""

    def __init__(self, model: Viewer, qt_viewer: Any) -> None:  # noqa: ANN401 (napari has no types)
        self.model = model
        self.crosshair = Crosshair(qt_viewer.canvas.view.scene)
        text = model.canvas.overlays.text
        self._before = {name: getattr(text, name) for name in ("text", "color", "position", "font_size", "visible")}
        text.update({"color": PLANE_COLORS[self.axis], "position": "top_left", "font_size": _NAME_POINTS})
        text.text = PLANE_NAMES[self.axis]
        text.visible = True

    @property
    def axis(self) -> int:
        """The axis that the section is perpendicular to."""
        return cut_axis(self.model)

    @property
    def flat(self) -> bool:
        """Whether a section is shown, not the volume."""
        dims = self.model.dims
        return bool(dims.ndisplay == 2 and dims.ndim == 3)

    def draw_crosshair(self, tomogram: Layer, point: tuple[float, ...]) -> None:
        """Draw the crosshair at a point (nm; z, y, x), over the tomogram."""
        if tomogram is None or not self.flat:
            self.crosshair.hide()
            return
        rows, columns = self.model.dims.displayed
        low, high = tomogram.extent.world
        self.crosshair.draw(
            (point[rows], point[columns]),
            ((low[rows], high[rows]), (low[columns], high[columns])),
            (PLANE_COLORS[rows], PLANE_COLORS[columns]),
        )

    def show_point(self, point: tuple[float, ...]) -> None:
        """Move the view if a point is out of sight."""
        if not self.flat:
            return
        camera, size = self.model.scene.camera, self.model.canvas.size
        center = list(camera.center[-2:])
        for number, axis in enumerate(self.model.dims.displayed):
            if abs(point[axis] - center[number]) > size[number] / camera.zoom / 2:
                center[number] = point[axis]
        if center != list(camera.center[-2:]):
            camera.center = (0.0, *center)

    def close(self) -> None:
        """Remove crosshair and name."""
        self.crosshair.remove()
        self.model.canvas.overlays.text.update(self._before)


class FurtherPlane(QWidget):
    """A canvas of its own for the sections along another axis."""

    def __init__(self, order: tuple[int, ...], sections: Sections, parent: QWidget) -> None:
        super().__init__(parent)
        self.model = ViewerModel(ndisplay=2, order=order)
        self.canvas = QtViewer(self.model, show_welcome_screen=False)
        self.view = PlaneView(self.model, self.canvas)
        self.steps = SectionSteps(self.model, lambda: sections.tomogram)
        vbox(self, self.canvas)
        self.model.bind_key("PageUp", lambda _model: self._step(1))
        self.model.bind_key("PageDown", lambda _model: self._step(-1))

    def _step(self, count: int) -> None:
        dims = self.model.dims
        axis = dims.order[0]
        dims.set_current_step(axis, dims.current_step[axis] + count)
