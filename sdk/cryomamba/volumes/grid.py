"""Axis order, voxel size and placement from the fields of an MRC header. Pure."""

from __future__ import annotations

import math

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes.metadata import VolumeWarning

Triple = tuple[float, float, float]

VOXEL_SIZE_WARNINGS = frozenset(
    {"voxel_size_missing", "voxel_size_incomplete", "voxel_size_suspect", "voxel_size_anisotropic", "stack_header"}
)
_SMALLEST_A, _LARGEST_A = 1e-3, 1e5
_ANISOTROPY = 0.01


def to_zyx(axes: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the file's axes (0 section, 1 row, 2 column) that are z, y and x.

    Parameters
    ----------
    axes : tuple of int
        ``(mapc, mapr, maps)``, a permutation of 1, 2, 3.
    """
    mapc, mapr, maps = axes
    file_axis = {maps: 0, mapr: 1, mapc: 2}
    return file_axis[3], file_axis[2], file_axis[1]


def checked_voxel_size(voxel_size_A: float | Triple) -> Triple:
    """Return a voxel size as Å along z, y, x.

    Raises
    ------
    VolumeError
        It is not one or three numbers between 0.001 and 100,000 Å.
    """
    sizes = voxel_size_A if isinstance(voxel_size_A, (tuple, list)) else (voxel_size_A,) * 3
    numbers = tuple(float(size) for size in sizes)
    if len(numbers) != 3 or not all(_SMALLEST_A <= number <= _LARGEST_A for number in numbers):
        raise VolumeError(
            f"A voxel size of {voxel_size_A} Å is not valid.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Give one positive number in Å, or three in the order z, y, x.",
        )
    return numbers[0], numbers[1], numbers[2]


def voxel_size(
    sampling: tuple[int, int, int],
    cell_A: Triple,
    shape_xyz: tuple[int, int, int],
    angles: Triple,
    warnings: list[VolumeWarning],
) -> Triple:
    """Return Å along z, y, x from a header's sampling and cell (both x, y, z); irregularities are added to `warnings`.

    A sampling of 1 along z with more than one section is a "stack" header (as IMOD, ChimeraX and Amira write): its cell
    spans all sections, unless the cell is as long as a voxel. An axis without a plausible size gets that of another
    axis, the first of x, y, z that has one; without any, the size is 1 Å.
    """
    sizes = [length / m if m > 0 else length / n for length, m, n in zip(cell_A, sampling, shape_xyz, strict=True)]
    if sampling[2] == 1 and shape_xyz[2] > 1:
        warnings.append(_STACK_HEADER)
        if not math.isclose(sizes[2], sizes[0], rel_tol=_ANISOTROPY):
            sizes[2] /= shape_xyz[2]
    known = [_SMALLEST_A <= size <= _LARGEST_A for size in sizes]
    if not any(known):
        warnings.append(VOXEL_SIZE_MISSING)
        return 1.0, 1.0, 1.0
    if not all(known):
        sizes = _completed(sizes, known, warnings)
    # The header has 32-bit floats, so seven digits are significant: 13.48 must read as 13.48.
    x, y, z = (float(f"{size:.7g}") for size in sizes)
    if x == y == z == 1.0:
        warnings.append(_SUSPECT)
    if max(x, y, z) > min(x, y, z) * (1 + _ANISOTROPY):
        warnings.append(
            VolumeWarning(
                code="voxel_size_anisotropic",
                message=f"Voxels are not cubic: {z:g} × {y:g} × {x:g} Å along z, y, x.",
                hint="Each axis keeps its own size. Give a voxel size if the header is wrong.",
            )
        )
    if any(angle and not math.isclose(angle, 90.0, abs_tol=0.01) for angle in angles):
        warnings.append(_SKEWED)
    return z, y, x


def _completed(sizes: list[float], known: list[bool], warnings: list[VolumeWarning]) -> list[float]:
    source = known.index(True)
    missing = " and ".join(axis for axis, good in zip("xyz", known, strict=True) if not good)
    warnings.append(
        VolumeWarning(
            code="voxel_size_incomplete",
            message=f"The header has no voxel size along {missing}; that along {'xyz'[source]}, {sizes[source]:.7g} Å, "
            "was assumed.",
            hint="Give the voxel size in Å if the voxels are not cubic.",
        )
    )
    return [size if good else sizes[source] for size, good in zip(sizes, known, strict=True)]


def placement(
    origin_A: Triple, nstart: tuple[int, int, int], axes: tuple[int, int, int], voxel_size_A: Triple
) -> Triple:
    """Return the position (z, y, x) in Å of the centre of voxel (0, 0, 0).

    It is the origin (x, y, z) if that is not zero, else the start (column, row, section) times the voxel size, as in
    ChimeraX.
    """
    if any(origin_A):
        return origin_A[2], origin_A[1], origin_A[0]
    start = dict(zip(axes, nstart, strict=True))
    return start[3] * voxel_size_A[0], start[2] * voxel_size_A[1], start[1] * voxel_size_A[2]


_STACK_HEADER = VolumeWarning(
    code="stack_header",
    message="The header describes an image stack (mz is 1) although the file contains a volume.",
    hint="The voxel size along z was derived from the cell and the number of sections.",
)
VOXEL_SIZE_MISSING = VolumeWarning(
    code="voxel_size_missing",
    message="The header has no voxel size; 1 Å was assumed.",
    hint="Give the voxel size in Å, otherwise sizes and distances will be wrong.",
)
_SUSPECT = VolumeWarning(
    code="voxel_size_suspect",
    message="The header gives 1.0 Å per voxel, which programs write when the size is unknown.",
    hint="Give the voxel size in Å if it is not really 1.0.",
)
_SKEWED = VolumeWarning(
    code="cell_skewed",
    message="The cell's angles are not all 90 degrees.",
    hint="Voxels are displayed and measured as if they were.",
)
