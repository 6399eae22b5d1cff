"""Sizes and places of what a mask holds, per label and per connected piece; and the edits on pieces."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.records import Shape, Spacing

from .models.placement import NM_PER_A
from .tomogram import Array

COLUMNS = ("Label", "Name", "Piece", "Voxels", "Volume (nm³)", "z (nm)", "y (nm)", "x (nm)", "Extent z × y × x (nm)")
PIECES_VOXELS_MAX = 1 << 30
_CONNECTIVITY: Final = 26

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One label, or one connected piece (26 neighbours) of it.

    Attributes
    ----------
    label, name : int, str
    piece : int
        0 for the whole label, from 1 on for its pieces, the largest first.
    voxels : int
    volume_nm3 : float
    centroid_nm : tuple of float
        z, y, x from the centre of the tomogram's first voxel.
    start, stop : tuple of int
        Bounding box in voxels, z, y, x.
    extent_nm : tuple of float
        Size of the bounding box along z, y, x.
    """

    label: int
    name: str
    piece: int
    voxels: int
    volume_nm3: float
    centroid_nm: Spacing
    start: Shape
    stop: Shape
    extent_nm: Spacing

    @property
    def cells(self) -> tuple[int | float | str, ...]:
        """The row of a table, in the order of :data:`COLUMNS`."""
        extent = " × ".join(f"{side:.0f}" for side in self.extent_nm)
        piece = self.piece or "all"
        return (
            self.label,
            self.name,
            piece,
            self.voxels,
            round(self.volume_nm3, 1),
            *_rounded(self.centroid_nm),
            extent,
        )


def measure(
    mask: Array, voxel_size_A: Spacing, names: Mapping[int, str], *, min_voxels: int = 1, pieces: bool = True
) -> list[Measurement]:
    """Measure every label and every connected piece; may be called from any thread.

    Parameters
    ----------
    mask : ndarray of uint8 or uint16, ZYX
    voxel_size_A : tuple of float
        Along z, y, x; of a voxel of this array.
    names : mapping of int to str
    min_voxels : int
        Smaller pieces are not listed (they count in their label).
    pieces : bool
        Whether pieces are looked for.

    Notes
    -----
    Components and their statistics by William Silversmith's connected-components-3d.
    """
    import cc3d

    found: list[Measurement] = []
    for label, whole in _boxes(mask).items():
        cut = np.ascontiguousarray(mask[_slices(*whole)] == label)
        offset = whole[0]
        name = names.get(label, f"label {label}")
        found.append(_measured(label, name, 0, cut, offset, voxel_size_A))
        if not pieces:
            continue
        _check_size(cut)
        components = cc3d.connected_components(cut, connectivity=_CONNECTIVITY)
        statistics = cc3d.statistics(components, no_slice_conversion=True)
        order = np.argsort(-statistics["voxel_counts"][1:].astype(np.int64), kind="stable") + 1
        for number, piece in enumerate(order, start=1):
            voxels = int(statistics["voxel_counts"][piece])
            if voxels < min_voxels:
                break
            z0, z1, y0, y1, x0, x1 = (int(n) for n in statistics["bounding_boxes"][piece])
            start, stop = (z0, y0, x0), (z1 + 1, y1 + 1, x1 + 1)
            centroid = tuple(float(c) for c in statistics["centroids"][piece])
            found.append(_row(label, name, number, voxels, centroid, start, stop, offset, voxel_size_A))
    return found


def to_csv(rows: Sequence[Measurement], *, delimiter: str = ",") -> str:
    """Return the rows as CSV, or tab-separated for pasting into a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.cells for row in rows)
    return text.getvalue()


def small_pieces(mask: Array, label: int, *, min_voxels: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the voxels (as indices z, y, x) of a label's pieces that are smaller than `min_voxels`."""
    import cc3d

    here = _label(mask, label)
    kept = cc3d.dust(here.astype(np.uint8), threshold=min_voxels, connectivity=_CONNECTIVITY)
    return np.nonzero(here & (kept == 0))


def holes(mask: Array, label: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the background voxels that a label encloses on all sides (in 3D)."""
    from scipy.ndimage import binary_fill_holes

    here = _label(mask, label)
    filled: Bool = binary_fill_holes(here)
    return np.nonzero(filled & ~here & (mask == 0))


def other_pieces(mask: Array, at: Shape) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the voxels of all pieces of the label at a voxel, but for the piece that the voxel belongs to.

    Raises
    ------
    InvalidRequestError
        There is background.
    """
    import cc3d

    label = int(mask[at])
    if not label:
        raise InvalidRequestError(
            "There is no label at that voxel.", hint="Move the cursor onto the piece to keep, then press the key again."
        )
    here = _label(mask, label)
    components = cc3d.connected_components(here, connectivity=_CONNECTIVITY)
    return np.nonzero(here & (components != components[at]))


def _label(mask: Array, label: int) -> Bool:
    here: Bool = np.ascontiguousarray(mask == label)
    _check_size(here)
    return here


def _check_size(array: Bool) -> None:
    if array.size > PIECES_VOXELS_MAX:
        raise InvalidRequestError(
            "The mask is too large to look for its pieces in memory.",
            code=ErrorCode.TOO_LARGE,
            hint="Crop it, or bin it by two, and open that.",
        )


def _boxes(mask: Array) -> dict[int, tuple[Shape, Shape]]:
    """Return first and last-plus-one voxel of every label, from one walk over the sections."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for z, plane in enumerate(mask):
        for label in np.flatnonzero(np.bincount(np.ravel(plane))).tolist():
            if not label:
                continue
            here = plane == label
            rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
            low, high = [z, int(rows[0]), int(columns[0])], [z + 1, int(rows[-1]) + 1, int(columns[-1]) + 1]
            if label in found:
                low = [min(a, b) for a, b in zip(low, found[label][0], strict=True)]
                high = [max(a, b) for a, b in zip(high, found[label][1], strict=True)]
            found[label] = (low, high)
    return {label: (_three(low), _three(high)) for label, (low, high) in sorted(found.items())}


def _measured(label: int, name: str, piece: int, cut: Bool, offset: Shape, size_A: Spacing) -> Measurement:
    counts = [np.count_nonzero(cut, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    voxels = int(counts[0].sum())
    centroid = tuple(float(np.dot(count, np.arange(count.size)) / voxels) for count in counts)
    return _row(label, name, piece, voxels, centroid, (0, 0, 0), _three(cut.shape), offset, size_A)


def _row(
    label: int,
    name: str,
    piece: int,
    voxels: int,
    centroid: tuple[float, ...],
    start: Shape,
    stop: Shape,
    offset: Shape,
    size_A: Spacing,
) -> Measurement:
    z, y, x = ((c + o) * s * NM_PER_A for c, o, s in zip(centroid, offset, size_A, strict=True))
    dz, dy, dx = ((b - a) * s * NM_PER_A for a, b, s in zip(start, stop, size_A, strict=True))
    return Measurement(
        label=label,
        name=name,
        piece=piece,
        voxels=voxels,
        volume_nm3=voxels * math.prod(size_A) * NM_PER_A**3,
        centroid_nm=(z, y, x),
        start=_three([a + o for a, o in zip(start, offset, strict=True)]),
        stop=_three([b + o for b, o in zip(stop, offset, strict=True)]),
        extent_nm=(dz, dy, dx),
    )


def _slices(start: Shape, stop: Shape) -> tuple[slice, slice, slice]:
    z, y, x = (slice(a, b) for a, b in zip(start, stop, strict=True))
    return z, y, x


def _three(values: Sequence[int]) -> Shape:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _rounded(values: Spacing) -> tuple[float, ...]:
    return tuple(round(value, 1) for value in values)
