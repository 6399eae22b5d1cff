"""The mask that is worked on: a Labels layer with what is needed to measure, edit, save and export it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.records import Shape, Spacing
from cryomamba.volumes import HeaderFacts

from .measure import holes, other_pieces, small_pieces
from .models.palette import Palette
from .models.placement import NM_PER_A
from .overlay import Overlay
from .tomogram import Array, source_of

Indices = tuple[npt.NDArray[np.intp], ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """A finished or growing mask in the viewer.

    Attributes
    ----------
    layer : napari.layers.Labels
    like : HeaderFacts or None
        The tomogram's grid, for saving.
    tomogram : str
        The tomogram's file name.
    folder : Path or None
        Where the tomogram lies; the place to offer for saving.
    feature : str
        What was segmented: the engine's name, or the part of a mask file's name that says so.
    palette : Palette
    growing : bool
        Whether it is a preview still.
    """

    layer: Any
    like: HeaderFacts | None
    tomogram: str
    folder: Path | None
    feature: str
    palette: Palette
    growing: bool = False

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

    def require_finished(self) -> None:
        """Refuse what makes no sense on a preview.

        Raises
        ------
        InvalidRequestError
            The mask is a preview still.
        """
        if self.growing:
            raise InvalidRequestError(
                "The mask is still a coarse preview.", hint="Wait until the job is complete, then try again."
            )


def mask_of(layer: Any, overlay: Overlay | None) -> Mask | None:  # noqa: ANN401 (a napari layer)
    """Return the mask that a layer shows; None if it is no Labels layer of three axes."""
    if layer is None or layer._type_string != "labels" or layer.ndim != 3:  # noqa: SLF001 (napari's own word for it)
        return None
    source = source_of(layer)
    if overlay is not None:
        below = source_of(overlay.tomogram) if overlay.tomogram is not None else None
        return Mask(
            layer=layer,
            like=below.facts if below else None,
            tomogram=below.meta.name if below else "demo.mrc",
            folder=below.path.parent if below else None,
            feature=overlay.feature,
            palette=overlay.palette,
            growing=not overlay.final,
        )
    if source is not None:
        stem, _, feature = source.path.stem.partition("__")
        return Mask(layer, source.facts, f"{stem}.mrc", source.path.parent, feature or "mask", Palette())
    return Mask(layer, None, f"{layer.name}.mrc", None, "mask", Palette())


def apply_edit(layer: Any, indices: Indices, label: int) -> int:  # noqa: ANN401
    """Give voxels a label through napari's own history, so that Ctrl-Z takes it back; return how many."""
    count = len(indices[0])
    if count:
        layer.data_setitem(indices, label)
    return count


def find_small_pieces(mask: Array, labels: list[int], min_voxels: int) -> Indices:
    """Return the voxels of all pieces, of any of the labels, that are smaller."""
    return _joined([small_pieces(mask, label, min_voxels=min_voxels) for label in labels])


def find_holes(mask: Array, label: int) -> Indices:
    """Return the background that a label encloses."""
    return holes(mask, label)


def find_other_pieces(mask: Array, at: Shape) -> Indices:
    """Return all pieces of a label but the one at a voxel."""
    return other_pieces(mask, at)


def _joined(found: list[Indices]) -> Indices:
    return tuple(
        np.concatenate([indices[axis] for indices in found]) if found else np.empty(0, np.intp) for axis in range(3)
    )
