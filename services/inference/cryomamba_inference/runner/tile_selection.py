"""Which tiles of a plan are computed: all, or those with voxels in the region that limits the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from cryomamba.engines.api import Labels, Points
from cryomamba.masks.region import Region, empty_region
from cryomamba.picks import Picks
from cryomamba_inference.tiling import Box, Partition


@dataclass(frozen=True, slots=True)
class TileSelection:
    """The tiles, or blocks of windows, that are computed, and what of their results counts.

    Attributes
    ----------
    plan : Partition
    region : Region or None
        None for the whole volume.
    inside : mapping of int to int
        By index of a computed tile, how many voxels of its core are in the region.
    """

    plan: Partition
    region: Region | None
    inside: Mapping[int, int]

    @classmethod
    def of(cls, plan: Partition, region: Region | None, report: Callable[[float], None]) -> Self:
        """Select the tiles; a region is read once, tile by tile.

        Raises
        ------
        InvalidRequestError
            The region is empty.
        """
        if region is None:
            return cls(plan, None, {spec.index: spec.voxels for spec in plan})
        inside = {}
        for spec in plan:
            if found := region.count(spec.target):
                inside[spec.index] = found
            report((spec.index + 1) / len(plan))
        if not inside:
            raise empty_region(region.name)
        return cls(plan, region, inside)

    def __len__(self) -> int:
        return len(self.inside)

    @property
    def voxels(self) -> int:
        """How many voxels are in the region."""
        return sum(self.inside.values())

    def skipped(self) -> list[Box]:
        """Return the tiles that are not computed: their result is background."""
        return [spec for spec in self.plan if spec.index not in self.inside]

    def labels(self, spec: Box, labels: Labels) -> Labels:
        """Return labels or scores of a tile with 0 outside the region."""
        if self.region is None or self.inside[spec.index] == spec.voxels:
            return labels
        return np.where(self.region.read(spec.target), labels, labels.dtype.type(0))

    def points(self, points: Points) -> Points:
        """Return the points that are inside; the first three columns are their positions."""
        if self.region is None or not len(points):
            return points
        return points[self.region.contains(points[:, :3])]

    def picks(self, picks: Picks) -> Picks:
        """Return the picks that are inside; filaments are split where they leave the region."""
        if self.region is None or not len(picks):
            return picks
        return picks.split_filaments(np.flatnonzero(self.region.contains(picks.positions)))
