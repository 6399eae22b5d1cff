"""Points drawn as the spheres that they stand for: in every section that cuts a sphere, the circle of the cut.

napari draws a point in the one section of its centre. Its `rescale_spherical` projection shrinks points with their
distance, but only within the margins of the viewer, which also set the thickness of a slab of the tomogram, and it
measures that distance in voxels whatever their shape. So the layer's slicing is replaced; data and sizes stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers.points._slice import _PointSliceRequest, _PointSliceResponse
from napari.layers.points.points import _PointsSlicingState

from napari_cryomamba.napari_types import Layer

Floats = npt.NDArray[np.float64]


def draw_as_spheres(layer: Layer) -> None:
    """Draw the points of a layer as spheres from now on; doing it twice changes nothing."""
    before = layer._slicing_state  # noqa: SLF001 (napari has no public way to slice points differently)
    if isinstance(before, _SphereSlicingState):
        return
    state = _SphereSlicingState(layer, layer.data, cache=True)
    state._slice_input, state._units = before._slice_input, before._units  # noqa: SLF001
    state.slice_done.connect(layer._refresh_highlight)  # noqa: SLF001
    layer._slicing_state = state  # noqa: SLF001
    layer.refresh(extent=False)


def cut_diameters(distances: Floats, diameters: Floats, thickness: float) -> Floats:
    """Return the diameters of the circles in which a plane cuts spheres; 0 for those that it does not cut.

    A sphere smaller than a section has its full diameter in the section of its centre, where the plane may miss it.

    Parameters
    ----------
    distances : ndarray of float, shape (n,)
        From the centres to the plane.
    diameters : ndarray of float, shape (n,)
    thickness : float
        Of a section, in the same unit.
    """
    squared = diameters**2 / 4 - distances**2
    cut = 2 * np.sqrt(np.maximum(squared, 0))
    small = (diameters < thickness) & (distances <= thickness / 2)
    return np.where(small, diameters, cut)


@dataclass(frozen=True)
class _SphereSliceRequest(_PointSliceRequest):  # type: ignore[misc]
    scale: Floats = field(default_factory=lambda: np.ones(3), repr=False)

    def __call__(self) -> _PointSliceResponse:
        hidden_axes = list(self.slice_input.not_displayed)
        size = np.asarray(self.size, float)
        if len(self.data) and hidden_axes:
            size = self._cut(hidden_axes, size)
        visible = np.flatnonzero(np.asarray(self.shown, bool) & (size > 0))
        return _PointSliceResponse(visible, size[visible], self.slice_input, self.id)

    def _cut(self, axes: list[int], size: Floats) -> Floats:
        point, _, _ = self.data_slice[axes].as_array()
        steps = (np.asarray(self.data)[:, axes] - point) * self.scale[axes]
        # As napari draws them, sizes are multiples of the last axis' scale.
        unit = self.scale[-1]
        cut = cut_diameters(np.linalg.norm(steps, axis=1), size * unit, float(self.scale[axes].min()))
        return np.asarray(cut / unit, np.float64)


class _SphereSlicingState(_PointsSlicingState):  # type: ignore[misc]
    def make_slice_request_internal(self, slice_input: Any, data_slice: Any) -> _SphereSliceRequest:  # noqa: ANN401
        layer = self.layer
        return _SphereSliceRequest(
            slice_input=slice_input,
            data=layer.data,
            data_slice=data_slice,
            projection_mode=layer.projection_mode,
            size=layer.size,
            shown=layer.shown,
            scale=np.abs(layer.scale),
        )
