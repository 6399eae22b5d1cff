"""Edited masks on disk: every save is a new file that lies on its tomogram; and their exports."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.export import export
from cryomamba.masks.measure import Measurements
from cryomamba.picks import Frame, Picks, write_picks
from cryomamba.volumes import HeaderFields, MaskWriter, blank_header, open_volume
from napari_cryomamba.layers.tomogram import Array

TITLES: dict[str, str] = {
    ".mrc": "MRC: IMOD, ChimeraX, Dynamo",
    ".nii.gz": "NIfTI: ITK-SNAP, 3D Slicer",
    ".nrrd": "NRRD: 3D Slicer",
    ".ome.zarr": "OME-Zarr: multiscale, for web viewers",
    ".ome.tif": "OME-TIFF: Fiji",
    ".star": "STAR: centres of the pieces, for RELION",
    ".stl": "STL: surface mesh",
    ".obj": "OBJ: surface mesh",
}
_SLAB_VOXELS = 1 << 24


def stem_of(name: str) -> str:
    """Return a file's name without the suffixes of a volume."""
    return re.sub(r"\.(gz|bz2)$", "", name, flags=re.IGNORECASE).rpartition(".")[0] or name


def next_revision(folder: Path, tomogram: str, feature: str) -> Path:
    """Return the next free name ``<tomogram>__<feature>_v<n>.mrc`` in a folder."""
    safe = re.sub(r"[^0-9A-Za-z.-]+", "-", feature).strip("-") or "mask"
    start = f"{stem_of(tomogram)}__{safe}_v"
    taken = [
        int(m[1]) for path in folder.glob("*.mrc") if (m := re.fullmatch(re.escape(start) + r"(\d+)\.mrc", path.name))
    ]
    return folder / f"{start}{max(taken, default=0) + 1}.mrc"


def save_mask(
    path: Path,
    mask: Array,
    like: HeaderFields | None,
    voxel_size_A: Spacing,
    *,
    engine: str,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a mask slab by slab; it appears under its name when it is whole. May be called from any thread.

    Parameters
    ----------
    path : Path
    mask : ndarray of uint8 or uint16, ZYX
    like : HeaderFields or None
        The tomogram that it lies on; None for a mask without one.
    voxel_size_A : tuple of float
        Of the mask (z, y, x), where there is no tomogram.
    engine : str
        For the header's label line.
    progress : callable, optional
        Called with the fraction done.

    Raises
    ------
    UnavailableError
        The disk has no room.
    """
    depth, height, width = mask.shape
    facts = (
        like if like is not None and like.shape == mask.shape else blank_header((depth, height, width), voxel_size_A)
    )
    planes = max(_SLAB_VOXELS // (height * width), 1)
    top = max((int(mask[z : z + planes].max()) for z in range(0, depth, planes)), default=0)
    with MaskWriter(path, facts, labels=max(top, 1), engine=engine) as writer:
        for z in range(0, depth, planes):
            writer.write(z, 0, 0, np.ascontiguousarray(mask[z : z + planes]).astype(writer.dtype, copy=False))
            if progress is not None:
                progress(min(z + planes, depth) / depth)


def export_mask(
    path: Path,
    mask: Array,
    like: HeaderFields | None,
    voxel_size_A: Spacing,
    *,
    engine: str,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a mask in the format that the name's ending says, by way of an MRC file aside. For any thread.

    Raises
    ------
    UnavailableError
        The disk has no room.
    InvalidRequestError
        A library is missing, or a mesh would be empty.
    """
    with tempfile.TemporaryDirectory(prefix=".cryomamba-", dir=path.parent) as folder:
        aside = Path(folder) / f"{stem_of(path.name)}.mrc"
        save_mask(aside, mask, like, voxel_size_A, engine=engine)
        with open_volume(aside) as volume:
            export(volume, path, progress=progress)


def write_centres(path: Path, measured: Measurements, tomogram: str, shape: Shape, voxel_size_A: Spacing) -> int:
    """Write the centres of connected pieces as a STAR file of RELION 5, with their volumes in nm³ as figure of merit.

    Parameters
    ----------
    path : Path
        Appears when it is whole.
    measured : Measurements
        Of the mask.
    tomogram : str
        File name; goes into ``rlnTomoName`` without its suffix.
    shape, voxel_size_A : tuple
        Of the tomogram, z, y, x.

    Returns
    -------
    int
        How many there are.
    """
    pieces = [piece for piece in measured.instances() if piece.centroid_A is not None]
    centres = np.array([piece.centroid_A for piece in pieces], np.float64).reshape(-1, 3)
    picks = Picks(
        centres / np.array(voxel_size_A),
        np.array([piece.volume_nm3 for piece in pieces], np.float64),
        np.array([piece.label for piece in pieces], np.int64),
    )
    write_picks(picks, path, Frame(shape, voxel_size_A, stem_of(tomogram)))
    return len(picks)
