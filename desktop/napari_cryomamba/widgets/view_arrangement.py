"""The orthogonal views beside the main canvas, and where the axes point in all canvases."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Qt

from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.sections import Sections
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.napari_types import Viewer

# Where z, y and x point. In 3D both show the hand of the file, as IMOD and ChimeraX do; napari's default mirrors it.
ORIENTATIONS = {False: ("away", "down", "right"), True: ("towards", "up", "right")}
# The docks at the sides keep the height of the window, which in a low one the canvases alone can spare.
_CORNERS = {
    Qt.Corner.BottomLeftCorner: Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.Corner.BottomRightCorner: Qt.DockWidgetArea.RightDockWidgetArea,
}


class ViewArrangement(QObject):
    """Shows and hides the two further canvases, and lets them follow. For the GUI thread; :meth:`close` it.

    Attributes
    ----------
    orthogonal : OrthogonalViews or None
        None while they are hidden.
    """

    def __init__(
        self,
        viewer: Viewer,
        sections: Sections,
        preview: PreviewController,
        preferences: Preferences,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._sections, self._preview = viewer, sections, preview
        self._preferences = preferences
        self._corners: dict[Qt.Corner, Qt.DockWidgetArea] = {}
        self.orthogonal: Any = None
        self._zoom = 0.0
        preview.overlay_changed.connect(self._on_overlay)
        preview.frame_drawn.connect(self._refresh)

    def _on_overlay(self, job_id: str) -> None:
        overlay = self._preview.overlays.get(job_id)
        if overlay is not None and overlay.final:
            self._refresh(job_id)

    def _refresh(self, job_id: str) -> None:
        overlay = self._preview.overlays.get(job_id)
        if self.orthogonal is not None and overlay is not None and overlay.in_viewer:
            self.orthogonal.refresh_layer(overlay.layer)

    def show_orthogonal(self, on: bool) -> None:
        """Show or hide the two further canvases, below the main one."""
        if on and self.orthogonal is None and hasattr(self._viewer, "window"):
            from napari_cryomamba.widgets.ortho import OrthogonalViews

            self._zoom = self._viewer.scene.camera.zoom
            self.orthogonal = OrthogonalViews(self._viewer, self._sections)
            dock = self._viewer.window.add_dock_widget(self.orthogonal, name="Orthogonal views", area="bottom")
            window = dock.parentWidget()
            self._corners = {corner: window.corner(corner) for corner in _CORNERS}
            for corner, area in _CORNERS.items():
                window.setCorner(corner, area)
            window.resizeDocks([dock], [window.height() * 2 // 5], Qt.Orientation.Vertical)
        elif not on and self.orthogonal is not None:
            views, self.orthogonal = self.orthogonal, None
            window = views.window()
            views.close_views()
            self._viewer.window.remove_dock_widget(views)
            for corner, area in self._corners.items():
                window.setCorner(corner, area)
            # The sections were made smaller to fit beside one another.
            camera = self._viewer.scene.camera
            camera.zoom = max(camera.zoom, self._zoom)

    def set_y_up(self, on: bool) -> None:
        """Let y point up, as in 3dmod, or down, in all canvases; the choice is kept."""
        self._preferences.values.y_up = on
        self._preferences.save()
        self.use_orientation()

    def use_orientation(self) -> None:
        """Let the axes of all canvases point as the preferences say."""
        self._viewer.scene.camera.orientation = ORIENTATIONS[self._preferences.values.y_up]
        if self.orthogonal is not None:
            self.orthogonal.use_orientation()

    def close(self) -> None:
        """Hide the two further canvases."""
        self.show_orthogonal(on=False)
