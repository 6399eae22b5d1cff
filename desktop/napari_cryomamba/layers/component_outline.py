"""The component that is selected, outlined over its mask."""

from __future__ import annotations

import numpy as np

from cryomamba.masks.editing.component import Component
from napari_cryomamba.layers.masks import AUXILIARY_KEY
from napari_cryomamba.napari_types import Layer, Viewer

_NAME = "selected component"
_WIDTH = 1
_COLOR = "#ffffff"


class ComponentOutline:
    """A Labels layer as large as the component, which is in the viewer while one is selected."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.layer: Layer = None

    def show(self, mask: Layer, component: Component) -> None:
        """Outline a component of a mask."""
        shown = component.member.astype(np.uint8)
        origin = np.asarray(mask.translate) + np.array(component.start) * np.asarray(mask.scale)
        if self.layer not in self._viewer.layers:
            self._add(mask, shown)
        self.layer.data = shown
        self.layer.scale, self.layer.translate = mask.scale, origin

    def _add(self, mask: Layer, shown: np.ndarray) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        selection = self._viewer.layers.selection
        active = selection.active
        self.layer = self._viewer.add_labels(
            shown,
            name=_NAME,
            colormap=DirectLabelColormap(color_dict={None: "#00000000", 1: _COLOR}),
            metadata={AUXILIARY_KEY: True},
            scale=mask.scale,
            units=mask.units,
            axis_labels=mask.axis_labels,
        )
        self.layer.contour = _WIDTH
        self.layer.editable = False
        selection.active = active

    def clear(self) -> None:
        """Take the outline away."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
