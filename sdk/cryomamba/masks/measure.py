"""What a mask holds, label by label and piece by piece: volume, surface, thickness, place."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.masks.instances import Components, Floats, Instances, find_instances
from cryomamba.masks.slabs import LabelSource, Step, thicker, windows
from cryomamba.masks.surface import HALO, METHOD, face_areas
from cryomamba.masks.thickness import medial_thickness, thickness_halo
from cryomamba.records import Shape, Spacing

THICKNESS_METHOD: Final = "twice the distance to the edge at the middle (ridge of the Euclidean distance transform)"
_A2_PER_NM2 = 100.0
_FIND_SHARE = 0.3
_MEASURED_VOXELS: Final = 32 * 1024 * 1024
_SPARSE_SHARE: Final = 0.08


class Measured(BaseModel):
    """The numbers of a label or of one piece of it.

    Attributes
    ----------
    voxels : int
    volume_nm3 : float
    surface_nm2 : float or None
        See :data:`~cryomamba.masks.surface.METHOD`; without the cuts at the volume's border. None if not measured.
    middle_nm2 : float or None
        Area of the middle surface, of membranes; None if it was not traced.
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
    middle_nm2: float | None = None
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
    count : int
        Number of pieces.
    """

    labels: tuple[LabelSummary, ...]
    _rows: _Rows

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self._rows.instances)

    @property
    def pieces(self) -> Instances:
        """The pieces themselves; their mask must be open to read them."""
        return self._rows.instances

    def with_middle(self, middle_nm2: Floats) -> Measurements:
        """Return the tables with the area of each piece's middle surface."""
        rows = self._rows.with_middle(middle_nm2)
        return Measurements(tuple(rows.label(label.label) for label in self.labels), rows)

    def instances(self, most: int | None = None) -> Iterator[InstanceSummary]:
        """Yield the pieces (at most so many), the largest first."""
        return map(self._rows.instance, range(self.count if most is None else min(most, self.count)))


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
    instances = find_instances(source, step=lambda done: tell(done * (_FIND_SHARE if shape else 1.0)))
    sums = _Sums(len(instances)) if shape else None
    if sums is not None:
        for done in _walk(instances, sums, threads):
            tell(_FIND_SHARE + done * (1 - _FIND_SHARE))
    rows = _Rows(instances, sums, names)
    found = sorted({*names, *(int(label) for label in np.unique(instances.label))} - {0})
    return Measurements(tuple(rows.label(label) for label in found), rows)


def write_csv(measured: Measurements, path: Path) -> None:
    """Write one row per label and one per piece, units in the heads; for spreadsheets and pandas."""
    heads = ["kind", "label", "name", "instance", "voxels", "volume_nm3", "surface_nm2", "middle_nm2", "thickness_A"]
    heads += ["thickness_sd_A", "instances", "fraction"]
    heads += [f"centroid_{axis}_A" for axis in "zyx"]
    heads += [f"box_{end}_{axis}" for end in ("start", "stop") for axis in "zyx"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, heads, lineterminator="\n")
        writer.writeheader()
        for label in measured.labels:
            writer.writerow({"kind": "label", **_flat(label)})
        for piece in measured.instances():
            writer.writerow({"kind": "instance", **_flat(piece)})


def _flat(row: LabelSummary | InstanceSummary) -> dict[str, object]:
    fields = row.model_dump(exclude={"centroid", "centroid_A", "box_start", "box_stop"})
    for name, triple in (
        ("centroid_{}_A", row.centroid_A),
        ("box_start_{}", row.box_start),
        ("box_stop_{}", row.box_stop),
    ):
        fields |= {name.format(axis): value for axis, value in zip("zyx", triple or (), strict=False)}
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in fields.items()}


class _Sums:
    """Surface and thickness of each piece, summed up; row 0 is the background."""

    def __init__(self, count: int) -> None:
        self.surface_A2 = np.zeros(count + 1)
        self.middle = np.zeros(count + 1)
        self.thickness_A = np.zeros(count + 1)
        self.square_A2 = np.zeros(count + 1)

    def add(self, into: Floats, ids: npt.NDArray[np.uint32], weights: npt.NDArray[Any] | None = None) -> None:
        if ids.size:
            into += np.bincount(ids, weights, minlength=into.size)


def _walk(instances: Instances, sums: _Sums, threads: int) -> Iterator[float]:
    source = instances.source
    size, plane = source.voxel_size_A, source.shape[1] * source.shape[2]
    parts = instances.parts()
    # The thicker a slab is, the less is measured twice for its neighbours' sake.
    slabs = thicker(source.slabs(), max(_voxels_at_a_time(instances) // plane, 1))
    for window in windows(slabs, max(HALO, thickness_halo(size)), copy=False):
        planes = window.core.stop - window.core.start
        areas = list(face_areas(window.data, window.core, size, threads=threads))
        thickness = list(medial_thickness(window.data, window.core, size, threads=threads))
        top, done = window.start + window.core.start, 0
        # The next one needs its room.
        del window
        while done < planes:
            _, components, table = next(parts)
            for spots in areas:
                here, area = _within(components, done * plane, spots)
                sums.add(sums.surface_A2, table[here], area)
            for spots in thickness:
                here, thick_A = _within(components, done * plane, spots)
                sums.add(sums.middle, table[here])
                sums.add(sums.thickness_A, table[here], thick_A)
                sums.add(sums.square_A2, table[here], thick_A.astype(np.float64) ** 2)
            done += len(components)
            del components
            yield (top + done) / source.shape[0]


def _within(
    components: Components, first: int, spots: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
) -> tuple[Components, npt.NDArray[np.float32]]:
    """Return what a slab, whose first voxel is `first`, has at the spots in it, and the values there.

    Spots are flat indices of voxels, and a value for each.
    """
    voxels, values = spots
    inside = (voxels >= first) & (voxels < first + components.size)
    return components.reshape(-1)[voxels[inside] - first], values[inside]


def _voxels_at_a_time(instances: Instances) -> int:
    """Return fewer for a mask that has more to measure: noise shows three faces a voxel."""
    share = int(instances.voxels.sum()) / math.prod(instances.source.shape)
    return int(_MEASURED_VOXELS / max(_SPARSE_SHARE, share) * _SPARSE_SHARE)


class _Rows:
    """Turns the sums of pieces into rows, for a piece and for all pieces of a label."""

    def __init__(
        self, instances: Instances, sums: _Sums | None, names: Mapping[int, str], middle_nm2: Floats | None = None
    ) -> None:
        self.instances = instances
        self._sums = sums
        self._names = names
        self._middle_nm2 = middle_nm2

    def with_middle(self, middle_nm2: Floats) -> _Rows:
        return _Rows(self.instances, self._sums, self._names, middle_nm2)

    def label(self, label: int) -> LabelSummary:
        pieces = np.flatnonzero(self.instances.label == label)
        measured = self._measured(pieces)
        return LabelSummary(
            label=label,
            name=self._name(label),
            fraction=measured["voxels"] / math.prod(self.instances.source.shape),
            instances=pieces.size,
            **measured,
        )

    def instance(self, row: int) -> InstanceSummary:
        label = int(self.instances.label[row])
        return InstanceSummary(instance=row + 1, label=label, name=self._name(label), **self._measured(np.array([row])))

    def _name(self, label: int) -> str:
        return self._names.get(label, f"label {label}")

    def _measured(self, pieces: npt.NDArray[np.intp]) -> dict[str, Any]:
        found, source = self.instances, self.instances.source
        each = found.voxels[pieces]
        voxels = int(each.sum())
        fields: dict[str, Any] = {"voxels": voxels, "volume_nm3": voxels * source.voxel_volume_nm3}
        if not voxels:
            return fields
        centroid = (found.centroid[pieces] * each[:, None]).sum(axis=0) / voxels
        fields |= {
            "centroid": tuple(centroid.tolist()),
            "centroid_A": tuple((centroid * source.voxel_size_A).tolist()),
            "box_start": tuple(found.start[pieces].min(axis=0).tolist()),
            "box_stop": tuple(found.stop[pieces].max(axis=0).tolist()),
        }
        if self._middle_nm2 is not None:
            fields["middle_nm2"] = float(self._middle_nm2[pieces].sum())
        return fields | self._shape(pieces + 1)

    def _shape(self, rows: npt.NDArray[np.intp]) -> dict[str, float]:
        sums = self._sums
        if sums is None:
            return {}
        fields = {"surface_nm2": float(sums.surface_A2[rows].sum()) / _A2_PER_NM2}
        if middle := float(sums.middle[rows].sum()):
            mean = float(sums.thickness_A[rows].sum()) / middle
            spread = float(sums.square_A2[rows].sum()) / middle - mean**2
            fields |= {"thickness_A": mean, "thickness_sd_A": math.sqrt(max(spread, 0.0))}
        return fields


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
