"""The table of labels and connected components, and edits of a mask; :mod:`cryomamba.masks` does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks import clean
from cryomamba.masks.measure import InstanceSummary, LabelSummary, Measurements, measure
from cryomamba.masks.slabs import LabelSource
from napari_cryomamba.models.world_coordinates import NM_PER_A

COLUMNS = ("Label", "Name", "Component", "Voxels", "Volume nm³", "Surface nm²", "Thickness nm", "z nm", "y nm", "x nm")
ROWS_MAX = 2000
_EDIT_VOXELS_MAX = 1 << 25

Array = npt.NDArray[Any]
Progress = Callable[[float], None]
Cell = int | float | str


@dataclass(frozen=True, slots=True)
class Row:
    """One label, or one of its connected components (26 neighbours).

    Attributes
    ----------
    cells : tuple
        In the order of :data:`COLUMNS`; an empty text if a number is unknown.
    centre_nm : tuple of float or None
        Centre of mass (z, y, x) from the centre of the tomogram's first voxel.
    """

    cells: tuple[Cell, ...]
    centre_nm: Spacing | None


def measure_mask(
    mask: Array, voxel_size_A: Spacing, names: Mapping[int, str], *, progress: Progress | None = None
) -> Measurements:
    """Measure every label and component, slab by slab; may be called from any thread.

    Parameters
    ----------
    mask : ndarray of uint8 or uint16, ZYX
    voxel_size_A : tuple of float
        Of a voxel of this array (z, y, x).
    names : mapping of int to str
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    """
    return measure(LabelSource.of_array(mask, voxel_size_A), names, progress=progress)


def table_rows(measured: Measurements, *, components: bool = True) -> list[Row]:
    """Return a row for each label and, optionally, for the largest components, at most :data:`ROWS_MAX`."""
    rows: list[Row] = [_row(found, "all") for found in measured.labels if found.voxels]
    if components:
        rows += [_row(found, found.instance) for found in measured.instances(ROWS_MAX)]
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """Return the rows as tab-separated text, for pasting into a spreadsheet."""
    lines = [COLUMNS, *(row.cells for row in rows)]
    return "\n".join("\t".join(str(cell) for cell in line) for line in lines) + "\n"


def _row(found: LabelSummary | InstanceSummary, component: int | str) -> Row:
    centre = found.centroid_A
    thickness = found.thickness_A
    position: tuple[Cell, ...] = ("", "", "")
    centre_nm = None
    if centre is not None:
        centre_nm = (centre[0] * NM_PER_A, centre[1] * NM_PER_A, centre[2] * NM_PER_A)
        position = tuple(round(at, 1) for at in centre_nm)
    cells: tuple[Cell, ...] = (
        found.label,
        found.name,
        component,
        found.voxels,
        round(found.volume_nm3, 1),
        "" if found.surface_nm2 is None else round(found.surface_nm2, 1),
        "" if thickness is None else round(thickness * NM_PER_A, 1),
        *position,
    )
    return Row(cells, centre_nm)


@dataclass(frozen=True, slots=True)
class Edit:
    """The voxels that an edit changes (indices along z, y, x), and their new labels."""

    indices: tuple[npt.NDArray[np.intp], ...]
    labels: Array

    def __len__(self) -> int:
        return self.labels.size


def remove_small_components(mask: Array, voxel_size_A: Spacing, min_volume_nm3: float) -> Edit:
    """Return the edit that removes every component below a volume."""
    source = LabelSource.of_array(mask, voxel_size_A)
    return _difference(source, clean.remove_small_components(source, min_volume_nm3))


def fill_holes(mask: Array, voxel_size_A: Spacing) -> Edit:
    """Return the edit that fills background enclosed on all sides."""
    source = LabelSource.of_array(mask, voxel_size_A)
    return _difference(source, clean.fill_holes(source))


def keep_component(mask: Array, voxel_size_A: Spacing, at: Shape) -> Edit:
    """Return the edit that removes all components of a label but the one at a voxel (z, y, x); other labels stay.

    Raises
    ------
    NotFoundError
        The voxel is background.
    """
    source = LabelSource.of_array(mask, voxel_size_A)
    return _difference(source, clean.component_at(source, at), only=int(mask[at]))


def _difference(before: LabelSource, after: LabelSource, *, only: int | None = None) -> Edit:
    indices, labels, z, count = [], [], 0, 0
    for old, new in zip(before.slabs(), after.slabs(), strict=True):
        changed = old != new
        if only is not None:
            changed &= old == only
        found = np.nonzero(changed)
        indices.append((found[0] + z, found[1], found[2]))
        labels.append(new[changed])
        z += len(old)
        count += found[0].size
        if count > _EDIT_VOXELS_MAX:
            raise InvalidRequestError(
                "The edit changes too many voxels to be undone.",
                hint="Save the mask, and edit the file with 'cryomamba clean', which has no undo.",
            )
    return Edit(tuple(np.concatenate(axis) for axis in zip(*indices, strict=True)), np.concatenate(labels))
