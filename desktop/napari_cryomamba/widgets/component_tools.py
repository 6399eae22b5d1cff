"""Tools that act on the component of a mask that is clicked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QPushButton, QWidget

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.editing.component import Component, find_component
from cryomamba.masks.editing.division import divide_along_line, divide_at_constrictions
from napari_cryomamba.app.mask_editor import MaskEditor
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import AUXILIARY_KEY, Mask, voxel_under
from napari_cryomamba.layers.tomogram import Array
from napari_cryomamba.models.component_tool import CONTEXTS, HINTS, Tool, labelled_voxel_on_line, reshaped
from napari_cryomamba.models.components import Place
from napari_cryomamba.models.edits import (
    Edit,
    Progress,
    keep_components,
    merge_components,
    relabel,
    reshape_component,
    split_component,
)
from napari_cryomamba.models.world_coordinates import NM_PER_A
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.layout import text_label, vbox

_CLICK_PX = 4.0
_HINT_LINES = 2


_NO_TOOL = "Choose a tool, then click a component."


class ComponentTools(QWidget):
    """Buttons of which one can be down; a drag still moves the view.

    Signals
    -------
    selected : Component
        The user clicked a component with **Select**, or the first one with **Merge**.
    """

    selected = Signal(object)

    def __init__(self, viewer: Viewer, editor: MaskEditor, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer, self._editor, self._tasks, self._notifications = viewer, editor, tasks, notifications
        self.tool: Tool | None = None
        self._merge_into: Component | None = None
        self._line: Layer = None
        self._layer: Layer = None
        self.buttons: dict[Tool, QPushButton] = {}
        self.hint = text_label(_NO_TOOL)
        # A section that folds gives a text that wraps the height of one line.
        self.hint.setMinimumHeight(_HINT_LINES * self.hint.fontMetrics().lineSpacing())
        grid = QGridLayout()
        for number, tool in enumerate(Tool):
            self.buttons[tool] = self._make_button(tool)
            grid.addWidget(self.buttons[tool], number // 3, number % 3)
        self.length = QDoubleSpinBox(self)
        self.length.setRange(0.1, 1000)
        self.length.setDecimals(1)
        self.length.setValue(2)
        self.length.setPrefix("by ")
        self.length.setSuffix(" nm")
        self.length.setToolTip("For Grow, Shrink and Smooth")
        grid.addWidget(self.length, len(Tool) // 3, len(Tool) % 3, 1, 2)
        vbox(self, grid, self.hint)
        viewer.layers.events.removed.connect(self._on_removed)

    def _make_button(self, tool: Tool) -> QPushButton:
        made = QPushButton(tool.value, self)
        made.setCheckable(True)
        made.setToolTip(HINTS[tool])
        made.clicked.connect(lambda checked: self.choose(tool if checked else None))
        return made

    def show_mask(self, mask: Mask | None) -> None:
        """Work on another mask; the tool is put away."""
        layer = mask.layer if mask is not None else None
        if layer is not self._layer:
            self.choose(None)
            self._layer = layer

    def choose(self, tool: Tool | None) -> None:
        """Take a tool, or put it away."""
        if tool is not None and self._editor.mask is None:
            tool = None
        for one, made in self.buttons.items():
            made.setChecked(one is tool)
        self._stop()
        self.tool = tool
        self.hint.setText(HINTS[tool] if tool is not None else _NO_TOOL)
        if tool is None or self._editor.mask is None:
            return
        layer = self._editor.mask.layer
        self._viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        if tool is Tool.CUT:
            self._start_line(layer)
        else:
            self._viewer.mouse_drag_callbacks.append(self._on_press)
        layer.events.mode.connect(self._on_mode)

    def _stop(self) -> None:
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        if self._layer is not None:
            self._layer.events.mode.disconnect(self._on_mode)
        self._merge_into = None
        self._end_line()
        self.tool = None

    def _on_mode(self, event: LayerEvent) -> None:
        """Put the tool away when the user takes the brush."""
        if str(event.source.mode) != "pan_zoom":
            self.choose(None)

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None]:  # noqa: ANN401 (an event of napari's)
        if event.button not in {None, 1} or event.modifiers:
            return
        begin, moved = np.array(event.pos, float), False
        yield
        while event.type == "mouse_move":
            moved |= float(np.linalg.norm(np.array(event.pos, float) - begin)) > _CLICK_PX
            yield
        mask = self._editor.mask
        if not moved and mask is not None:
            at = voxel_under(mask.layer, event.position, event.view_direction, viewer.dims.displayed)
            self.click(at)

    def click(self, at: Shape | None) -> None:
        """Use the tool on the component at a voxel (z, y, x)."""
        tool, mask = self.tool, self._editor.mask
        if tool is None or mask is None or not self._notifications.report_errors(tool.value, mask.require_finished):
            return
        if at is None:
            self.hint.setText(f"There is no mask there. {HINTS[tool]}")
            return
        if tool is Tool.SELECT or (tool is Tool.MERGE and self._merge_into is None):
            self._select(mask, at)
        else:
            self._edit(tool, at)

    def _select(self, mask: Mask, at: Shape) -> None:
        array = mask.array

        def done(component: Component) -> None:
            if self.tool is Tool.MERGE:
                self._merge_into = component
                self.hint.setText(f"Click the components that get label {component.label}.")
            self.selected.emit(component)

        self._tasks.run("Selecting a component", lambda task: find_component(array, at, progress=task.progress), done)

    def _edit(self, tool: Tool, at: Shape) -> None:
        into, length_A = self._merge_into, self.length.value() / NM_PER_A

        def find(array: Array, size: Spacing, progress: Progress) -> Edit:
            component = find_component(array, at, progress=progress)
            if tool is Tool.DELETE:
                return relabel([component], 0)
            if tool is Tool.KEEP:
                return keep_components(array, [component], progress=progress)
            if tool is Tool.MERGE and into is not None:
                return merge_components([into, component])
            if tool is not Tool.SPLIT:
                return reshape_component(array, component, reshaped(tool, component, length_A, size, array.shape))
            return split_component(array, component, divide_at_constrictions(component, size))

        self._editor.run(CONTEXTS[tool], find)

    def apply_to(self, tool: Tool, places: Sequence[Place]) -> None:
        """Delete, keep or merge components of which the places are known."""

        def find(array: Array, _size: Spacing, progress: Progress) -> Edit:
            components = [place.find(array) for place in places]
            if tool is Tool.DELETE:
                return relabel(components, 0)
            return (
                keep_components(array, components, progress=progress)
                if tool is Tool.KEEP
                else merge_components(components)
            )

        self._editor.run(CONTEXTS[tool], find)

    def keep_under_cursor(self) -> None:
        """Keep the component under the cursor, and remove the others of its label."""
        mask = self._editor.mask
        if mask is None:
            return
        cursor = self._viewer.cursor
        at = voxel_under(mask.layer, cursor.position, cursor._view_direction, self._viewer.dims.displayed)  # noqa: SLF001
        if at is None or not all(0 <= i < side for i, side in zip(at, mask.array.shape, strict=True)):
            error = InvalidRequestError("No mask at this position.", hint="Point at the mask, then press Alt+K.")
            self._notifications.notify_error(error, CONTEXTS[Tool.KEEP])
            return
        self._edit(Tool.KEEP, at)

    def _start_line(self, mask: Layer) -> None:
        self._viewer.dims.ndisplay = 2
        self._line = self._viewer.add_shapes(
            ndim=3,
            name="cut",
            edge_color="#ffffff",
            edge_width=1,
            metadata={AUXILIARY_KEY: True},
            scale=mask.scale,
            translate=mask.translate,
            units=mask.units,
            axis_labels=mask.axis_labels,
        )
        self._line.mode = "add_line"
        self._line.events.data.connect(self._on_line)

    def _on_line(self, event: LayerEvent) -> None:
        if str(event.action) == "added" and len(event.source.data):
            line = np.asarray(event.source.data[0], float)
            # napari is still drawing the line.
            QTimer.singleShot(0, lambda: self._cut(line))

    def _cut(self, line: Any) -> None:  # noqa: ANN401
        mask = self._editor.mask
        if self.tool is not Tool.CUT or mask is None:
            return
        if self._line in self._viewer.layers:
            self._line.selected_data = set(range(self._line.nshapes))
            self._line.remove_selected()
            self._line.mode = "add_line"
        self.cut(tuple(line[0].tolist()), tuple(line[1].tolist()))

    def cut(self, begin: Spacing, end: Spacing) -> None:
        """Cut the component under a line (z, y, x in voxels) that lies in the section that is shown."""
        axis = self._viewer.dims.order[-3]

        def find(array: Array, _size: Spacing, progress: Progress) -> Edit:
            component = find_component(array, labelled_voxel_on_line(array, begin, end), progress=progress)
            return split_component(array, component, divide_along_line(component, begin, end, axis))

        self._editor.run(CONTEXTS[Tool.CUT], find)

    def _on_removed(self, event: LayerEvent) -> None:
        if event.value is self._line and self._line is not None:
            self._line = None
            self.choose(None)

    def _end_line(self) -> None:
        line, self._line = self._line, None
        if line is not None and line in self._viewer.layers:
            self._viewer.layers.remove(line)
