"""A mask in another program's format, chosen by the name of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.mesh import mesh_parts, write_obj, write_stl
from cryomamba.masks.slabs import LabelSource, Step, write_labels
from cryomamba.volumes import Volume
from cryomamba.volumes.exports import write_nifti, write_nrrd, write_ome_zarr, write_tiff

_VOXELS: Final[Mapping[str, Callable[..., None]]] = {
    ".nii.gz": write_nifti,
    ".nii": write_nifti,
    ".nrrd": write_nrrd,
    ".ome.zarr": write_ome_zarr,
    ".zarr": write_ome_zarr,
    ".ome.tiff": write_tiff,
    ".ome.tif": write_tiff,
    ".tiff": write_tiff,
    ".tif": write_tiff,
}
_MESHES: Final[Mapping[str, Callable[..., None]]] = {".stl": write_stl, ".obj": write_obj}
_MESH_SLAB_VOXELS: Final = 4 * 1024 * 1024
ENDINGS: Final = (*_VOXELS, ".mrc", *_MESHES)


def ending_of(path: Path) -> str:
    """Return which of the known endings a name has.

    Raises
    ------
    InvalidRequestError
        None of them.
    """
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    raise InvalidRequestError(
        f"'{path.name}' has no ending that says what to write.", hint=f"Endings: {' '.join(ENDINGS)}."
    )


def export(volume: Volume, path: Path, *, label: int | None = None, step: Step | None = None) -> None:
    """Write a mask (or a tomogram, but not as a mesh) in the format that the name's ending says.

    Parameters
    ----------
    volume : Volume
        Open.
    path : Path
        A file, or a folder for ``.ome.zarr``; what is there is replaced when the new one is complete.
    label : int, optional
        Only this label; it is written as 1. All labels, as they are, for None; in a mesh, all together.
    step : callable, optional
        Called with the fraction done; an exception from it leaves nothing behind.

    Raises
    ------
    InvalidRequestError
        The ending is unknown, a library is missing, or a mesh would be empty.
    VolumeError
        A label or a mesh is asked for, but the file holds densities.
    """
    ending = ending_of(path)
    if ending in _MESHES:
        source = LabelSource.of_volume(volume, slab_voxels=_MESH_SLAB_VOXELS)
        parts = mesh_parts(source, label, placement_A=volume.header.placement_A, step=step)
        _MESHES[ending](parts, path)
    elif ending == ".mrc":
        source = LabelSource.of_volume(volume)
        if label is not None:
            source = source.map(lambda labels: (labels == label).view(np.uint8))
        write_labels(
            source, path, volume, labels=1 if label is not None else largest(volume), engine="export", step=step
        )
    else:
        target: Any = volume if label is None else _OneLabel(volume, label)
        is_mask = np.dtype(volume.header.dtype).kind in "iu"
        _VOXELS[ending](target, path, labels=is_mask, progress=step)


def largest(mask: Volume) -> int:
    """Return the largest label that a mask file of that type can hold."""
    return 127 if np.dtype(mask.header.dtype).itemsize == 1 else 0xFFFF


class _OneLabel:
    """A mask seen as if it had one label only; what exports need of a volume."""

    def __init__(self, mask: Volume, label: int) -> None:
        LabelSource.of_volume(mask)
        self._mask = mask
        self._label = label
        self.shape, self.voxel_size_A, self.header, self.meta = mask.shape, mask.voxel_size_A, mask.header, mask.meta

    def read_native(self, z: slice, y: slice, x: slice) -> Any:  # noqa: ANN401 (any integer type)
        voxels = self._mask.read_native(z, y, x)
        return (voxels == self._label).astype(voxels.dtype)
