"""Files of edited masks, each on the grid of its tomogram, and their exports."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.export import export
from cryomamba.masks.measure import Measurements
from cryomamba.masks.slabs import LabelSource, write_labels
from cryomamba.picks import Picks, TomogramInfo, write_picks
from cryomamba.volumes import HeaderFields, blank_header, open_volume
from cryomamba.volumes.label_names import name_lines, without_names
from napari_cryomamba.layers.tomogram import Array

_OTHER_LINES = 9
"""Text labels that a header of a mask has besides that of the program."""

TITLES: dict[str, str] = {
    ".mrc": "MRC: IMOD, ChimeraX, Dynamo",
    ".nii.gz": "NIfTI: ITK-SNAP, 3D Slicer",
    ".nrrd": "NRRD: 3D Slicer",
    ".ome.zarr": "OME-Zarr: multiscale, for web viewers",
    ".ome.tif": "OME-TIFF: Fiji",
    ".star": "STAR: centres of components, for RELION",
    ".stl": "STL: surface mesh",
    ".obj": "OBJ: surface mesh",
}


def stem_of(name: str) -> str:
    """Return a file's name without the suffixes of a volume."""
    plain = re.sub(r"\.(gz|bz2)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"\.ome$", "", plain.rpartition(".")[0], flags=re.IGNORECASE) or name


def next_version(folder: Path, tomogram: str, feature: str) -> Path:
    """Return the next free name ``<tomogram>__<feature>_v<n>.mrc`` in a folder."""
    safe_feature = re.sub(r"[^0-9A-Za-z.-]+", "-", feature).strip("-") or "mask"
    prefix = f"{stem_of(tomogram)}__{safe_feature}_v"
    taken = [
        int(m[1]) for path in folder.glob("*.mrc") if (m := re.fullmatch(re.escape(prefix) + r"(\d+)\.mrc", path.name))
    ]
    return folder / f"{prefix}{max(taken, default=0) + 1}.mrc"


def save_mask(
    path: Path,
    mask: Array,
    header: HeaderFields | None,
    voxel_size_A: Spacing,
    *,
    engine: str,
    names: Mapping[int, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a mask slab by slab, atomically. May be called from any thread.

    Parameters
    ----------
    mask : ndarray, ZYX
        Labels of any type.
    header : HeaderFields or None
        Of its tomogram; None for a mask without one.
    voxel_size_A : tuple of float
        Of the mask (z, y, x), if there is no tomogram.
    engine : str
        For the header's label line.
    names : mapping of int to str, optional
        Of the labels; they are kept in the header.
    progress : callable, optional
        Called with the fraction done.

    Raises
    ------
    UnavailableError
        The disk is full.
    VolumeError
        The array holds values that are no labels.
    """
    depth, height, width = mask.shape
    if header is None or header.shape != mask.shape:
        header = blank_header((depth, height, width), voxel_size_A)
    lines = name_lines(names or {})
    header = replace(header, labels=(*without_names(header.labels)[: _OTHER_LINES - len(lines)], *lines))
    source = LabelSource.of_array(mask)
    top = max((int(slab.max()) for slab in source.slabs()), default=0)
    write_labels(source, path, header, labels=max(top, 1), engine=engine, progress=progress)


def export_mask(
    path: Path,
    mask: Array,
    header: HeaderFields | None,
    voxel_size_A: Spacing,
    *,
    engine: str,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a mask in the format of the file extension, by way of a temporary MRC file. For any thread.

    Raises
    ------
    UnavailableError
        The disk is full.
    InvalidRequestError
        A library is missing, or the mesh would be empty.
    """
    with tempfile.TemporaryDirectory(prefix=".cryomamba-", dir=path.parent) as folder:
        temporary = Path(folder) / f"{stem_of(path.name)}.mrc"
        save_mask(temporary, mask, header, voxel_size_A, engine=engine)
        with open_volume(temporary) as volume:
            export(volume, path, progress=progress)


def write_centres(path: Path, measured: Measurements, tomogram: str, shape: Shape, voxel_size_A: Spacing) -> int:
    """Write the centres of connected components as a STAR file for RELION 5; they have no scores.

    Parameters
    ----------
    path : Path
        Written atomically.
    tomogram : str
        File name; goes into ``rlnTomoName`` without its suffix.
    shape, voxel_size_A : tuple
        Of the tomogram, z, y, x.

    Returns
    -------
    int
        The number of components.
    """
    components = [found for found in measured.instances() if found.centroid_A is not None]
    centres = np.array([found.centroid_A for found in components], np.float64).reshape(-1, 3)
    picks = Picks(
        centres / np.array(voxel_size_A),
        np.full(len(components), np.nan),
        np.array([found.label for found in components], np.int64),
    )
    write_picks(picks, path, TomogramInfo(shape, voxel_size_A, stem_of(tomogram)))
    return len(picks)
