"""A job's mask as a Labels layer: first the previews, then the finished mask, on the same layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord
from cryomamba.printable import printable
from napari_cryomamba.layers.selection import selection_kept
from napari_cryomamba.layers.tomogram import METADATA_KEY, Array, source_of
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.napari_types import Layer, Viewer

JOB_KEY = "cryomamba_job"
ABOUT_KEY = "CryoMamba"
"""Where a layer's metadata say how its mask was made."""


class Overlay:
    """The Labels layer of one job. For the GUI thread.

    Parameters
    ----------
    tomogram : napari.layers.Image, optional
        The layer of its tomogram; a demo job has none.
    palette : Palette, optional
        Initial names and colours.
    parameters : str
        What differs from the engine's default values, for the layer's name.
    opacity, contour : float, int
        Initial look of the layer.

    Attributes
    ----------
    feature : str
        The engine's name, for file names.
    final : bool
        Whether it shows the finished mask at full resolution.
    scale : tuple of int
        Tomogram voxels per voxel of the layer (z, y, x).
    """

    def __init__(
        self,
        viewer: Viewer,
        record: JobRecord,
        *,
        tomogram: Layer = None,
        palette: Palette | None = None,
        parameters: str = "",
        opacity: float = 0.6,
        contour: int = 0,
    ) -> None:
        self.viewer = viewer
        self.job_id = record.job_id
        self.tomogram = tomogram
        self.palette = palette or Palette()
        self.feature = record.engine
        self.final = False
        self.scale: tuple[int, int, int] = (1, 1, 1)
        self.layer: Layer = None
        self._finished: Array | None = None
        self._voxel_size_A = record.volume.voxel_size_A
        self._name = layer_name(record, parameters)
        self._style = {"opacity": opacity, "contour": contour}
        self._colored: set[int] = set()

    @property
    def in_viewer(self) -> bool:
        """Whether the layer is (still) in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def show_preview(self, frame: PreviewFrame) -> None:
        """Draw a preview; one that arrives after the finished mask is not drawn."""
        if self.final:
            return
        self.palette.add_names(frame.labels)
        self.scale = frame.scale
        self._set_data(frame.mask, Placement.on_grid(self._shown_voxel_size_A() or frame.voxel_size_A, frame.scale))

    def show_mask(self, mask: Array, voxel_size_A: tuple[float, float, float]) -> None:
        """Replace the preview with the finished mask (z, y, x); colours, opacity and names stay."""
        self.final = True
        self.scale = (1, 1, 1)
        self._voxel_size_A = voxel_size_A
        self._finished = None
        self._set_data(mask, Placement.of_volume(self._shown_voxel_size_A() or voxel_size_A))

    def describe(self, rows: list[tuple[str, str]]) -> None:
        """Set what the layer's metadata and its tooltip say of the job: label and text each."""
        if not self.in_viewer:
            return
        layer, text = self.layer, "\n".join(f"{label}: {value}" for label, value in rows)
        layer.metadata[ABOUT_KEY] = dict(rows)
        # napari's tooltip of a layer is this text.
        layer.get_source_str = lambda: f"{layer.name}\n{text}"

    @property
    def temporary(self) -> bool:
        """Whether something else is shown in place of the finished mask."""
        return self._finished is not None

    def show_temporarily(self, mask: Any, factor: int) -> None:  # noqa: ANN401 (whatever napari slices)
        """Show something else in place of the finished mask, which cannot be edited meanwhile.

        Parameters
        ----------
        mask : array-like of uint8, ZYX
        factor : int
            Tomogram voxels per voxel of it, along each axis.
        """
        if self._finished is None:
            self._finished = self.layer.data
        self.layer.data = mask
        # After the data: setting it makes the layer editable again.
        self.layer.editable = False
        self.scale = (factor, factor, factor)
        self._set_placement(Placement.on_grid(self._shown_voxel_size_A() or self._voxel_size_A, self.scale))

    def restore(self) -> None:
        """Show the finished mask again."""
        finished, self._finished = self._finished, None
        if finished is not None and self.in_viewer:
            self.layer.data = finished
            self.layer.editable = True
            self.scale = (1, 1, 1)
            self._set_placement(Placement.of_volume(self._shown_voxel_size_A() or self._voxel_size_A))

    def set_voxel_size(self, voxel_size_A: tuple[float, float, float]) -> None:
        """Rescale the layer after the tomogram's voxel size was corrected."""
        z, y, x = self.scale
        shown = Placement.on_grid(voxel_size_A, (z, y, x))
        self.layer.scale, self.layer.translate = shown.scale, shown.translate

    def recolor(self) -> None:
        """Apply the palette again."""
        from napari.utils.colormaps import DirectLabelColormap

        self.layer.colormap = DirectLabelColormap(color_dict=self.palette.color_dict(self._colored))

    def add_labels(self, labels: Iterable[int]) -> None:
        """Give labels that an edit has made names and colours of their own."""
        fresh = set(labels)
        self.palette.add_names({label: f"label {label}" for label in fresh})
        self._colored |= fresh
        self.recolor()

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.in_viewer:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _shown_voxel_size_A(self) -> tuple[float, float, float] | None:
        """Return the voxel size with which the tomogram is shown; the user may have corrected it meanwhile."""
        source: Source | None = source_of(self.tomogram) if self.tomogram is not None else None
        return source.meta.voxel_size_A if source is not None else None

    def _set_data(self, mask: Array, placement: Placement) -> None:
        self._add_labels(mask)
        if not self.in_viewer:
            self._add(mask, placement)
            return
        layer = self.layer
        same = layer.data.shape == mask.shape and layer.data.dtype == mask.dtype and not self.final
        if same and layer.data.flags.writeable:
            # In place and without the thumbnail: half the cost of setting a new array.
            np.copyto(layer.data, mask)
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        else:
            layer.data = mask
            self._lock_preview()
        self._set_placement(placement)

    def _lock_preview(self) -> None:
        """Let nobody paint on a preview: the next one would replace the strokes."""
        self.layer.editable = self.final

    def _set_placement(self, placement: Placement) -> None:
        layer = self.layer
        if not np.allclose(layer.scale, placement.scale) or not np.allclose(layer.translate, placement.translate):
            layer.scale, layer.translate = placement.scale, placement.translate

    def _add_labels(self, mask: Array) -> None:
        """Give new labels of a preview their own colours; a finished mask has no new ones."""
        found = set(self.palette.labels)
        # Counting takes as long as drawing, so it is only done if a label has no name.
        if not self.final and int(mask.max(initial=0)) not in {0, *found, *self._colored}:
            found |= set(np.flatnonzero(np.bincount(mask.reshape(-1))).tolist()) - {0}
        fresh = found - self._colored
        self._colored |= fresh
        if fresh and self.in_viewer:
            self.recolor()

    def _add(self, mask: Array, placement: Placement) -> None:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        from napari_cryomamba.layers.tool_overlays import make_tool_overlays_later

        layer = Labels(
            mask,
            name=self._name,
            colormap=DirectLabelColormap(color_dict=self.palette.color_dict(self._colored)),
            metadata={JOB_KEY: self.job_id, METADATA_KEY: None},
            opacity=self._style["opacity"],
            **placement.layer_arguments(),
        )
        # Before the layer is in the viewer, which would draw it again after each change.
        layer.contour = int(self._style["contour"])
        layer.editable = self.final
        make_tool_overlays_later(layer)
        self.layer = layer
        with selection_kept(self.viewer):
            self.viewer.layers.insert(self._place(), layer)

    def _place(self) -> int:
        """Return where the layer goes: on top of the masks that lie on its tomogram, or of all layers."""
        layers = self.viewer.layers
        if self.tomogram is None or self.tomogram not in layers:
            return len(layers)
        above: int = layers.index(self.tomogram) + 1
        while above < len(layers) and layers[above]._type_string == "labels":  # noqa: SLF001 (napari's own word for it)
            above += 1
        return above


def layer_name(record: JobRecord, parameters: str = "") -> str:
    """Return the name of a job's layer: tomogram, engine and what differs from its default values.

    Another threshold has a job of its own, whose name says so.
    """
    if record.volume.job_id is not None and record.name:
        return printable(record.name)
    what = f"{record.engine} ({parameters})" if parameters else record.engine
    return printable(f"{record.volume.name or record.name or 'demo'} · {what}")


def warm_up() -> None:
    """Let napari import and compile what draws labels, so that the first preview need not wait; for any thread."""
    # Every layer has a table of features, for which napari imports pandas: more than half of the wait.
    import pandas as pd
    from napari.utils.colormaps import DirectLabelColormap, label_colormap
    from vispy.visuals.line.dash_atlas import DashAtlas

    pd.DataFrame()
    # The tools of a Labels layer have lines, whose patterns vispy computes once.
    DashAtlas()
    # Each Labels layer begins with random colours.
    label_colormap()
    # No layer is made: that would not be safe outside the GUI thread.
    DirectLabelColormap(color_dict=Palette().color_dict((1,))).map(np.ones((1, 2), np.uint8))
