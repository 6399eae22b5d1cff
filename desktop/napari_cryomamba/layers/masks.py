"""The mask that is worked on: a Labels layer with what is needed to measure, edit, save and export it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.errors import InvalidRequestError
from cryomamba.file_names import split_result_name
from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes import HeaderFields
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomogram import Array, source_of
from napari_cryomamba.models.palette import PALETTE_KEY, Palette
from napari_cryomamba.models.world_coordinates import NM_PER_A
from napari_cryomamba.napari_types import Layer


@dataclass(frozen=True, slots=True)
class NotReady:
    """Why a mask cannot be measured, edited or saved yet, and what to do about it."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Mask:
    """A Labels layer of the viewer that shows a mask.

    Attributes
    ----------
    header : HeaderFields or None
        The tomogram's header, for saving on the same grid.
    tomogram : str
        The tomogram's file name.
    folder : Path or None
        The tomogram's folder, to be offered for saving.
    feature : str
        What was segmented: the engine's name, or the part of a mask's file name that says so.
    not_ready : NotReady or None
        None if the finished mask is shown.
    """

    layer: Layer
    header: HeaderFields | None
    tomogram: str
    folder: Path | None
    feature: str
    palette: Palette
    not_ready: NotReady | None = None

    @property
    def voxel_size_A(self) -> Spacing:
        """Size of a voxel of the layer (z, y, x)."""
        z, y, x = (float(size) / NM_PER_A for size in self.layer.scale)
        return z, y, x

    @property
    def array(self) -> Array:
        """The labels, ZYX."""
        array: Array = self.layer.data
        return array

    @property
    def finished(self) -> bool:
        """Whether the finished mask is shown."""
        return self.not_ready is None

    def require_finished(self) -> None:
        """Check that the finished mask is shown.

        Raises
        ------
        InvalidRequestError
            A preview or another threshold is shown.
        """
        if self.not_ready is not None:
            raise InvalidRequestError(self.not_ready.reason, hint=self.not_ready.hint)


# Labels that show something about a mask, and are none themselves.
AUXILIARY_KEY = "cryomamba_auxiliary"
PREVIEW = NotReady("The mask is still a coarse preview.", "Wait until the job is complete, then try again.")
TEMPORARY = NotReady("A new threshold is being previewed.", "Apply or discard it, then try again.")


def mask_of(layer: Layer, overlay: Overlay | None) -> Mask | None:
    """Return the mask that a layer shows; None if it is no Labels layer with three axes."""
    if layer is None or layer._type_string != "labels" or layer.ndim != 3:  # noqa: SLF001 (napari's own word for it)
        return None
    if AUXILIARY_KEY in layer.metadata:
        return None
    source = source_of(layer)
    if overlay is not None:
        tomogram = source_of(overlay.tomogram) if overlay.tomogram is not None else None
        return Mask(
            layer=layer,
            header=tomogram.header if tomogram else None,
            tomogram=tomogram.meta.name if tomogram else "demo.mrc",
            folder=tomogram.folder if tomogram else None,
            feature=overlay.feature,
            palette=overlay.palette,
            not_ready=PREVIEW if not overlay.final else TEMPORARY if overlay.temporary else None,
        )
    if source is not None:
        tomogram_name, feature = split_result_name(source.path)
        palette = palette_of(layer)
        return Mask(layer, source.header, f"{tomogram_name}.mrc", source.folder, feature or "mask", palette)
    return Mask(layer, None, f"{layer.name}.mrc", None, "mask", palette_of(layer))


def palette_of(layer: Layer) -> Palette:
    """Return the names and colours of a layer that no job made; they stay with the layer."""
    palette: Palette = layer.metadata.setdefault(PALETTE_KEY, Palette())
    return palette


def voxel_under(layer: Layer, position: Any, direction: Any, displayed: Sequence[int]) -> Shape | None:  # noqa: ANN401
    """Return the voxel (z, y, x) of a mask under the mouse; in 3D the first labelled one along the line of sight.

    Parameters
    ----------
    layer : napari.layers.Labels
    position, direction : array-like
        World position of the mouse, and direction of view.
    displayed : sequence of int
        The axes that are displayed.
    """
    if len(displayed) == 2:
        return _rounded(layer.world_to_data(np.asarray(position, float)[-3:]))
    begin, end = layer.get_ray_intersections(position, direction, list(displayed), world=True)
    if begin is None:
        return None
    step = np.asarray(end, float) - begin
    count = max(int(2 * np.abs(step).max()), 1)
    along = np.round(begin + np.linspace(0, 1, count + 1)[:, None] * step).astype(int)
    along = along[((along >= 0) & (along < layer.data.shape)).all(axis=1)]
    hit = np.flatnonzero(np.asarray(layer.data[tuple(along.T)]))
    return _rounded(along[hit[0]]) if hit.size else None


def _rounded(position: Any) -> Shape:  # noqa: ANN401
    z, y, x = (round(float(value)) for value in position)
    return z, y, x


def color_layer(layer: Layer, palette: Palette) -> None:
    """Give the labels of a layer that no job made the colours of its palette."""
    from napari.utils.colormaps import DirectLabelColormap

    layer.colormap = DirectLabelColormap(color_dict=palette.color_dict(palette.labels))
