"""Export of a mask to other formats, chosen by the file extension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.mesh import mesh_parts, write_obj, write_stl
from cryomamba.masks.slabs import LabelSource, Progress, write_labels
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
EXTENSIONS: Final = (*_VOXELS, ".mrc", *_MESHES)


def extension_of(path: Path) -> str:
    """Return the known extension of a file name.

    Raises
    ------
    InvalidRequestError
        The extension is unknown.
    """
    name = path.name.lower()
    for extension in EXTENSIONS:
        if name.endswith(extension):
            return extension
    raise InvalidRequestError(
        f"Unknown output format: '{path.name}'.", hint=f"Use one of the extensions {' '.join(EXTENSIONS)}."
    )


def export(volume: Volume, path: Path, *, label: int | None = None, progress: Progress | None = None) -> None:
    """Write a mask (or a tomogram, but not as a mesh) in the format of the file extension.

    Parameters
    ----------
    volume : Volume
        Open.
    path : Path
        A file, or a folder for ``.ome.zarr``; replaced if it exists, once the new one is complete.
    label : int, optional
        Export only this label, as 1. Default: all labels, unchanged; in a mesh, merged.
    progress : callable, optional
        Called with the fraction done; an exception from it discards the file.

    Raises
    ------
    InvalidRequestError
        The extension is unknown, a library is missing, or a mesh would be empty.
    VolumeError
        A label or a mesh is requested, but the file contains densities.
    """
    extension = extension_of(path)
    if extension in _MESHES:
        source = LabelSource.of_volume(volume, slab_voxels=_MESH_SLAB_VOXELS)
        parts = mesh_parts(source, label, placement_A=volume.header.placement_A, progress=progress)
        _MESHES[extension](parts, path)
    elif extension == ".mrc":
        source = LabelSource.of_volume(volume)
        if label is not None:
            source = source.map(lambda labels: (labels == label).view(np.uint8))
        highest = 1 if label is not None else max_label(volume)
        write_labels(source, path, volume, labels=highest, engine="export", progress=progress)
    else:
        target: Any = volume if label is None else _OneLabel(volume, label)
        is_mask = np.dtype(volume.header.dtype).kind in "iu"
        _VOXELS[extension](target, path, labels=is_mask, progress=progress)


def max_label(mask: Volume) -> int:
    """Return the largest label that the voxel type of a mask file can hold."""
    return 127 if np.dtype(mask.header.dtype).itemsize == 1 else 0xFFFF


class _OneLabel:
    def __init__(self, mask: Volume, label: int) -> None:
        LabelSource.of_volume(mask)
        self._mask = mask
        self._label = label
        self.shape, self.voxel_size_A, self.header, self.meta = mask.shape, mask.voxel_size_A, mask.header, mask.meta

    def read_native(self, z: slice, y: slice, x: slice) -> Any:  # noqa: ANN401 (any integer type)
        voxels = self._mask.read_native(z, y, x)
        return (voxels == self._label).astype(voxels.dtype)
