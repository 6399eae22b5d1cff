"""How each tomogram is displayed: averaged and filtered sections, contrast, inverted or not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, Signal

from cryomamba.geometry import Spacing
from napari_cryomamba.app.sections import Sections
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.display import (
    CONTRAST_PERCENT,
    DisplayFilter,
    FilteredVoxels,
    contrast_limits,
    sample_sections,
)
from napari_cryomamba.models.world_coordinates import NM_PER_A
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer

LOW_PASS_VOXELS = 6.0
"""Resolution of a low-pass that is switched on, in voxels: two thirds of what the sampling allows are left out."""
HIGH_PASS_VOXELS = 60.0
"""Resolution of a high-pass that is switched on, in voxels: coarser than most structures that are segmented."""


@dataclass(slots=True)
class _State:
    """A tomogram as it was opened, and how it is displayed."""

    data: Any
    limits: tuple[float, float]
    colormap: Any
    filter: DisplayFilter = field(default_factory=DisplayFilter)
    inverted: bool = False


class DisplayController(QObject):
    """The display of the tomogram that is shown; that of the others is kept. For the GUI thread.

    Signals
    -------
    changed
        Another tomogram is shown, or it is displayed in another way.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, sections: Sections, tasks: TaskRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._sections, self._tasks = viewer, sections, tasks
        self._states: dict[Any, _State] = {}
        self._layer: Layer = None
        sections.tomogram_changed.connect(self._on_tomogram)
        viewer.layers.events.removed.connect(self._on_removed)
        self._on_tomogram()

    @property
    def layer(self) -> Layer:
        """The layer of the tomogram that is shown, or None."""
        return self._layer

    @property
    def filter(self) -> DisplayFilter:
        """How its sections are averaged and filtered."""
        return self._state.filter if self._state is not None else DisplayFilter()

    @property
    def inverted(self) -> bool:
        """Whether black and white are exchanged."""
        return self._state is not None and self._state.inverted

    @property
    def _state(self) -> _State | None:
        return self._states.get(self._layer)

    def set_filter(self, wanted: DisplayFilter) -> None:
        """Average and filter in another way; the contrast follows, because noise that is gone needs none."""
        state = self._state
        if state is None or wanted == state.filter:
            return
        state.filter = wanted
        self._apply(self._layer, state)
        if wanted.off:
            self._layer.contrast_limits = state.limits
        else:
            self.use_contrast_of_section()
        self.changed.emit()

    def change_sections(self, count: int) -> None:
        """Average more or fewer sections; their number stays odd."""
        sections = max(self.filter.sections + count, 1)
        self.set_filter(replace(self.filter, sections=sections | 1))

    def toggle_low_pass(self) -> None:
        """Switch the low-pass on, at a resolution that suits the voxel size, or off."""
        resolution = 0.0 if self.filter.low_pass_A else self._rounded(LOW_PASS_VOXELS)
        self.set_filter(replace(self.filter, low_pass_A=resolution))

    def toggle_high_pass(self) -> None:
        """Switch the high-pass on or off."""
        resolution = 0.0 if self.filter.high_pass_A else self._rounded(HIGH_PASS_VOXELS)
        self.set_filter(replace(self.filter, high_pass_A=resolution))

    def use_contrast_of_section(self, percent: float = CONTRAST_PERCENT) -> None:
        """Fit the contrast to the section that is shown."""
        position = self._sections.position()
        if self._layer is None or position is None:
            return
        at = min(max(position.voxel[position.axis], 0), position.shape[position.axis] - 1)
        index = tuple(at if axis == position.axis else slice(None) for axis in range(3))
        self._set_limits(self._layer, contrast_limits(np.asarray(self._layer.data[index]), percent))

    def use_contrast_of_volume(self, percent: float = CONTRAST_PERCENT) -> None:
        """Fit the contrast to the whole tomogram, from a dozen sections as they are displayed."""
        layer = self._layer
        if layer is None:
            return
        data = layer.data

        def done(limits: tuple[float, float]) -> None:
            if layer in self._viewer.layers and layer.data is data:
                self._set_limits(layer, limits)

        self._tasks.run("Measuring the contrast", lambda _task: contrast_limits(sample_sections(data), percent), done)

    def invert(self) -> None:
        """Exchange black and white, or back."""
        state = self._state
        if state is None:
            return
        state.inverted = not state.inverted
        if state.inverted:
            state.colormap = self._layer.colormap
            self._layer.colormap = inverse(state.colormap)
        else:
            self._layer.colormap = state.colormap
        self.changed.emit()

    def reset(self) -> None:
        """Show the tomogram as it was opened."""
        state = self._state
        if state is None:
            return
        if state.inverted:
            self.invert()
        self.set_filter(DisplayFilter())
        self._layer.contrast_limits = state.limits
        self._layer.gamma = 1.0
        self.changed.emit()

    def _rounded(self, voxels: float) -> float:
        """Return a length in voxels as one in Å, to whole ten Å if it has as many."""
        length = voxels * min(_voxel_size_A(self._layer)) if self._layer is not None else voxels
        return round(length, -1) if length > 50 else round(length, 1)

    def _set_limits(self, layer: Layer, limits: tuple[float, float]) -> None:
        low, high = layer.contrast_limits_range
        layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
        layer.contrast_limits = limits

    def _apply(self, layer: Layer, state: _State) -> None:
        wanted = state.filter
        layer.data = state.data if wanted.off else FilteredVoxels(state.data, _voxel_size_A(layer), wanted)

    def _on_tomogram(self) -> None:
        for layer in tomogram_layers(self._viewer):
            if layer not in self._states:
                low, high = layer.contrast_limits
                self._states[layer] = _State(layer.data, (low, high), layer.colormap)
                layer.events.scale.connect(self._on_scale)
        self._layer = self._sections.tomogram
        self.changed.emit()

    def _on_scale(self, event: LayerEvent) -> None:
        """Filter again: resolutions are in Å, and the voxel size was corrected."""
        state = self._states.get(event.source)
        if state is not None and not state.filter.off:
            self._apply(event.source, state)

    def _on_removed(self, event: LayerEvent) -> None:
        if self._states.pop(event.value, None) is not None:
            event.value.events.scale.disconnect(self._on_scale)

    def close(self) -> None:
        """Disconnect from the viewer; tomograms stay as they are displayed."""
        self._sections.tomogram_changed.disconnect(self._on_tomogram)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._states:
            layer.events.scale.disconnect(self._on_scale)
        self._states.clear()


def inverse(colormap: Colormap) -> Colormap:
    """Return a colormap with its colours in the opposite order."""
    controls = 1 - np.asarray(colormap.controls)[::-1]
    name = f"{colormap.name} inverted"
    return Colormap(colors=np.asarray(colormap.colors)[::-1], controls=controls, name=name, display_name=name)


def _voxel_size_A(layer: Layer) -> Spacing:
    source = source_of(layer)
    if source is not None:
        return source.meta.voxel_size_A
    z, y, x = (float(size) / NM_PER_A for size in layer.scale)
    return z, y, x
