"""Picks as a Points layer: rings of the particles' size, a colour per label, and a score below which they hide.

A Vectors layer shows the normals of points on membranes as arrows (the normals are features of the points too), or
lines through the points of filaments that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps.standardize_color import transform_color

from cryomamba.engines.info import EngineInfo
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.hysteresis import SCORE_MAX
from cryomamba.models.jobs import JobRecord
from cryomamba.picks import NORMAL_COLUMNS, Picks
from cryomamba.printable import printable
from napari_cryomamba.layers.features import assign_features
from napari_cryomamba.layers.filaments import path_colors, path_segments
from napari_cryomamba.layers.sphere_slices import draw_as_spheres
from napari_cryomamba.layers.tomogram import METADATA_KEY
from napari_cryomamba.models.gallery import Review
from napari_cryomamba.models.palette import color_of
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.world_coordinates import NM_PER_A, Placement
from napari_cryomamba.napari_types import Layer, Viewer

PICKS_KEY = "cryomamba_picks"
VECTORS_KEY = "cryomamba_vectors"
SCORE, LABEL, REVIEW = "score", "label", "review"
DIAMETER = "diameter_A"
SPACING = "point_spacing_A"
DEFAULT_DIAMETER_A = 200.0
_LINE_WIDTH = 0.1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where picks come from.

    Attributes
    ----------
    key : str
        The job's id, or the path of the file that was imported; the same origin has one layer.
    name : str
        For the names of layers.
    tomogram : str or None
        Name of the tomogram.
    shape : tuple of int or None
        That of the tomogram, ZYX.
    path : str or None
        The tomogram's file.
    """

    key: str
    name: str
    tomogram: str | None
    shape: Shape | None
    path: str | None

    @classmethod
    def of_job(cls, record: JobRecord) -> Self:
        """Return the origin of a job's picks."""
        volume = record.volume
        return cls(record.job_id, volume.name or record.name, volume.name, volume.shape, volume.path)

    @classmethod
    def of_file(cls, path: Path, tomogram: Source) -> Self:
        """Return the origin of picks that were imported for a tomogram."""
        return cls(str(path), path.stem, tomogram.meta.name, tomogram.meta.shape, str(tomogram.path))


def show_picks(
    viewer: Viewer, record: JobRecord, picks: Picks, voxel_size_A: Spacing, diameter_A: float = DEFAULT_DIAMETER_A
) -> Layer:
    """Add a job's picks to the viewer, or replace those that are shown already, and return the layer."""
    return add_picks(viewer, Origin.of_job(record), picks, voxel_size_A, diameter_A)


def add_picks(
    viewer: Viewer, origin: Origin, picks: Picks, voxel_size_A: Spacing, diameter_A: float = DEFAULT_DIAMETER_A
) -> Layer:
    """Add picks to the viewer, or replace those of the same origin, and return the layer."""
    for layer in list(viewer.layers):
        if origin.key in {layer.metadata.get(PICKS_KEY), layer.metadata.get(VECTORS_KEY)}:
            viewer.layers.remove(layer)
    if picks.normals is not None:
        arrows = np.stack([picks.positions, picks.normals * diameter_A / np.array(voxel_size_A)], axis=1)
        _add_vectors(viewer, origin, "normals", arrows, picks.labels, voxel_size_A)
    layer = _add(viewer, origin, picks, voxel_size_A, diameter_A)
    if picks.kind == "filaments":
        width = max(_LINE_WIDTH * diameter_A / voxel_size_A[2], 0.5)
        _add_lines(viewer, origin, layer, voxel_size_A, width)
    # Points that the user adds have the highest score, belong to a new filament, and have a normal along z, because
    # theirs is not known.
    along_z = dict(zip(NORMAL_COLUMNS, (1.0, 0.0, 0.0), strict=True)) if picks.normals is not None else {}
    number = int(picks.labels.max(initial=0)) + 1 if picks.kind == "filaments" else 1
    layer.feature_defaults = {SCORE: SCORE_MAX, LABEL: number, **along_z}
    return layer


def _add_vectors(
    viewer: Viewer,
    origin: Origin,
    what: str,
    vectors: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    size_A: Spacing,
    *,
    width: float = 0.5,
    style: str = "arrow",
) -> Layer:
    return viewer.add_vectors(
        vectors,
        name=printable(f"{origin.name} · {what}"),
        edge_color=path_colors(labels),
        edge_width=width,
        vector_style=style,
        metadata={VECTORS_KEY: origin.key, METADATA_KEY: None},
        **Placement.of_volume(size_A).layer_arguments(),
    )


def _add_lines(viewer: Viewer, origin: Origin, points: Layer, size_A: Spacing, width: float) -> None:
    """Draw lines through the points of filaments; they follow points that are moved, hidden, added or deleted."""
    segments, numbers = path_segments(_all(points), _shown(points))
    lines = _add_vectors(viewer, origin, "paths", segments, numbers, size_A, width=width, style="line")
    viewer.layers.move(viewer.layers.index(lines), viewer.layers.index(points))
    viewer.layers.selection.active = points

    def update(_event: object = None) -> None:
        segments, numbers = path_segments(_all(points), _shown(points))
        lines.data = segments
        if len(numbers):
            lines.edge_color = path_colors(numbers)

    points.events.data.connect(update)
    points.events.features.connect(update)


def _add(viewer: Viewer, origin: Origin, picks: Picks, voxel_size_A: Spacing, diameter_A: float) -> Layer:
    layer = viewer.add_points(
        picks.positions,
        name=printable(f"{origin.name} · picks"),
        features={SCORE: picks.scores, LABEL: picks.labels, **_normal_features(picks)},
        size=diameter_A / voxel_size_A[2],
        face_color="transparent",
        border_color=[color_of(int(label)) for label in picks.labels] or "yellow",
        border_width=0.15,
        metadata={
            PICKS_KEY: origin.key,
            METADATA_KEY: None,
            "tomogram": origin.tomogram,
            "shape": origin.shape,
            "path": origin.path,
            "kind": picks.kind,
        },
        **Placement.of_volume(voxel_size_A).layer_arguments(),
    )
    draw_as_spheres(layer)
    return layer


def _normal_features(picks: Picks) -> dict[str, Any]:
    return {} if picks.normals is None else dict(zip(NORMAL_COLUMNS, picks.normals.T, strict=True))


def diameter_A(record: JobRecord, engine: EngineInfo | None) -> float:
    """Return the diameter of the job's parameters or the engine's default, or else one that is easy to see.

    The diameter of points on membranes is half their spacing.
    """
    spacing = record.params.get(SPACING)
    if isinstance(spacing, int | float):
        return float(spacing) / 2
    schema = engine.parameters.get("properties", {}) if engine is not None else {}
    diameter = record.params.get(DIAMETER, schema.get(DIAMETER, {}).get("default"))
    return float(diameter) if isinstance(diameter, int | float) else DEFAULT_DIAMETER_A


def picks_of_job(viewer: Viewer, job_id: str) -> Layer:
    """Return the layer of a job's picks, None if there is none."""
    return next((layer for layer in viewer.layers if layer.metadata.get(PICKS_KEY) == job_id), None)


def is_picks(layer: Layer) -> bool:
    """Whether a layer is a Points layer with three axes."""
    return layer is not None and layer._type_string == "points" and layer.ndim == 3  # noqa: SLF001 (napari's own word for it)


def picks_in(layer: Layer) -> Picks:
    """Return the points of a layer that are not hidden."""
    return _all(layer).split_filaments(np.flatnonzero(_shown(layer)))


def _shown(layer: Layer) -> npt.NDArray[np.bool_]:
    return np.asarray(layer.shown, bool)


def _all(layer: Layer) -> Picks:
    count = len(layer.data)
    features = layer.features
    scores = features[SCORE].to_numpy(float) if SCORE in features else np.full(count, SCORE_MAX, np.float64)
    labels = features[LABEL].to_numpy(float).astype(np.int64) if LABEL in features else np.ones(count, np.int64)
    kind = layer.metadata.get("kind", "particles")
    oriented = all(name in features for name in NORMAL_COLUMNS)
    normals = features[list(NORMAL_COLUMNS)].to_numpy(float) if oriented else None
    return Picks(np.asarray(layer.data, np.float64), scores, labels, kind, normals)


def hide_below(layer: Layer, score: float) -> int:
    """Show the points of at least a score, hide the others, and return how many are shown."""
    kept = np.array([state != Review.REJECTED for state in review_of(layer)], np.bool_)
    if SCORE in layer.features:
        # A pick without a score is hidden at none.
        kept &= ~(layer.features[SCORE].to_numpy(float) < score)
    _show(layer, kept)
    return int(_shown(layer).sum())


def review_of(layer: Layer) -> list[str]:
    """Return what a person thinks of each point; empty for those that were not reviewed."""
    if REVIEW not in layer.features:
        return [Review.OPEN.value] * len(layer.data)
    return [value if value in set(Review) else Review.OPEN.value for value in layer.features[REVIEW]]


def set_review(layer: Layer, index: int, review: Review) -> None:
    """Accept or reject a point, or leave it open; rejected ones are hidden, and not exported."""
    states = review_of(layer)
    before, states[index] = states[index], review.value
    with layer.events.features.blocker():
        assign_features(layer, {REVIEW: states}, {REVIEW: Review.OPEN.value})
    shown = _shown(layer).copy()
    if review is Review.REJECTED:
        shown[index] = False
    elif before == Review.REJECTED:
        shown[index] = True
    _show(layer, shown)


def show_above(layer: Layer, high: float, low: float) -> None:
    """Show the points that are kept at a threshold, and hide the others."""
    shown = np.zeros(len(layer.data), np.bool_)
    shown[_all(layer).indices_above(high, low)] = True
    shown &= np.array([state != Review.REJECTED for state in review_of(layer)], np.bool_)
    _show(layer, shown)


def _show(layer: Layer, shown: npt.NDArray[np.bool_]) -> None:
    layer.shown = shown
    # napari emits no event when points are hidden.
    layer.events.features()


def add_hidden(layer: Layer, more: Picks) -> None:
    """Add hidden points to those of a job: a lower threshold will show them."""
    shown = np.concatenate([_shown(layer), np.zeros(len(more), np.bool_)])
    added = {SCORE: more.scores, LABEL: more.labels, **_normal_features(more)}
    features = {name: np.concatenate([layer.features[name], values]) for name, values in added.items()}
    colors = np.concatenate([layer.border_color, transform_color([color_of(int(label)) for label in more.labels])])
    with layer.events.blocker_all():
        layer.data = np.concatenate([layer.data, more.positions])
        assign_features(layer, features)
        layer.border_color = colors
        layer.shown = shown
    layer.refresh()
    layer.events.features()


def voxel_size_A(layer: Layer) -> Spacing:
    """Return the voxel size (z, y, x) with which the points are shown."""
    z, y, x = (float(size) / NM_PER_A for size in layer.scale)
    return z, y, x


def shape_of(layer: Layer) -> Shape | None:
    """Return the shape (z, y, x) of the points' tomogram, None if it is unknown."""
    shape: Shape | None = layer.metadata.get("shape")
    return shape
