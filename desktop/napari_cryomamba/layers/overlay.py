"""A job's mask as a Labels layer: the growing preview first, the finished mask after it, on the same layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.layers.tomogram import METADATA_KEY, Array, Source, source_of
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.models.placement import Placement

JOB_KEY = "cryomamba_job"


class Overlay:
    """The Labels layer of one job. For the GUI thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    record : JobRecord
    tomogram : napari.layers.Image, optional
        The layer that the mask lies on; a demo job has none.
    palette : Palette, optional
        Names and colours to begin with.
    opacity, contour : float, int
        Of a new layer.

    Attributes
    ----------
    feature : str
        What is segmented, for file names: the engine.
    final : bool
        Whether it shows the finished mask at full resolution.
    scale : tuple of int
        Tomogram voxels per voxel of the layer (z, y, x).
    """

    def __init__(
        self,
        viewer: Any,  # noqa: ANN401 (napari has no types)
        record: JobRecord,
        *,
        tomogram: Any = None,  # noqa: ANN401
        palette: Palette | None = None,
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
        self.layer: Any = None
        self._kept: Array | None = None
        self._voxel_size_A = record.volume.voxel_size_A
        self._name = layer_name(record)
        self._style = {"opacity": opacity, "contour": contour}
        self._colored: set[int] = set()

    @property
    def in_viewer(self) -> bool:
        """Whether the layer is (still) in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def show(self, frame: PreviewFrame) -> None:
        """Draw a preview; a frame that comes after the finished mask is not drawn."""
        if self.final:
            return
        self.palette.learn(frame.labels)
        self.scale = frame.scale
        self._put(frame.mask, Placement.on_grid(self._shown_voxel_size_A() or frame.voxel_size_A, frame.scale))

    def finish(self, mask: Array, voxel_size_A: tuple[float, float, float]) -> None:
        """Put the finished mask (z, y, x) in the preview's place; colours, opacity and names stay."""
        self.final = True
        self.scale = (1, 1, 1)
        self._voxel_size_A = voxel_size_A
        self._kept = None
        self._put(mask, Placement.of_volume(self._shown_voxel_size_A() or voxel_size_A))

    @property
    def trying(self) -> bool:
        """Whether something else than the finished mask is shown for a while."""
        return self._kept is not None

    def try_on(self, mask: Any, factor: int) -> None:  # noqa: ANN401 (whatever napari slices)
        """Show something else for a while, in place of the finished mask, which cannot be edited meanwhile.

        Parameters
        ----------
        mask : array-like of uint8, ZYX
        factor : int
            Tomogram voxels per voxel of it, along each axis.
        """
        if self._kept is None:
            self._kept = self.layer.data
        self.layer.data = mask
        # After the data, which napari takes for a reason to allow edits.
        self.layer.editable = False
        self.scale = (factor, factor, factor)
        self._put_at(Placement.on_grid(self._shown_voxel_size_A() or self._voxel_size_A, self.scale))

    def take_off(self) -> None:
        """Show the finished mask again."""
        kept, self._kept = self._kept, None
        if kept is not None and self.in_viewer:
            self.layer.data = kept
            self.layer.editable = True
            self.scale = (1, 1, 1)
            self._put_at(Placement.of_volume(self._shown_voxel_size_A() or self._voxel_size_A))

    def place(self, voxel_size_A: tuple[float, float, float]) -> None:
        """Follow a tomogram whose voxel size was corrected."""
        z, y, x = self.scale
        shown = Placement.on_grid(voxel_size_A, (z, y, x))
        self.layer.scale, self.layer.translate = shown.scale, shown.translate

    def recolor(self) -> None:
        """Apply the palette again."""
        from napari.utils.colormaps import DirectLabelColormap

        self.layer.colormap = DirectLabelColormap(color_dict=self.palette.color_dict(self._colored))

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.in_viewer:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _shown_voxel_size_A(self) -> tuple[float, float, float] | None:
        """Return the voxel size with which the tomogram is shown: the person may have corrected it meanwhile."""
        source: Source | None = source_of(self.tomogram) if self.tomogram is not None else None
        return source.meta.voxel_size_A if source is not None else None

    def _put(self, mask: Array, placement: Placement) -> None:
        self._learn_labels(mask)
        if not self.in_viewer:
            self._add(mask, placement)
            return
        layer = self.layer
        same = layer.data.shape == mask.shape and layer.data.dtype == mask.dtype and not self.final
        if same and layer.data.flags.writeable:
            # In place and without the thumbnail: half the cost of handing napari a new array.
            np.copyto(layer.data, mask)
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        else:
            layer.data = mask
        self._put_at(placement)

    def _put_at(self, placement: Placement) -> None:
        layer = self.layer
        if not np.allclose(layer.scale, placement.scale) or not np.allclose(layer.translate, placement.translate):
            layer.scale, layer.translate = placement.scale, placement.translate

    def _learn_labels(self, mask: Array) -> None:
        """Know the labels of a preview, so that each gets a colour of its own; a finished mask has no new ones."""
        found = set(self.palette.labels)
        # Counting takes as long as drawing, so it is only done where a label has no name.
        if not self.final and int(mask.max(initial=0)) not in {0, *found, *self._colored}:
            found |= set(np.flatnonzero(np.bincount(mask.reshape(-1))).tolist()) - {0}
        fresh = found - self._colored
        self._colored |= fresh
        if fresh and self.in_viewer:
            self.recolor()

    def _add(self, mask: Array, placement: Placement) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        style = dict(self._style)
        contour = style.pop("contour")
        self.layer = self.viewer.add_labels(
            mask,
            name=self._name,
            colormap=DirectLabelColormap(color_dict=self.palette.color_dict(self._colored)),
            metadata={JOB_KEY: self.job_id, METADATA_KEY: None},
            **style,
            **placement.layer_arguments(),
        )
        self.layer.contour = int(contour)
        self._lift()

    def _lift(self) -> None:
        """Put the overlay right above its tomogram, not above unrelated ones."""
        if self.tomogram is None or self.tomogram not in self.viewer.layers:
            return
        at = self.viewer.layers.index(self.layer)
        above = self.viewer.layers.index(self.tomogram) + 1
        if at != above:
            self.viewer.layers.move(at, above)


def layer_name(record: JobRecord) -> str:
    """Return what the layer of a job is called: its tomogram and engine, or its own name for a moved threshold."""
    if record.volume.job_id is not None and record.name:
        return record.name
    return f"{record.volume.name or record.name or 'demo'} · {record.engine}"


def warm_up() -> None:
    """Have napari compile what it draws labels with, seconds that the first preview would wait for; for any thread."""
    from napari.utils.colormaps import DirectLabelColormap

    # No layer: making one is not safe beside the GUI thread, which makes others.
    DirectLabelColormap(color_dict=Palette().color_dict((1,))).map(np.ones((1, 2), np.uint8))
