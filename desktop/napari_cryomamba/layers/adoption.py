"""Image layers that other programs added, made tomograms: they get a voxel size, and can be segmented here."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cryomamba.geometry import Spacing
from cryomamba.volumes.images import array_volume
from cryomamba.volumes.images.units import LENGTHS_A
from napari_cryomamba.layers.conversion import conversion_path
from napari_cryomamba.layers.tomogram import METADATA_KEY
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.world_coordinates import AXES, UNITS, Placement
from napari_cryomamba.napari_types import Layer

_LEAST_SIDE: Final = 2


def adopt(layer: Layer) -> Source | None:
    """Make a tomogram of an image layer that another program added, and return its source; None if it is none.

    A scale in pixels is taken as ångström, as most scripts mean it. The layer's scale becomes nanometres, like that of
    all others. Layers that are colour images, series, shifted, rotated or sheared are left alone.
    """
    if METADATA_KEY in layer.metadata or layer._type_string != "image":  # noqa: SLF001 (napari's own word for it)
        return None
    voxels = layer.data[0] if layer.multiscale else layer.data
    if layer.rgb or layer.ndim != 3 or np.dtype(voxels.dtype).kind not in "biuf" or min(voxels.shape) < _LEAST_SIDE:
        return None
    shifted = np.any(layer.translate) or np.any(layer.shear) or not np.allclose(layer.rotate, np.eye(3))
    if shifted or not np.allclose(layer.affine.affine_matrix, np.eye(4)):
        return None
    image = array_volume(_Blocks(voxels), layer.name, _voxel_size(layer))
    source = Source.of_image(image, conversion_path(image))
    layer.metadata = {**layer.metadata, METADATA_KEY: source}
    layer.units, layer.axis_labels = UNITS, AXES
    layer.scale = Placement.of_volume(source.meta.voxel_size_A).scale
    return source


class _Blocks:
    """Voxels of any kind of array that napari shows, as numpy's; they stay those of the moment that they are read."""

    def __init__(self, voxels: Any) -> None:  # noqa: ANN401 (numpy, dask, zarr and others)
        self._voxels = voxels
        z, y, x = (int(side) for side in voxels.shape)
        self.shape, self.dtype = (z, y, x), np.dtype(voxels.dtype)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Any:  # noqa: ANN401
        return np.asarray(self._voxels[index])


def _voxel_size(layer: Layer) -> Spacing | None:
    """Return Å along z, y, x; None if the layer has neither a unit nor a scale."""
    lengths = [LENGTHS_A.get(str(unit)) for unit in layer.units]
    if None in lengths and np.allclose(layer.scale, 1.0):
        return None
    z, y, x = (float(scale) * (length or 1.0) for scale, length in zip(layer.scale, lengths, strict=True))
    return z, y, x
