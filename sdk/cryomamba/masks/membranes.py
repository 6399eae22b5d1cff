"""What a mask of membranes gives besides itself: numbered pieces, the medial surface, oriented points, normals.

One walk over the mask finds all but the field of normals. That takes another, because which way a normal looks is known
when all of its piece is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.masks.instances import Ids, Instances
from cryomamba.masks.medial_surface import MedialSurfacePart, medial_surface, typical_thickness_A
from cryomamba.masks.sampling import SurfacePoints, SurfaceSampler, nearest_signs
from cryomamba.masks.slabs import Step
from cryomamba.picks import Picks
from cryomamba.volumes import HeaderFields, MaskWriter, Volume
from cryomamba.volumes.exports.nrrd import VectorFieldWriter

PIECES_MAX: Final = 0xFFFF
SPACING_A: Final = 100.0
_CERTAIN: Final = 255.0


@dataclass(frozen=True, slots=True)
class MembraneFiles:
    """Where things go; None for what is not wanted.

    Attributes
    ----------
    instances : Path or None
        The mask with the number of its piece at every voxel, uint16.
    medial_surface : Path or None
        The same of the medial surface alone, one voxel thick.
    normals : Path or None
        The normals on the medial surface as vectors, NRRD.
    """

    instances: Path | None = None
    medial_surface: Path | None = None
    normals: Path | None = None


@dataclass(frozen=True, slots=True)
class Membranes:
    """What was found.

    Attributes
    ----------
    thickness_A : float
        The mask's thickness: as given, or as measured.
    medial_surface_nm2 : ndarray, (pieces,)
        Area of each piece's medial surface.
    points : Picks
        Points at about equal distances on the medial surfaces, with normals and the number of the piece.
    """

    thickness_A: float
    medial_surface_nm2: npt.NDArray[np.float64]
    points: Picks


def trace_membranes(
    instances: Instances,
    like: Volume | HeaderFields,
    files: MembraneFiles,
    *,
    label: int | None = None,
    thickness_A: float | None = None,
    spacing_A: float | None = None,
    engine: str = "membranes",
    step: Step | None = None,
) -> Membranes:
    """Find the medial surfaces of membranes and points on them, and write what is wanted.

    Memory is that of a slab and of the points.

    Parameters
    ----------
    instances : Instances
        Of the mask, whose file must be open. Pieces after the 65,535th are left out of files.
    like : Volume or HeaderFields
        What the files lie on.
    files : MembraneFiles
    label : int, optional
        The membranes' label, if not all labels are membranes; of others only the pieces are numbered.
    thickness_A : float, optional
        About how thick the mask is; measured if not given.
    spacing_A : float, optional
        Distance of the points; `SPACING_A` if not given.
    engine : str
        For the files' headers.
    step : callable, optional
        Called with the fraction done; may raise to stop.
    """
    source, walks = instances.source, 2 if files.normals else 1
    tell = step or (lambda _: None)
    thickness_A = thickness_A or typical_thickness_A(source, label) or min(source.voxel_size_A)
    sampler = SurfaceSampler(spacing_A or SPACING_A, source.voxel_size_A)
    areas = np.zeros(instances.voxels.size + 1)
    with ExitStack() as stack:

        def writer(path: Path | None, what: str) -> MaskWriter | None:
            made = path and MaskWriter(path, like, labels=PIECES_MAX, engine=engine, what=what)
            return stack.enter_context(made) if made else None

        whole, medial = writer(files.instances, "instance mask"), writer(files.medial_surface, "medial surface mask")
        z = 0
        for ids, part, pieces in _walk(instances, label, thickness_A):
            areas += np.bincount(pieces, part.areas_A2, minlength=areas.size)
            sampler.add(part, pieces)
            if whole is not None:
                _write_planes(whole, z, ids)
            if medial is not None:
                _write_planes(medial, z, _planes(part, z, ids))
            z += len(ids)
            tell(z / source.shape[0] / walks)
    found = sampler.points()
    if files.normals is not None:
        _write_normals(instances, like, files.normals, found, (label, thickness_A), tell)
    return Membranes(thickness_A, areas[1:] / 100, _picks(found, source.voxel_size_A))


def _walk(instances: Instances, label: int | None, thickness_A: float) -> Iterator[tuple[Ids, MedialSurfacePart, Ids]]:
    """Yield each slab's pieces, its part of the medial surface, and the piece of each voxel of that."""
    parts = medial_surface(instances.source, label, thickness_A)
    z = 0
    for (_, ids), part in zip(instances.slabs(), parts, strict=True):
        yield ids, part, ids[tuple((part.voxels - (z, 0, 0)).T)]
        z += len(ids)


def _planes(part: MedialSurfacePart, z: int, ids: Ids) -> Iterator[Ids]:
    """Yield the pieces in each plane of a slab at the voxels of the medial surface alone."""
    for number, rows in enumerate(_rows(part, z, len(ids))):
        y, x = part.voxels[rows, 1], part.voxels[rows, 2]
        plane = np.zeros_like(ids[number])
        plane[y, x] = ids[number, y, x]
        yield plane


def _rows(part: MedialSurfacePart, z: int, count: int) -> list[slice]:
    """Return which of a part's voxels lie in each of its slab's planes."""
    ends = np.searchsorted(part.voxels[:, 0], np.arange(z, z + count + 1))
    return [slice(first, last) for first, last in pairwise(ends.tolist())]


def _write_planes(file: MaskWriter, z: int, planes: Iterable[Ids]) -> None:
    for number, plane in enumerate(planes):
        file.write(z + number, 0, 0, np.where(plane <= PIECES_MAX, plane, 0).astype(np.uint16)[None])


def _picks(points: SurfacePoints, size: tuple[float, float, float]) -> Picks:
    places, normals = np.asarray(points.positions_A / size, np.float64), np.asarray(points.normals, np.float64)
    return Picks(places, np.full(len(points), _CERTAIN), points.pieces, "membranes", normals)


def _write_normals(
    instances: Instances,
    like: Volume | HeaderFields,
    path: Path,
    points: SurfacePoints,
    what: tuple[int | None, float],
    tell: Step,
) -> None:
    z, (depth, height, width) = 0, instances.source.shape
    with VectorFieldWriter(path, like) as field:
        for ids, part, pieces in _walk(instances, *what):
            signs = nearest_signs(points, part.points * instances.source.voxel_size_A, part.normals, pieces)
            vectors = part.normals * signs[:, None]
            for rows in _rows(part, z, len(ids)):
                plane = np.zeros((1, height, width, 3), np.float32)
                plane[0, part.voxels[rows, 1], part.voxels[rows, 2]] = vectors[rows]
                field.write(plane)
            z += len(ids)
            tell(0.5 + z / depth / 2)
