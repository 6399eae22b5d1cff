"""Measurements as layers: lines and paths in a Shapes layer, distances as a feature of points.

Layers survive everything that jobs do, are edited with napari's own tools, and can be saved with napari.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_cryomamba.layers.features import assign_features
from napari_cryomamba.layers.picks import is_picks
from napari_cryomamba.models.measurements import Kind, Measurement, measure_shape
from napari_cryomamba.models.world_coordinates import AXES, UNITS
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer

MEASUREMENTS_KEY = "cryomamba_measurements"
DISTANCE = "surface_distance_nm"
_NAME = "measurements"
_COLOR = "#f0e442"
_KIND, _TEXT = "kind", "text"
_SHAPES = {Kind.RULER: "add_line", Kind.PROFILE: "add_line", Kind.ANGLE: "add_polyline"}


def measurement_layer(viewer: Viewer, like: Layer) -> Layer:
    """Return the layer of measurements, and add one on the grid of another layer if there is none."""
    found = next((layer for layer in viewer.layers if MEASUREMENTS_KEY in layer.metadata), None)
    if found is not None:
        return found
    grid = {} if like is None else {"scale": like.scale, "translate": like.translate}
    layer = viewer.add_shapes(
        ndim=3,
        name=_NAME,
        edge_color=_COLOR,
        face_color="transparent",
        edge_width=1.5,
        opacity=1,
        features={_KIND: np.empty(0, object), _TEXT: np.empty(0, object)},
        text={"string": f"{{{_TEXT}}}", "color": _COLOR, "size": 12, "anchor": "upper_left"},
        metadata={MEASUREMENTS_KEY: True},
        units=UNITS,
        axis_labels=AXES,
        **grid,
    )
    layer.events.data.connect(_write_values)
    return layer


def start_drawing(layer: Layer, kind: Kind) -> None:
    """Let the next shapes that are drawn be of a kind."""
    layer.feature_defaults = {_KIND: kind.value, _TEXT: ""}
    layer.mode = _SHAPES[kind]


def finish_path(layer: Layer, points: int) -> None:
    """End a path once it has so many points; napari would wait for a double click."""
    if layer._is_creating and len(layer.data[-1]) > points:  # noqa: SLF001 (napari has no public way to end a path)
        layer._finish_drawing()  # noqa: SLF001


def measurements_of(layer: Layer) -> list[Measurement | None]:
    """Return a measurement for each shape of a layer; None for a shape that is none."""
    kinds = layer.features[_KIND].to_list() if _KIND in layer.features else []
    found = []
    for number, (vertices, kind) in enumerate(zip(layer.data, kinds, strict=False), 1):
        world = np.array([layer.data_to_world(vertex) for vertex in vertices])
        found.append(measure_shape(layer.name, number, Kind(kind), world) if kind in set(Kind) else None)
    return found


def distances_of(layer: Layer) -> list[Measurement]:
    """Return a measurement for each point of which the distance is known."""
    if not is_picks(layer) or DISTANCE not in layer.features:
        return []
    values = layer.features[DISTANCE].to_numpy(float)
    rows = []
    for index in np.flatnonzero(np.isfinite(values) & np.asarray(layer.shown, bool)):
        begin = tuple(float(at) for at in layer.data_to_world(layer.data[index]))
        rows.append(Measurement(layer.name, int(index) + 1, Kind.DISTANCE, float(values[index]), begin))
    return rows


def all_measurements(viewer: Viewer) -> list[Measurement]:
    """Return the measurements of all layers, in their order."""
    rows: list[Measurement] = []
    for layer in viewer.layers:
        if MEASUREMENTS_KEY in layer.metadata:
            rows += [found for found in measurements_of(layer) if found is not None]
        rows += distances_of(layer)
    return rows


def set_distances(layer: Layer, indices: Any, distances_nm: Any) -> None:  # noqa: ANN401
    """Keep distances with the points; one that is moved loses its distance, and one that is added has none."""
    values = np.full(len(layer.data), np.nan)
    values[indices] = distances_nm
    assign_features(layer, {DISTANCE: values}, {DISTANCE: np.nan})
    if not layer.metadata.get(MEASUREMENTS_KEY + "_followed"):
        layer.metadata[MEASUREMENTS_KEY + "_followed"] = True
        layer.events.data.connect(_forget_changed)


def _forget_changed(event: LayerEvent) -> None:
    layer = event.source
    # napari gives a point that is added the features of the one that is selected.
    if str(event.action) in {"added", "changed"} and DISTANCE in layer.features:
        values = layer.features[DISTANCE].to_numpy(float).copy()
        values[list(event.data_indices)] = np.nan
        assign_features(layer, {DISTANCE: values})


def _write_values(event: LayerEvent) -> None:
    """Write its value beside each shape that was drawn or moved."""
    layer = event.source
    if str(event.action) not in {"added", "changed", "removed"} or _KIND not in layer.features:
        return
    texts = [found.text if found is not None else "" for found in measurements_of(layer)]
    if len(texts) == len(layer.features) and layer.features[_TEXT].to_list() != texts:
        assign_features(layer, {_TEXT: texts})
        layer.refresh_text()
