"""What a mask holds, label by label, from one walk over its slabs. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.records import Shape, Spacing

_A3_PER_NM3 = 1000.0


class LabelSummary(BaseModel):
    """One label of a mask.

    Attributes
    ----------
    voxels : int
    fraction : float
        Of all voxels.
    volume_nm3 : float
    centroid : tuple of float or None
        Mean voxel position (z, y, x); None for a label that does not occur.
    centroid_A : tuple of float or None
        The same in ångström from the centre of voxel (0, 0, 0).
    box_start, box_stop : tuple of int or None
        First voxel, and the one after the last, along z, y, x.
    """

    model_config = ConfigDict(frozen=True)

    label: int
    name: str
    voxels: int
    fraction: float
    volume_nm3: float
    centroid: Spacing | None = None
    centroid_A: Spacing | None = None
    box_start: Shape | None = None
    box_stop: Shape | None = None


class LabelCounter:
    """Counts voxels of each label along each axis; memory does not grow with the number of voxels.

    Parameters
    ----------
    shape : tuple of int
        ZYX shape of the mask.
    labels : mapping of int to str
        Labels and their names.
    """

    def __init__(self, shape: Shape, labels: Mapping[int, str]) -> None:
        self._shape = shape
        self._names = dict(labels)
        self._along = {label: [np.zeros(size, np.int64) for size in shape] for label in labels}

    def add(self, z: int, slab: npt.NDArray[np.integer[Any]]) -> None:
        """Count a slab (full y and x) that begins at plane z."""
        for number, plane in enumerate(slab):
            if not plane.any():
                continue
            for label, (along_z, along_y, along_x) in self._along.items():
                here = plane == label
                rows = np.count_nonzero(here, axis=1)
                along_z[z + number] += rows.sum()
                along_y += rows
                along_x += np.count_nonzero(here, axis=0)

    def summaries(self, voxel_size_A: Spacing) -> tuple[LabelSummary, ...]:
        """Return what was counted, for voxels of that size (z, y, x)."""
        return tuple(self._summary(label, voxel_size_A) for label in sorted(self._names))

    def _summary(self, label: int, voxel_size_A: Spacing) -> LabelSummary:
        counts = self._along[label]
        voxels = int(counts[0].sum())
        found = LabelSummary(
            label=label,
            name=self._names[label],
            voxels=voxels,
            fraction=voxels / math.prod(self._shape),
            volume_nm3=voxels * math.prod(voxel_size_A) / _A3_PER_NM3,
        )
        if not voxels:
            return found
        centroid = [float(np.dot(count, np.arange(count.size)) / voxels) for count in counts]
        occupied = [np.flatnonzero(count) for count in counts]
        return found.model_copy(
            update={
                "centroid": tuple(centroid),
                "centroid_A": tuple(at * size for at, size in zip(centroid, voxel_size_A, strict=True)),
                "box_start": tuple(int(places[0]) for places in occupied),
                "box_stop": tuple(int(places[-1]) + 1 for places in occupied),
            }
        )
