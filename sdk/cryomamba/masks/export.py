"""Export of a mask to other formats, chosen by the file extension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.contours import write_contours
from cryomamba.masks.mesh import mesh_parts
from cryomamba.masks.mesh_files import ANGSTROM, MESH_UNITS, write_glb, write_obj, write_ply, write_stl
from cryomamba.masks.slabs import LabelSource, Progress, write_labels
from cryomamba.volumes import LabelVolume, Volume
from cryomamba.volumes.exports import write_amira, write_nifti, write_nrrd, write_ome_zarr, write_tiff
from cryomamba.volumes.label_names import names_in

_VOXELS: Final[Mapping[str, Callable[..., None]]] = {
    ".nii.gz": write_nifti,
    ".nii": write_nifti,
    ".nrrd": write_nrrd,
    ".am": write_amira,
    ".ome.zarr": write_ome_zarr,
    ".zarr": write_ome_zarr,
    ".ome.tiff": write_tiff,
    ".ome.tif": write_tiff,
    ".tiff": write_tiff,
    ".tif": write_tiff,
}
_MESHES: Final[Mapping[str, Callable[..., None]]] = {
    ".stl": write_stl,
    ".obj": write_obj,
    ".ply": write_ply,
    ".glb": write_glb,
}
_CONTOURS: Final = ".mod"
_MESH_SLAB_VOXELS: Final = 4 * 1024 * 1024
EXTENSIONS: Final = (*_VOXELS, ".mrc", *_MESHES, _CONTOURS)
ZARR_VERSIONS: Final = ("0.5", "0.4")


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


def export(
    volume: Volume,
    path: Path,
    *,
    label: int | None = None,
    zarr_version: str = "0.5",
    mesh_unit: str = ANGSTROM,
    progress: Progress | None = None,
) -> None:
    """Write a mask (or a tomogram, but not as a mesh) in the format of the file extension.

    Parameters
    ----------
    volume : Volume
        Open.
    path : Path
        A file, or a folder for ``.ome.zarr``; replaced if it exists, once the new one is complete.
    label : int, optional
        Export only this label, as 1. Default: all labels, unchanged; in a mesh, merged.
    zarr_version : {'0.5', '0.4'}
        Version of OME-Zarr, for ``.ome.zarr``.
    mesh_unit : {'angstrom', 'nm'}
        Unit of the coordinates of a mesh.
    progress : callable, optional
        Called with the fraction done; an exception from it discards the file.

    Raises
    ------
    InvalidRequestError
        The extension is unknown, a library is missing, or a mesh would be empty.
    VolumeError
        The mask has labels below 0 or above 65,535; or a label, a mesh or an MRC file is requested, but the file
        contains densities.
    """
    extension = extension_of(path)
    if zarr_version not in ZARR_VERSIONS:
        raise InvalidRequestError(
            f"There is no version '{zarr_version}' of OME-Zarr here.", hint=f"Use one of {', '.join(ZARR_VERSIONS)}."
        )
    if mesh_unit not in MESH_UNITS:
        raise InvalidRequestError(
            f"'{mesh_unit}' is no unit of meshes here.", hint=f"Use one of {', '.join(MESH_UNITS)}."
        )
    if extension in _VOXELS:
        write = _VOXELS[extension]
        if write is write_ome_zarr:
            write = partial(write, version=zarr_version)
        mask = LabelVolume.if_mask(volume) if label is None else LabelVolume.of(volume).only(label)
        write(mask or volume, path, labels=mask is not None, progress=progress)
        return
    mask = LabelVolume.of(volume)
    if extension in _MESHES:
        source = LabelSource.of_volume(mask, slab_voxels=_MESH_SLAB_VOXELS)
        parts = mesh_parts(source, label, placement_A=volume.header.placement_A, progress=progress)
        _MESHES[extension](parts, path, unit=mesh_unit)
    elif extension == _CONTOURS:
        names = names_in(volume.meta.labels)
        write_contours(LabelSource.of_volume(mask), path, names, label=label, progress=progress)
    else:
        labels = mask if label is None else mask.only(label)
        source = LabelSource.of_volume(labels)
        write_labels(source, path, volume, labels=max(labels.highest, 1), engine="export", progress=progress)
