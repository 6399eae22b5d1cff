"""What a mask holds, label by label and piece by piece: volume, surface, thickness, place."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.component_table import Column, ComponentTable, Floats, ShapeSums
from cryomamba.masks.instances import Components, Ids, Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, Step, thicker, windows
from cryomamba.masks.surface import HALO, METHOD, face_areas
from cryomamba.masks.thickness import medial_thickness, thickness_halo

THICKNESS_METHOD: Final = "twice the distance to the edge at the middle (ridge of the Euclidean distance transform)"
PIECES_MAX: Final = 100_000
"""How many pieces of a mask are listed, the largest; the others count for their label only."""
_FIND_SHARE: Final = 0.3
_MEASURED_VOXELS: Final = 32 * 1024 * 1024
_ROWS: Final = 4096
_NUMBERS: Final = ("voxels", "volume_nm3", "surface_nm2", "medial_surface_nm2", "thickness_A", "thickness_sd_A")
_PLAIN: Final = ("kind", "label", "name", "instance", *_NUMBERS, "instances", "fraction")
_TRIPLES: Final = {"centroid_A": ("centroid", "_A"), "box_start": ("box_start", ""), "box_stop": ("box_stop", "")}


class Measured(BaseModel):
    """The numbers of a label or of one piece of it.

    Attributes
    ----------
    voxels : int
    volume_nm3 : float
    surface_nm2 : float or None
        See :data:`~cryomamba.masks.surface.METHOD`; without the cuts at the volume's border. None if not measured.
    medial_surface_nm2 : float or None
        Area of the medial surface, of membranes; None if it was not traced.
    thickness_A, thickness_sd_A : float or None
        Mean and standard deviation over the voxels in the middle; None if not measured.
    centroid : tuple of float or None
        Mean voxel position (z, y, x); None for a label that does not occur.
    centroid_A : tuple of float or None
        The same in ångström from the centre of voxel (0, 0, 0).
    box_start, box_stop : tuple of int or None
        First voxel, and the one after the last, along z, y, x.
    """

    model_config = ConfigDict(frozen=True)

    voxels: int
    volume_nm3: float
    surface_nm2: float | None = None
    medial_surface_nm2: float | None = None
    thickness_A: float | None = None
    thickness_sd_A: float | None = None
    centroid: Spacing | None = None
    centroid_A: Spacing | None = None
    box_start: Shape | None = None
    box_stop: Shape | None = None


class LabelSummary(Measured):
    """One label: what it is called, its share of all voxels, and how many pieces it has."""

    label: int
    name: str
    fraction: float
    instances: int


class InstanceSummary(Measured):
    """One piece; pieces are numbered from the largest, which is 1."""

    instance: int
    label: int
    name: str


@dataclass(frozen=True, slots=True)
class Measurements:
    """The tables of a mask.

    Attributes
    ----------
    labels : tuple of LabelSummary
        Every label that has a name or occurs, in their order.
    pieces : Instances
        The pieces themselves; their mask must be open to read them.
    """

    labels: tuple[LabelSummary, ...]
    pieces: Instances
    _table: ComponentTable
    _names: Mapping[int, str]

    @classmethod
    def of(cls, pieces: Instances, table: ComponentTable, names: Mapping[int, str]) -> Self:
        """Put the tables together from what was measured of pieces."""
        found = sorted({*names, *np.unique(pieces.label).tolist()} - {0})
        return cls(tuple(_label(label, pieces, table, names) for label in found), pieces, table, names)

    @property
    def count(self) -> int:
        """Number of pieces."""
        return self.pieces.count

    @property
    def listed(self) -> int:
        """Number of pieces that are listed one by one, the largest; at most :data:`PIECES_MAX`."""
        return len(self.pieces)

    def with_medial_surface(self, medial_surface_nm2: Floats) -> Measurements:
        """Return the tables with the area of each piece's medial surface."""
        return self.of(self.pieces, self._table.with_sums(medial_surface_nm2=medial_surface_nm2), self._names)

    def rows(self, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the fields of the listed pieces (at most so many), the largest first, as plain values."""
        wanted = self.listed if most is None else min(most, self.listed)
        for start in range(0, wanted, _ROWS):
            rows = slice(start, min(start + _ROWS, wanted))
            columns = self._table.chosen(rows).columns(self.pieces.source.voxel_size_A)
            labels = self.pieces.label[rows].tolist()
            values = zip(*map(_plain, columns.values()), strict=True)
            for number, label, row in zip(range(start + 1, rows.stop + 1), labels, values, strict=True):
                fields = dict(zip(columns, row, strict=True))
                yield {"instance": number, "label": label, "name": _name(label, self._names), **fields}

    def instances(self, most: int | None = None) -> Iterator[InstanceSummary]:
        """Yield the listed pieces (at most so many), the largest first."""
        return (InstanceSummary(**fields) for fields in self.rows(most))


def measure(
    source: LabelSource,
    names: Mapping[int, str],
    *,
    shape: bool = True,
    step: Step | None = None,
    threads: int = 1,
) -> Measurements:
    """Measure a mask in two walks with flat memory.

    Parameters
    ----------
    source : LabelSource
    names : mapping of int to str
        What labels are called; others that occur are called ``label N``.
    shape : bool
        Measure surface and thickness too, which takes most of the time.
    step : callable, optional
        Called with the fraction done; may raise to stop.
    threads : int
        The numbers do not depend on it.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: cc3d, edt or scipy is not installed.
    """
    tell = step or _nobody
    share = _FIND_SHARE if shape else 1.0
    pieces = find_instances(source, most=PIECES_MAX, step=lambda done: tell(done * share))
    table = ComponentTable.of(pieces)
    if shape:
        sums = ShapeSums(pieces.voxels.size)
        for done in _walk(pieces, sums, threads):
            tell(share + done * (1 - share))
        table = table.with_sums(**sums.columns())
    return Measurements.of(pieces, table, names)


def write_csv(measured: Measurements, path: Path) -> None:
    """Write one row per label and one per listed piece, units in the heads; for spreadsheets and pandas."""
    heads = [*_PLAIN, *(f"{name}_{axis}{unit}" for name, unit in _TRIPLES.values() for axis in "zyx")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(_cells("label", label.model_dump()) for label in measured.labels)
        writer.writerows(_cells("instance", fields) for fields in measured.rows())


def _cells(kind: str, fields: Mapping[str, Any]) -> list[object]:
    cells = [kind, *(fields.get(name) for name in _PLAIN[1:])]
    for name in _TRIPLES:
        cells += fields.get(name) or (None, None, None)
    return [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]


def _label(label: int, pieces: Instances, table: ComponentTable, names: Mapping[int, str]) -> LabelSummary:
    rows = np.flatnonzero(pieces.label == label)
    fields: dict[str, Any] = {"voxels": 0, "volume_nm3": 0.0}
    if rows.size:
        columns = table.together(rows).columns(pieces.source.voxel_size_A)
        fields = {name: _plain(column)[0] for name, column in columns.items()}
    alone = np.count_nonzero(rows < len(pieces))
    return LabelSummary(
        label=label,
        name=_name(label, names),
        fraction=fields["voxels"] / math.prod(pieces.source.shape),
        instances=alone + int(pieces.together[rows[alone:] - len(pieces)].sum()),
        **fields,
    )


def _name(label: int, names: Mapping[int, str]) -> str:
    return names.get(label, f"label {label}")


def _plain(column: Column) -> list[Any]:
    """Return the values of a column, None for NaN, and tuples where it has several in a row."""
    values = column.tolist()
    if column.ndim > 1:
        return [tuple(value) for value in values]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _walk(pieces: Instances, sums: ShapeSums, threads: int) -> Iterator[float]:
    source, parts = pieces.source, pieces.parts()
    size, (depth, height, width) = source.voxel_size_A, source.shape
    # The thicker a slab is, the less is measured twice for its neighbours' sake.
    slabs = thicker(source.slabs(), max(_MEASURED_VOXELS // (height * width), 1))
    for window in windows(slabs, max(HALO, thickness_halo(size)), copy=False):
        numbers = _Numbers(parts, (window.core.stop - window.core.start) * height * width)
        for voxels, area_A2 in face_areas(window.data, window.core, size, threads=threads):
            sums.add_surface(numbers.at(voxels), area_A2)
        for voxels, thickness_A in medial_thickness(window.data, window.core, size, threads=threads):
            sums.add_thickness(numbers.at(voxels), thickness_A)
        yield (window.start + window.core.stop) / depth


class _Numbers:
    """The numbers of the pieces in so many voxels of the next slabs."""

    def __init__(self, parts: Iterator[tuple[Labels, Components, Ids]], voxels: int) -> None:
        self._parts: list[tuple[int, Components, Ids]] = []
        first = 0
        while first < voxels:
            _, components, table = next(parts)
            self._parts.append((first, components.reshape(-1), table))
            first += components.size

    def at(self, voxels: npt.NDArray[np.int32]) -> Ids:
        """Return the numbers at voxels, given by their flat indices."""
        numbers = np.empty(voxels.size, np.uint32)
        for first, components, table in self._parts:
            here = (voxels >= first) & (voxels < first + components.size)
            numbers[here] = table[components[voxels[here] - first]]
        return numbers


def _nobody(_fraction: float) -> None:
    return


__all__ = [
    "METHOD",
    "THICKNESS_METHOD",
    "InstanceSummary",
    "LabelSummary",
    "Measured",
    "Measurements",
    "measure",
    "write_csv",
]
