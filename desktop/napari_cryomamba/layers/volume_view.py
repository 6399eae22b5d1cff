"""Layers that stand for others in 3D: the surface of a mask, and a section of a tomogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Surface

from napari_cryomamba.layers.tomogram import METADATA_KEY
from napari_cryomamba.models.isosurface import Isosurface
from napari_cryomamba.napari_types import Layer, Viewer

VIEW_KEY = "cryomamba_3d"
"""In the metadata of a layer that only stands for another one."""


def stands_for_another(layer: Layer) -> bool:
    """Whether a layer is there only in 3D, in place of another one."""
    return VIEW_KEY in layer.metadata


def surface_layer(labels: Layer, surface: Isosurface) -> Layer:
    """Return the layer that shows the surface of a Labels layer, in its colours."""
    return Surface(
        (surface.vertices, surface.triangles),
        vertex_colors=surface_colors(labels, surface),
        name=f"{labels.name} · surface",
        shading="smooth",
        opacity=1.0,
        blending="opaque",
        metadata={VIEW_KEY: True, METADATA_KEY: None},
        scale=labels.scale,
        translate=labels.translate,
        units=labels.units,
        axis_labels=labels.axis_labels,
    )


def surface_colors(labels: Layer, surface: Isosurface) -> Any:  # noqa: ANN401 (an array of colours)
    """Return the colour of each vertex: that of its label, opaque."""
    kinds, which = np.unique(surface.labels, return_inverse=True)
    colors = np.asarray(labels.colormap.map(kinds.astype(np.int64)), np.float32).reshape(-1, 4)
    colors[:, 3] = 1.0
    return colors[which]


def light_from_viewer(viewer: Viewer, layer: Layer) -> None:
    """Let a surface be lit from where the viewer is.

    napari lights the far side when the axes point as in a file, where x, y and z are right-handed.
    """
    if not hasattr(viewer, "window"):
        return
    visual = viewer.window._qt_viewer.canvas.layer_to_visual[layer]  # noqa: SLF001 (napari has no public way to it)
    turn = visual._on_view_direction_change  # noqa: SLF001
    camera = viewer.scene.camera

    def change(view: Any = None, up: Any = None) -> None:  # noqa: ANN401 (arrays)
        sign = 1 if str(camera.handedness) == "right" else -1
        turn(*(None if direction is None else sign * direction for direction in (view, up)))

    visual._on_view_direction_change = change  # noqa: SLF001
    change(np.array(camera.view_direction[::-1]), np.array(camera.up_direction[::-1]))


class SectionLayer:
    """One section of a tomogram as a plane in space, as the tomogram is displayed. Nothing else of it is read.

    Parameters
    ----------
    tomogram : napari.layers.Image
    axis : int
        The section is perpendicular to it: 0 for z.
    """

    def __init__(self, tomogram: Layer, axis: int, at: int) -> None:
        self.tomogram, self.axis, self.at = tomogram, axis, at
        self.layer = Image(
            self._section(),
            name=f"{tomogram.name} · section",
            rendering="mip",
            blending="translucent",
            colormap=tomogram.colormap,
            contrast_limits=tomogram.contrast_limits,
            gamma=tomogram.gamma,
            metadata={VIEW_KEY: True, METADATA_KEY: None},
            scale=tomogram.scale,
            translate=self._translate(),
            units=tomogram.units,
            axis_labels=tomogram.axis_labels,
        )
        for name in ("colormap", "contrast_limits", "gamma", "data"):
            getattr(tomogram.events, name).connect(self._on_change)

    def go_to(self, at: int) -> None:
        """Show another section."""
        if at != self.at:
            self.at = at
            self.layer.data = self._section()
            self.layer.translate = self._translate()

    def close(self) -> None:
        """Follow the tomogram no longer."""
        for name in ("colormap", "contrast_limits", "gamma", "data"):
            getattr(self.tomogram.events, name).disconnect(self._on_change)

    def _section(self) -> Any:  # noqa: ANN401 (an array)
        index = tuple(slice(self.at, self.at + 1) if axis == self.axis else slice(None) for axis in range(3))
        return np.asarray(self.tomogram.data[index])

    def _translate(self) -> Any:  # noqa: ANN401 (an array)
        origin = np.zeros(3)
        origin[self.axis] = self.at
        return self.tomogram.data_to_world(origin)

    def _on_change(self, event: Any) -> None:  # noqa: ANN401 (napari's event)
        if event.type == "data":
            self.layer.data = self._section()
        else:
            setattr(self.layer, event.type, getattr(self.tomogram, event.type))
