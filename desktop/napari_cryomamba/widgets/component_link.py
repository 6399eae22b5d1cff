"""The table of components and the image: what is selected in one is selected in the other."""

from __future__ import annotations

from qtpy.QtCore import QObject

from cryomamba.masks.editing.component import Component
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.component_outline import ComponentOutline
from napari_cryomamba.models.component_tool import Tool
from napari_cryomamba.models.components import Place
from napari_cryomamba.models.edits import Edit
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.edit import EditPanel
from napari_cryomamba.widgets.statistics import StatisticsPanel


class ComponentLink(QObject):
    """Outlines the component of the selected row, and selects the row of the component that was clicked."""

    def __init__(self, viewer: Viewer, edit: EditPanel, statistics: StatisticsPanel, tasks: TaskRunner) -> None:
        super().__init__(statistics)
        self._edit, self._statistics, self._tasks = edit, statistics, tasks
        self.outline = ComponentOutline(viewer)
        self._shown: Place | None = None
        self._requested: tuple[Tool, list[Place]] | None = None
        edit.tools.selected.connect(self._on_clicked)
        edit.editor.edited.connect(self._on_edited)
        statistics.chosen.connect(self._on_row)
        statistics.edit_requested.connect(self._on_request)
        viewer.layers.events.removed.connect(self._on_removed)

    def _on_clicked(self, component: Component) -> None:
        self._outline(component)
        nm3 = component.voxels * self._voxel_nm3()
        self._edit.status.setText(f"Label {component.label}: {component.voxels:,} voxels, {nm3:,.0f} nm³.")
        self._statistics.select_place(Place.of(component))

    def _voxel_nm3(self) -> float:
        mask = self._edit.editor.mask
        z, y, x = mask.voxel_size_A if mask is not None else (0.0, 0.0, 0.0)
        return z * y * x / 1000

    def _on_row(self, place: Place) -> None:
        mask = self._edit.editor.mask
        if mask is None or place == self._shown:
            return
        array = mask.array
        self._tasks.run("Selecting a component", lambda _task: place.find(array), self._outline)

    def _outline(self, component: Component) -> None:
        mask = self._edit.editor.mask
        if mask is not None:
            self._shown = Place.of(component)
            self.outline.show(mask.layer, component)

    def _on_request(self, tool: Tool, places: list[Place]) -> None:
        self._requested = tool, places
        self._edit.tools.apply_to(tool, places)

    def _on_edited(self, _edit: Edit) -> None:
        requested, self._requested = self._requested, None
        if requested is not None and requested[0] is Tool.DELETE:
            self._statistics.remove_places(requested[1])
        self._shown = None
        self.outline.clear()

    def _on_removed(self, _event: object = None) -> None:
        if self._edit.editor.mask is None:
            self.outline.clear()
