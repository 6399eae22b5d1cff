"""Measurements of a mask per label and per component: volume, surface area, thickness, position."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.component_table import Column, ComponentTable, Floats, ShapeSums
from cryomamba.masks.instances import Components, Ids, Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, Progress, regroup_slabs, windows
from cryomamba.masks.surface_area import HALO, METHOD, face_areas
from cryomamba.masks.thickness import medial_thickness, thickness_halo
from cryomamba.spreadsheet import write_rows

THICKNESS_METHOD: Final = "twice the distance to the edge at the middle (ridge of the Euclidean distance transform)"
COMPONENTS_MAX: Final = 100_000
"""How many components of a mask are listed, the largest; the others count for their label only."""
_FIND_SHARE: Final = 0.3
_SURFACE_SHARE: Final = 0.3
"""Of the time for measuring shapes."""
_MEASURED_VOXELS: Final = 32 * 1024 * 1024
_ROWS: Final = 4096
_NUMBERS: Final = ("voxels", "volume_nm3", "surface_nm2", "medial_surface_nm2", "thickness_A", "thickness_sd_A")
_PLAIN: Final = ("kind", "label", "name", "instance", *_NUMBERS, "instances", "fraction", "fraction_within")
_TRIPLES: Final = {"centroid_A": ("centroid", "_A"), "box_start": ("box_start", ""), "box_stop": ("box_stop", "")}


class Measured(BaseModel):
    """Measurements of a label or of one of its components.

    Attributes
    ----------
    voxels : int
    volume_nm3 : float
    surface_nm2 : float or None
        See :data:`~cryomamba.masks.surface_area.METHOD`; without faces on the volume's border. None if not measured.
    medial_surface_nm2 : float or None
        Area of the medial surface of a membrane; None if it was not traced.
    thickness_A, thickness_sd_A : float or None
        Mean and standard deviation over the ridge of the distance transform; None if not measured.
    centroid : tuple of float or None
        Mean voxel position (z, y, x); None for a label that does not occur.
    centroid_A : tuple of float or None
        The same in Å from the centre of voxel (0, 0, 0).
    box_start, box_stop : tuple of int or None
        Bounding box: first voxel, and the one after the last, along z, y, x.
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
    """A label.

    Attributes
    ----------
    label : int
    name : str
    fraction : float
        Of all voxels of the mask.
    fraction_within : float or None
        Of the voxels of the region to which the segmentation was limited; None if it was not.
    instances : int
        Number of components.
    """

    label: int
    name: str
    fraction: float
    fraction_within: float | None = None
    instances: int


class InstanceSummary(Measured):
    """A component; components are numbered by size, 1 is the largest."""

    instance: int
    label: int
    name: str


@dataclass(frozen=True, slots=True)
class Measurements:
    """The tables of a mask.

    Attributes
    ----------
    labels : tuple of LabelSummary
        Every label that has a name or occurs, ascending.
    components : Instances
        Reading them requires that their mask is open.
    """

    labels: tuple[LabelSummary, ...]
    components: Instances
    _table: ComponentTable
    _names: Mapping[int, str]
    _region_voxels: int | None = None

    @classmethod
    def of(
        cls, components: Instances, table: ComponentTable, names: Mapping[int, str], region_voxels: int | None = None
    ) -> Self:
        """Return the measurements of labels and components, from those of components."""
        found = sorted({*names, *np.unique(components.label).tolist()} - {0})
        labels = tuple(_label(label, components, table, names, region_voxels) for label in found)
        return cls(labels, components, table, names, region_voxels)

    @property
    def count(self) -> int:
        """Number of components."""
        return self.components.count

    @property
    def listed(self) -> int:
        """Number of components that are listed, the largest; at most :data:`COMPONENTS_MAX`."""
        return len(self.components)

    def with_medial_surface(self, medial_surface_nm2: Floats) -> Measurements:
        """Return the measurements with the area of each component's medial surface."""
        table = self._table.with_sums(medial_surface_nm2=medial_surface_nm2)
        return self.of(self.components, table, self._names, self._region_voxels)

    def rows(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the fields of the listed components (at most `limit`), the largest first, as plain values."""
        total = self.listed if limit is None else min(limit, self.listed)
        for start in range(0, total, _ROWS):
            rows = slice(start, min(start + _ROWS, total))
            columns = self._table.select(rows).columns(self.components.source.voxel_size_A)
            labels = self.components.label[rows].tolist()
            values = zip(*map(_plain, columns.values()), strict=True)
            for number, label, row in zip(range(start + 1, rows.stop + 1), labels, values, strict=True):
                fields = dict(zip(columns, row, strict=True))
                yield {"instance": number, "label": label, "name": _name(label, self._names), **fields}

    def instances(self, limit: int | None = None) -> Iterator[InstanceSummary]:
        """Yield the listed components (at most `limit`), the largest first."""
        return (InstanceSummary(**fields) for fields in self.rows(limit))


def measure(
    source: LabelSource,
    names: Mapping[int, str],
    *,
    shape: bool = True,
    region_voxels: int | None = None,
    progress: Progress | None = None,
    threads: int = 1,
) -> Measurements:
    """Measure a mask in two passes with constant memory.

    Parameters
    ----------
    source : LabelSource
    names : mapping of int to str
        Names of labels; other labels that occur are named ``label N``.
    shape : bool
        Also measure surface area and thickness, which takes most of the time.
    region_voxels : int, optional
        Size of the region to which the segmentation was limited.
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    threads : int
        The results do not depend on it.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: cc3d, edt or scipy is not installed.
    """
    report = progress or (lambda _: None)
    share = _FIND_SHARE if shape else 1.0
    components = find_instances(source, max_listed=COMPONENTS_MAX, progress=lambda done: report(done * share))
    table = ComponentTable.of(components)
    if shape:
        sums = ShapeSums(components.voxels.size)
        for done in _measure_shape(components, sums, threads):
            report(share + done * (1 - share))
        table = table.with_sums(**sums.columns())
    return Measurements.of(components, table, names, region_voxels)


def write_csv(measured: Measurements, path: Path) -> None:
    """Write one row per label and one per listed component, with units in the column names."""
    heads = [*_PLAIN, *(f"{name}_{axis}{unit}" for name, unit in _TRIPLES.values() for axis in "zyx")]
    with path.open("w", newline="", encoding="utf-8") as file:
        labels = (_cells("label", label.model_dump()) for label in measured.labels)
        write_rows(file, chain([heads], labels, (_cells("instance", fields) for fields in measured.rows())))


def _cells(kind: str, fields: Mapping[str, Any]) -> list[object]:
    cells = [kind, *(fields.get(name) for name in _PLAIN[1:])]
    for name in _TRIPLES:
        cells += fields.get(name) or (None, None, None)
    return [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]


def _label(
    label: int, components: Instances, table: ComponentTable, names: Mapping[int, str], region_voxels: int | None
) -> LabelSummary:
    rows = np.flatnonzero(components.label == label)
    fields: dict[str, Any] = {"voxels": 0, "volume_nm3": 0.0}
    if rows.size:
        columns = table.merge(rows).columns(components.source.voxel_size_A)
        fields = {name: _plain(column)[0] for name, column in columns.items()}
    listed = np.count_nonzero(rows < len(components))
    return LabelSummary(
        label=label,
        name=_name(label, names),
        fraction=fields["voxels"] / math.prod(components.source.shape),
        fraction_within=None if region_voxels is None else fields["voxels"] / region_voxels,
        instances=listed + int(components.unlisted[rows[listed:] - len(components)].sum()),
        **fields,
    )


def _name(label: int, names: Mapping[int, str]) -> str:
    return names.get(label, f"label {label}")


def _plain(column: Column) -> list[Any]:
    """Return the values of a column as plain types: None for NaN, tuples for several values per row."""
    values = column.tolist()
    if column.ndim > 1:
        return [tuple(value) for value in values]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _measure_shape(components: Instances, sums: ShapeSums, threads: int) -> Iterator[float]:
    source, component_slabs = components.source, components.component_slabs()
    size, (depth, height, width) = source.voxel_size_A, source.shape
    # The thicker a slab, the smaller the share of halo planes, which are computed twice.
    slabs = regroup_slabs(source.slabs(), max(_MEASURED_VOXELS // (height * width), 1))
    for window in windows(slabs, max(HALO, thickness_halo(size)), copy=False):
        planes = window.core.stop - window.core.start
        done = _WindowProgress(window.start + window.core.start, planes, source.shape)
        numbers = _NumberLookup(component_slabs, planes * height * width)
        for voxels, area_A2 in face_areas(window.data, window.core, size, threads=threads):
            sums.add_surface(numbers.at(voxels), area_A2)
            yield from done.reached(voxels, 0.0, _SURFACE_SHARE)
        for voxels, thickness_A in medial_thickness(window.data, window.core, size, threads=threads):
            sums.add_thickness(numbers.at(voxels), thickness_A)
            yield from done.reached(voxels, _SURFACE_SHARE, 1 - _SURFACE_SHARE)
        yield (window.start + window.core.stop) / depth


class _WindowProgress:
    """Progress within a window, which is measured from its first row to its last, twice."""

    def __init__(self, first: int, planes: int, shape: Shape) -> None:
        self._first, self._planes, self._shape, self._last = first, planes, shape, 0.0

    def reached(self, voxels: npt.NDArray[np.int32], before: float, share: float) -> Iterator[float]:
        """Yield the fraction of the mask that is done if it has risen by a hundredth of the window."""
        depth, height, width = self._shape
        row = int(voxels[-1]) // width % height if voxels.size else 0
        done = before + share * row / height
        if done >= self._last + 0.01:
            self._last = done
            yield (self._first + self._planes * done) / depth


class _NumberLookup:
    def __init__(self, slabs: Iterator[tuple[Labels, Components, Ids]], voxels: int) -> None:
        self._slabs: list[tuple[int, Components, Ids]] = []
        first = 0
        while first < voxels:
            _, components, table = next(slabs)
            self._slabs.append((first, components.reshape(-1), table))
            first += components.size

    def at(self, voxels: npt.NDArray[np.int32]) -> Ids:
        numbers = np.empty(voxels.size, np.uint32)
        for first, components, table in self._slabs:
            here = (voxels >= first) & (voxels < first + components.size)
            numbers[here] = table[components[voxels[here] - first]]
        return numbers


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
