"""The region of a tomogram to which a segmentation is limited: the non-zero voxels of a mask on the same grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes import LabelVolume, Volume, VolumeMeta
from cryomamba.volumes.labels import densities

WITHIN: Final = "within"
"""Name of the field of a request that gives the mask; errors about the mask carry it in their ``details``."""
# Programs round the voxel size in headers, some to one decimal.
_SIZE_TOLERANCE: Final = 0.01
_SIZE_UNKNOWN: Final = frozenset({"voxel_size_missing", "voxel_size_suspect"})

Slices = tuple[slice, slice, slice]
Inside = npt.NDArray[np.bool_]
ReadInside = Callable[[Slices], Inside]


def _nothing_to_check() -> None:
    """Do nothing: an array in memory is not a file."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a tomogram is segmented; reads the mask block by block, never as a whole.

    Attributes
    ----------
    name : str
        File name of the mask.
    shape : tuple of int
        ZYX, that of the tomogram.
    read : callable
        ``read((z, y, x) slices) -> bool ZYX``, a new array that is True inside; slices of step 1.
    require_unchanged : callable
        Raises if the file was changed since it was opened; see :meth:`~cryomamba.volumes.Volume.require_unchanged`.
    """

    name: str
    shape: Shape
    read: ReadInside
    require_unchanged: Callable[[], None] = _nothing_to_check

    @classmethod
    def of_volume(cls, mask: Volume, shape: Shape, voxel_size_A: Spacing) -> Self:
        """Return the region of an open mask file, which must stay open.

        Raises
        ------
        InvalidRequestError
            The mask is not on the tomogram's grid; see :func:`require_same_grid`.
        VolumeError
            ``volume_unsupported``: it is not a mask; see :class:`~cryomamba.volumes.LabelVolume`.
        """
        require_same_grid(mask.meta, shape, voxel_size_A)
        labels = LabelVolume.of(mask)

        def read(where: Slices) -> Inside:
            return _nonzero(labels.read_native(*where))

        return cls(mask.meta.name, shape, read, mask.require_unchanged)

    @classmethod
    def of_array(cls, mask: npt.NDArray[Any], name: str = "") -> Self:
        """Return the region of an array (z, y, x) in memory."""
        return cls(name, (mask.shape[0], mask.shape[1], mask.shape[2]), lambda where: _nonzero(mask[where]))

    def count(self, where: Slices) -> int:
        """Return how many voxels of a box are inside."""
        return int(np.count_nonzero(self.read(where)))

    def contains(self, positions: npt.NDArray[np.float64]) -> Inside:
        """Return which positions (n, 3; z, y, x in voxels) are inside: those whose nearest voxel is."""
        nearest = np.clip(np.floor(positions + 0.5), 0, np.array(self.shape) - 1).astype(np.intp)
        found = np.zeros(len(nearest), np.bool_)
        # Plane by plane, so that memory does not grow with the volume.
        for z in np.unique(nearest[:, 0]):
            here = np.flatnonzero(nearest[:, 0] == z)
            plane = self.read((slice(int(z), int(z) + 1), slice(0, self.shape[1]), slice(0, self.shape[2])))[0]
            found[here] = plane[nearest[here, 1], nearest[here, 2]]
        return found


def require_same_grid(mask: VolumeMeta, shape: Shape, voxel_size_A: Spacing) -> None:
    """Refuse a mask that is not on the grid of a tomogram; only headers are compared.

    The voxel size of a mask may differ by 1 %, be missing, or be 1.0 Å, which programs write when it is unknown.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the shape or the voxel size differs.
    """
    if mask.shape != shape:
        raise _mismatch(
            f"The mask '{mask.name}' has {_times(mask.shape)} voxels (z, y, x), but the tomogram has {_times(shape)}.",
            "Give a mask of this tomogram, neither cropped nor binned.",
        )
    unknown = any(warning.code in _SIZE_UNKNOWN for warning in mask.warnings)
    close = all(
        math.isclose(one, other, rel_tol=_SIZE_TOLERANCE)
        for one, other in zip(mask.voxel_size_A, voxel_size_A, strict=True)
    )
    if not unknown and not close:
        raise _mismatch(
            f"The mask '{mask.name}' has voxels of {_times(mask.voxel_size_A)} Å (z, y, x), but those of the tomogram "
            f"are {_times(voxel_size_A)} Å.",
            "Give a mask of this tomogram, or give the tomogram's voxel size if its header is wrong.",
        )


def require_mask(volume: Volume) -> None:
    """Refuse densities by a look at one plane: a mask has whole numbers, of whatever type.

    :class:`~cryomamba.volumes.LabelVolume` checks all voxels, which takes a pass over the file.

    Raises
    ------
    VolumeError
        ``volume_unsupported``.
    """
    middle = volume.shape[0] // 2
    plane = volume.read_native(slice(middle, middle + 1), slice(None), slice(None))
    if plane.dtype.kind == "f" and not np.array_equal(plane, np.rint(plane)):
        raise densities(volume.meta.name)


def empty_region(name: str) -> InvalidRequestError:
    """Return the error for a mask without any voxel inside."""
    return _mismatch(
        f"All voxels of the mask '{name}' are 0, so there is nothing to segment.",
        "Give a mask whose voxels are not 0 where the tomogram is to be segmented.",
    )


def _mismatch(message: str, hint: str) -> InvalidRequestError:
    details = {"fields": [{"field": WITHIN, "problem": message}]}
    return InvalidRequestError(message, code=ErrorCode.INVALID_PARAMETERS, hint=hint, details=details)


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{value:g}" for value in values)


def _nonzero(block: npt.NDArray[Any]) -> Inside:
    inside: Inside = np.not_equal(block, 0)
    return inside
