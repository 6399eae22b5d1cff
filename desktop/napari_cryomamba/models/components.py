"""The table of labels and connected components; :mod:`cryomamba.masks` does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.editing.component import Component, component_in_box
from cryomamba.masks.measure import InstanceSummary, LabelSummary, Measurements, measure
from cryomamba.masks.slabs import LabelSource
from cryomamba.spreadsheet import text_cell
from napari_cryomamba.models.world_coordinates import NM_PER_A

COLUMNS = ("Label", "Name", "Component", "Voxels", "Volume nm³", "Surface nm²", "Thickness Å", "z nm", "y nm", "x nm")
ROWS_MAX = 2000

Array = npt.NDArray[Any]
Progress = Callable[[float], None]
Cell = int | float | str


@dataclass(frozen=True, slots=True)
class Place:
    """What finds a component in its mask again: label, bounding box and size."""

    label: int
    start: Shape
    stop: Shape
    voxels: int

    @classmethod
    def of(cls, component: Component) -> Place:
        """Return the place of a component."""
        z, y, x = (part.stop for part in component.box)
        return cls(component.label, component.start, (z, y, x), component.voxels)

    def find(self, mask: Array) -> Component:
        """Return the component.

        Raises
        ------
        NotFoundError
            The mask was changed there.
        """
        return component_in_box(mask, self.label, self.start, self.stop, self.voxels)


@dataclass(frozen=True, slots=True)
class Row:
    """One label, or one of its connected components (26 neighbours).

    Attributes
    ----------
    cells : tuple
        In the order of :data:`COLUMNS`; an empty text if a number is unknown.
    centre_nm : tuple of float or None
        Centre of mass (z, y, x) from the centre of the tomogram's first voxel.
    place : Place or None
        Where the component is; None for a label.
    """

    cells: tuple[Cell, ...]
    centre_nm: Spacing | None
    place: Place | None = None


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
    return "\n".join("\t".join(text_cell(str(cell)) for cell in line) for line in lines) + "\n"


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
        "" if thickness is None else round(thickness, 1),
        *position,
    )
    place = None
    if isinstance(found, InstanceSummary) and found.box_start is not None and found.box_stop is not None:
        place = Place(found.label, found.box_start, found.box_stop, found.voxels)
    return Row(cells, centre_nm, place)
