"""NIfTI, for ITK-SNAP, 3D Slicer and nnU-Net."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from cryomamba.atomic import AtomicFile
from cryomamba.optional_imports import import_optional
from cryomamba.volumes.exports.slabs import Progress, content_of, slabs, stored_dtype
from cryomamba.volumes.header_encoder import own_label
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume

_NIFTI1_SIDE = 32767


def write_nifti(
    volume: Volume | LabelVolume,
    path: str | os.PathLike[str],
    *,
    labels: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a volume as NIfTI-1, or NIfTI-2 where a side is longer than 32,767 voxels.

    The affine maps voxel indices (x, y, z) to ångström, with the volume's voxel size and placement; axes point to
    +x, +y, +z. NIfTI has no unit so small, so the unit is given as unknown and named in the description: readers then
    take the numbers as they are, as those of an MRC or NRRD file, and all three overlay. Memory is bounded by one slab.
    The same volume gives the same bytes.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    path : path-like
        ``.nii``, or ``.nii.gz`` for a compressed file.
    labels : bool
        Store unsigned integers, as programs expect for masks.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the file.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: nibabel is not installed.
    """
    volume = content_of(volume, labels=labels)
    dtype = stored_dtype(volume)
    header = _header(volume, dtype)
    path = Path(path)
    with AtomicFile(path) as new, new.stream() as output:
        if path.name.endswith(".gz"):
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=output, mtime=0) as compressed:
                _write(compressed, header, volume, dtype, progress)
        else:
            _write(output, header, volume, dtype, progress)


def _write(
    output: IO[bytes] | gzip.GzipFile,
    header: Any,  # noqa: ANN401
    volume: Volume | LabelVolume,
    dtype: np.dtype[np.generic],
    progress: Progress | None,
) -> None:
    head = io.BytesIO()
    header.write_to(head)
    output.write(head.getvalue().ljust(int(header["vox_offset"]), b"\0"))
    # In NIfTI x varies fastest, as in a C-ordered (z, y, x) slab.
    for slab in slabs(volume, dtype, progress):
        output.write(slab.data)


def _header(volume: Volume | LabelVolume, dtype: np.dtype[np.generic]) -> Any:  # noqa: ANN401
    nibabel = import_optional("nibabel")
    kind = nibabel.Nifti1Header if max(volume.shape) <= _NIFTI1_SIDE else nibabel.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(volume.shape[::-1])
    header.set_xyzt_units("unknown")
    affine = np.diag([*volume.voxel_size_A[::-1], 1.0])
    affine[:3, 3] = volume.header.placement_A[::-1]
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header["magic"] = kind.single_magic
    header["vox_offset"] = kind.single_vox_offset
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["descrip"] = own_label(f"lengths in angstrom, {volume.meta.name}").encode("ascii", "replace")[:79]
    return header
