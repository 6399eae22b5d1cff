"""The mask that is worked on: a Labels layer with what is needed to measure, edit, save and export it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.volumes import HeaderFields
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomogram import Array, source_of
from napari_cryomamba.models.components import Edit
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.models.placement import NM_PER_A


@dataclass(frozen=True, slots=True)
class Mask:
    """A finished or growing mask in the viewer.

    Attributes
    ----------
    layer : napari.layers.Labels
    like : HeaderFields or None
        The tomogram's grid, for saving.
    tomogram : str
        The tomogram's file name.
    folder : Path or None
        Where the tomogram lies; the place to offer for saving.
    feature : str
        What was segmented: the engine's name, or the part of a mask file's name that says so.
    palette : Palette
    unfinished : str
        Why it cannot be measured, edited or kept yet, in a sentence; empty if it can.
    hint : str
        What to do about that.
    """

    layer: Any
    like: HeaderFields | None
    tomogram: str
    folder: Path | None
    feature: str
    palette: Palette
    unfinished: str = ""
    hint: str = ""

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
    def growing(self) -> bool:
        """Whether it is not the finished mask that is shown."""
        return bool(self.unfinished)

    def require_finished(self) -> None:
        """Refuse what makes no sense on a preview.

        Raises
        ------
        InvalidRequestError
            It is not the finished mask that is shown.
        """
        if self.unfinished:
            raise InvalidRequestError(self.unfinished, hint=self.hint)


PREVIEW = ("The mask is still a coarse preview.", "Wait until the job is complete, then try again.")
TRYING = ("The threshold is being moved.", "Apply it, or go back, then try again.")


def mask_of(layer: Any, overlay: Overlay | None) -> Mask | None:  # noqa: ANN401 (a napari layer)
    """Return the mask that a layer shows; None if it is no Labels layer of three axes."""
    if layer is None or layer._type_string != "labels" or layer.ndim != 3:  # noqa: SLF001 (napari's own word for it)
        return None
    source = source_of(layer)
    if overlay is not None:
        below = source_of(overlay.tomogram) if overlay.tomogram is not None else None
        unfinished, hint = PREVIEW if not overlay.final else TRYING if overlay.trying else ("", "")
        return Mask(
            layer=layer,
            like=below.header if below else None,
            tomogram=below.meta.name if below else "demo.mrc",
            folder=below.path.parent if below else None,
            feature=overlay.feature,
            palette=overlay.palette,
            unfinished=unfinished,
            hint=hint,
        )
    if source is not None:
        stem, _, feature = source.path.stem.partition("__")
        return Mask(layer, source.header, f"{stem}.mrc", source.path.parent, feature or "mask", Palette())
    return Mask(layer, None, f"{layer.name}.mrc", None, "mask", Palette())


def apply_edit(layer: Any, edit: Edit) -> None:  # noqa: ANN401
    """Change the voxels of an edit through napari's own history, so that Ctrl-Z takes it back."""
    if len(edit):
        layer.data_setitem(edit.indices, edit.labels)
