"""The layer on which strokes are painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers.labels.labels import _MaskedPaintAtom
from napari.utils.colormaps import DirectLabelColormap

from cryomamba.geometry import Spacing
from napari_cryomamba.layers.masks import AUXILIARY_KEY
from napari_cryomamba.models.painted_strokes import PaintedStrokes, colours_of
from napari_cryomamba.models.world_coordinates import AXES, UNITS, Placement
from napari_cryomamba.napari_types import Layer, Viewer

_BRUSH = 5


def add_strokes_layer(viewer: Viewer, painted: PaintedStrokes, voxel_size_A: Spacing, name: str) -> Layer:
    """Add a layer for strokes over a tomogram, ready to paint on."""
    layer = viewer.add_labels(
        painted.array,
        name=f"strokes on {name}",
        scale=Placement.of_volume(voxel_size_A).scale,
        units=UNITS,
        axis_labels=AXES,
        opacity=0.8,
        metadata={AUXILIARY_KEY: True},
    )
    show_colours(layer, painted)
    layer.brush_size = _BRUSH
    return layer


def show_colours(layer: Layer, painted: PaintedStrokes) -> None:
    """Draw the labels in their colours."""
    layer.colormap = DirectLabelColormap(color_dict=colours_of(painted.labels))


def paint_label(viewer: Viewer, layer: Layer, label: int) -> None:
    """Take the brush for a label."""
    viewer.layers.selection.active = layer
    layer.selected_label = label + 1
    layer.mode = "paint"


def painted_sections(step: list[Any]) -> set[int]:
    """Return the sections (z) that a step of the layer's history changes."""
    found: set[int] = set()
    for atom in step:
        if isinstance(atom, _MaskedPaintAtom):
            found.update(range(atom.slice_key[0].start, atom.slice_key[0].stop))
        else:
            found.update(np.unique(atom[0][0]).tolist())
    return found
