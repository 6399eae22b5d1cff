"""Files made from a mask of membranes: labelled components, the medial surface, oriented points, normals.

One pass over the mask gives all but the vector field of normals, which takes a second one: the sign of a normal is
known only when its whole component is.
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
from cryomamba.masks.slabs import Progress
from cryomamba.picks import Picks
from cryomamba.volumes import HeaderFields, MaskWriter, Volume
from cryomamba.volumes.exports.nrrd import VectorFieldWriter

LABELS_MAX: Final = 0xFFFF
SPACING_A: Final = 100.0
_SCORE: Final = 255.0


@dataclass(frozen=True, slots=True)
class MembraneFiles:
    """Paths of the files to write; None for those not requested.

    Attributes
    ----------
    instances : Path or None
        The mask with the component number at each voxel, uint16.
    medial_surface : Path or None
        The same for the medial surface only, one voxel thick.
    normals : Path or None
        The unit normals of the medial surface as a vector field, NRRD.
    """

    instances: Path | None = None
    medial_surface: Path | None = None
    normals: Path | None = None


@dataclass(frozen=True, slots=True)
class Membranes:
    """Medial surfaces of membranes.

    Attributes
    ----------
    thickness_A : float
        Thickness of the mask, as given or measured.
    medial_surface_nm2 : ndarray, (components,)
        Area of each component's medial surface.
    points : Picks
        Evenly spaced points on the medial surfaces, with normals and component numbers.
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
    progress: Progress | None = None,
) -> Membranes:
    """Trace the medial surfaces of membranes, sample points on them, and write the requested files.

    Memory: one slab and the points.

    Parameters
    ----------
    instances : Instances
        Components of the mask, whose file must be open. Files leave out components after the 65,535th.
    like : Volume or HeaderFields
        Grid of the files.
    files : MembraneFiles
    label : int, optional
        The membranes' label, if not all labels are membranes; components of other labels are only numbered.
    thickness_A : float, optional
        Approximate thickness of the mask; default: measured.
    spacing_A : float, optional
        Spacing of the points; default `SPACING_A`.
    engine : str
        Name for the files' headers.
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    """
    source, passes = instances.source, 2 if files.normals else 1
    report = progress or (lambda _: None)
    thickness_A = thickness_A or typical_thickness_A(source, label) or min(source.voxel_size_A)
    sampler = SurfaceSampler(spacing_A or SPACING_A, source.voxel_size_A)
    areas = np.zeros(instances.voxels.size + 1)
    with ExitStack() as stack:

        def writer(path: Path | None, what: str) -> MaskWriter | None:
            made = path and MaskWriter(path, like, labels=LABELS_MAX, engine=engine, what=what)
            return stack.enter_context(made) if made else None

        labelled, medial = writer(files.instances, "instance mask"), writer(files.medial_surface, "medial surface mask")
        z = 0
        for ids, part, owners in _trace(instances, label, thickness_A):
            areas += np.bincount(owners, part.areas_A2, minlength=areas.size)
            sampler.add(part, owners)
            if labelled is not None:
                _write_planes(labelled, z, ids)
            if medial is not None:
                _write_planes(medial, z, _planes(part, z, ids))
            z += len(ids)
            report(z / source.shape[0] / passes)
    found = sampler.points()
    if files.normals is not None:
        _write_normals(instances, like, files.normals, found, (label, thickness_A), report)
    return Membranes(thickness_A, areas[1:] / 100, _picks(found, source.voxel_size_A))


def _trace(instances: Instances, label: int | None, thickness_A: float) -> Iterator[tuple[Ids, MedialSurfacePart, Ids]]:
    parts = medial_surface(instances.source, label, thickness_A)
    z = 0
    for (_, ids), part in zip(instances.slabs(), parts, strict=True):
        yield ids, part, ids[tuple((part.voxels - (z, 0, 0)).T)]
        z += len(ids)


def _planes(part: MedialSurfacePart, z: int, ids: Ids) -> Iterator[Ids]:
    """Yield the component numbers in each plane of a slab, at the voxels of the medial surface only."""
    for number, rows in enumerate(_rows(part, z, len(ids))):
        y, x = part.voxels[rows, 1], part.voxels[rows, 2]
        plane = np.zeros_like(ids[number])
        plane[y, x] = ids[number, y, x]
        yield plane


def _rows(part: MedialSurfacePart, z: int, count: int) -> list[slice]:
    ends = np.searchsorted(part.voxels[:, 0], np.arange(z, z + count + 1))
    return [slice(first, last) for first, last in pairwise(ends.tolist())]


def _write_planes(file: MaskWriter, z: int, planes: Iterable[Ids]) -> None:
    for number, plane in enumerate(planes):
        file.write(z + number, 0, 0, np.where(plane <= LABELS_MAX, plane, 0).astype(np.uint16)[None])


def _picks(points: SurfacePoints, size: tuple[float, float, float]) -> Picks:
    positions, normals = np.asarray(points.positions_A / size, np.float64), np.asarray(points.normals, np.float64)
    return Picks(positions, np.full(len(points), _SCORE), points.components, "membranes", normals)


def _write_normals(
    instances: Instances,
    like: Volume | HeaderFields,
    path: Path,
    points: SurfacePoints,
    label_and_thickness: tuple[int | None, float],
    report: Progress,
) -> None:
    z, (depth, height, width) = 0, instances.source.shape
    with VectorFieldWriter(path, like) as field:
        for ids, part, owners in _trace(instances, *label_and_thickness):
            signs = nearest_signs(points, part.points * instances.source.voxel_size_A, part.normals, owners)
            vectors = part.normals * signs[:, None]
            for rows in _rows(part, z, len(ids)):
                plane = np.zeros((1, height, width, 3), np.float32)
                plane[0, part.voxels[rows, 1], part.voxels[rows, 2]] = vectors[rows]
                field.write(plane)
            z += len(ids)
            report(0.5 + z / depth / 2)
