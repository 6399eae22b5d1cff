"""The levels of a multiscale image and their OME-Zarr metadata: shapes, voxel sizes, positions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from cryomamba.volumes.grid import Triple

SMALLEST_SIDE: Final = 64
AXES: Final = ("z", "y", "x")
LABELS_DESCRIPTION: Final = "Largest label of the voxels that a voxel covers, so that thin structures do not vanish."
"""Of the levels of labels; by it an image that this program wrote is known to be labels."""
_METHODS: Final = {False: ("mean", "Mean of the voxels that a voxel covers."), True: ("maximum", LABELS_DESCRIPTION)}


class Level(NamedTuple):
    """A level of a multiscale image.

    Attributes
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    factors : tuple of int
        How many voxels of the full resolution a voxel covers along z, y, x.
    """

    shape: tuple[int, int, int]
    factors: tuple[int, int, int]


def levels_of(shape: tuple[int, int, int]) -> tuple[Level, ...]:
    """Return the levels of a volume, the full resolution first; each halves the axes longer than 64 voxels."""
    levels = [Level(shape, (1, 1, 1))]
    while max(levels[-1].shape) > SMALLEST_SIDE:
        last = levels[-1]
        z, y, x = (side if side <= SMALLEST_SIDE else (side + 1) // 2 for side in last.shape)
        halved = [2 * f if side > SMALLEST_SIDE else f for side, f in zip(last.shape, last.factors, strict=True)]
        levels.append(Level((z, y, x), (halved[0], halved[1], halved[2])))
    return tuple(levels)


def transformations(voxel_size_A: Triple, placement_A: Triple, factors: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Return the coordinate transformations of a level, in Å.

    A voxel of an axis halved k times is 2**k voxels wide and its centre is (2**k − 1) / 2 voxels from that of the first
    voxel that it covers, so all levels overlay exactly.

    Parameters
    ----------
    voxel_size_A, placement_A : tuple of float
        Of the full resolution, along z, y, x; `placement_A` is the centre of voxel (0, 0, 0).
    factors : tuple of int
        Of the level.
    """
    axes = list(zip(placement_A, voxel_size_A, factors, strict=True))
    return [
        {"type": "scale", "scale": [size * factor for _, size, factor in axes]},
        {"type": "translation", "translation": [start + (factor - 1) / 2 * size for start, size, factor in axes]},
    ]


def multiscale_metadata(
    name: str, levels: Sequence[Level], voxel_size_A: Triple, placement_A: Triple, *, labels: bool
) -> dict[str, Any]:
    """Return the entry of ``multiscales`` that describes an image; level *n* is the array named *n*."""
    method, description = _METHODS[labels]
    return {
        "name": name,
        "axes": [{"name": axis, "type": "space", "unit": "angstrom"} for axis in AXES],
        "datasets": [
            {"path": str(n), "coordinateTransformations": transformations(voxel_size_A, placement_A, level.factors)}
            for n, level in enumerate(levels)
        ],
        "type": method,
        "metadata": {"description": description},
    }
