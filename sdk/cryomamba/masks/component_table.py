"""Measurements of a mask's components as columns of a table: a few arrays even for millions of components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.instances import Instances

_A2_PER_NM2 = 100.0
Floats = npt.NDArray[np.float64]
Column = npt.NDArray[Any]


class ShapeSums:
    """Sums of surface area and thickness per component; row 0 is the background."""

    def __init__(self, rows: int) -> None:
        self.surface_A2 = np.zeros(rows + 1)
        self.ridge_voxels = np.zeros(rows + 1)
        self.thickness_A = np.zeros(rows + 1)
        self.square_A2 = np.zeros(rows + 1)

    def columns(self) -> dict[str, Floats]:
        """Return the sums without the background's."""
        return {name: column[1:] for name, column in vars(self).items()}

    def add_surface(self, ids: npt.NDArray[np.uint32], area_A2: npt.NDArray[Any]) -> None:
        """Add areas to components."""
        _add(self.surface_A2, ids, area_A2)

    def add_thickness(self, ids: npt.NDArray[np.uint32], thickness_A: npt.NDArray[Any]) -> None:
        """Add the thickness at voxels on the ridge of the distance transform."""
        _add(self.ridge_voxels, ids, None)
        _add(self.thickness_A, ids, thickness_A)
        _add(self.square_A2, ids, thickness_A.astype(np.float64) ** 2)


@dataclass(frozen=True, slots=True)
class ComponentTable:
    """Sums, one row per component or per label.

    Attributes
    ----------
    voxels : ndarray
    sums : mapping of str to ndarray
        ``position`` (mean positions times voxels), and if measured ``surface_A2``, ``ridge_voxels``, ``thickness_A``,
        ``square_A2``, ``medial_surface_nm2``.
    start, stop : ndarray, (rows, 3)
        Bounding boxes.
    """

    voxels: Column
    sums: Mapping[str, Floats]
    start: Column
    stop: Column

    @classmethod
    def of(cls, instances: Instances) -> Self:
        """Return the table of sizes and positions."""
        position = instances.centroid * instances.voxels[:, None]
        return cls(instances.voxels, {"position": position}, instances.start, instances.stop)

    def with_sums(self, **sums: Floats) -> ComponentTable:
        """Return the table with further sums."""
        return replace(self, sums={**self.sums, **sums})

    def select(self, rows: slice) -> ComponentTable:
        """Return some of the rows."""
        sums = {name: column[rows] for name, column in self.sums.items()}
        return ComponentTable(self.voxels[rows], sums, self.start[rows], self.stop[rows])

    def merge(self, which: npt.NDArray[np.intp]) -> ComponentTable:
        """Return the given rows, at least one, merged into one."""
        sums = {name: column[which].sum(axis=0, keepdims=True) for name, column in self.sums.items()}
        start, stop = self.start[which].min(axis=0, keepdims=True), self.stop[which].max(axis=0, keepdims=True)
        return ComponentTable(self.voxels[which].sum(keepdims=True), sums, start, stop)

    def columns(self, voxel_size_A: Spacing) -> dict[str, Column]:
        """Return the columns described at :class:`~cryomamba.masks.measure.Measured`; NaN where there is no value."""
        centroid = self.sums["position"] / self.voxels[:, None]
        columns: dict[str, Column] = {
            "voxels": self.voxels,
            "volume_nm3": self.voxels * (np.prod(voxel_size_A) / 1000),
            "centroid": centroid,
            "centroid_A": centroid * voxel_size_A,
            "box_start": self.start,
            "box_stop": self.stop,
        }
        if "medial_surface_nm2" in self.sums:
            columns["medial_surface_nm2"] = self.sums["medial_surface_nm2"]
        if "surface_A2" in self.sums:
            columns["surface_nm2"] = self.sums["surface_A2"] / _A2_PER_NM2
            count = np.where(self.sums["ridge_voxels"] > 0, self.sums["ridge_voxels"], np.nan)
            mean = self.sums["thickness_A"] / count
            columns["thickness_A"] = mean
            columns["thickness_sd_A"] = np.sqrt(np.maximum(self.sums["square_A2"] / count - mean**2, 0))
        return columns


def _add(into: Floats, ids: npt.NDArray[np.uint32], weights: npt.NDArray[Any] | None) -> None:
    if ids.size:
        into += np.bincount(ids, weights, minlength=into.size)
