"""Picks: coordinates in a tomogram, each with a score and a label. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["particles", "filaments", "membranes"]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picks:
    """Coordinates that an engine has found.

    Attributes
    ----------
    positions : ndarray of float64, shape (n, 3)
        z, y, x in voxels; the centre of the first voxel is 0.0.
    scores : ndarray of float64, shape (n,)
        Higher is more certain; 0 to 255 for engines with score maps. NaN for a pick without a score.
    labels : ndarray of int64, shape (n,)
        Particles: label in the mask, from 1. Filaments: number of the filament, from 1; its points are consecutive and
        ordered along it. Membranes: number of the connected component.
    kind : {'particles', 'filaments', 'membranes'}
        Meaning of the labels.
    normals : ndarray of float64, shape (n, 3), or None
        Membranes: unit normals (z, y, x) in physical space.
    """

    positions: Floats
    scores: Floats
    labels: Numbers
    kind: Kind = "particles"
    normals: Floats | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def objects(self) -> int:
        """Number of particles, filaments or membrane components."""
        return len(self) if self.kind == "particles" else int(np.unique(self.labels).size)

    def select(self, which: npt.NDArray[Any]) -> Picks:
        """Return some of the picks, by a boolean mask or by indices."""
        normals = None if self.normals is None else self.normals[which]
        return replace(
            self, positions=self.positions[which], scores=self.scores[which], labels=self.labels[which], normals=normals
        )

    def indices_above(self, high: float, low: float) -> Numbers:
        """Return the indices of the picks at or above hysteresis thresholds; scores are rounded down, as in a mask.

        Particles are kept if their score is at least `high`. Of filaments, runs of at least two points are kept whose
        scores are all at least `low` and at least once `high`; the longest comes first. Membranes are always kept.
        """
        scores = np.floor(self.scores)
        if self.kind != "filaments":
            return np.flatnonzero((scores >= high) | (self.kind == "membranes"))
        strong = np.flatnonzero(scores >= low)
        apart = (np.diff(strong) > 1) | (np.diff(self.labels[strong]) != 0)
        runs = np.split(strong, np.flatnonzero(apart) + 1)
        kept = [run for run in runs if len(run) > 1 and scores[run].max() >= high]
        return np.concatenate([*sorted(kept, key=lambda run: -len(run)), np.empty(0, np.int64)])

    def above(self, high: float, low: float) -> Picks:
        """Return the picks at or above hysteresis thresholds (:meth:`indices_above`), with filaments renumbered."""
        return self.split_filaments(self.indices_above(high, low))

    def split_filaments(self, indices: Numbers) -> Picks:
        """Return some of the picks, by indices; filaments are split at gaps and renumbered."""
        left = self.select(indices)
        if self.kind != "filaments":
            return left
        begins = np.ones(len(indices), np.int64)
        begins[1:] = (np.diff(indices) != 1) | (np.diff(left.labels) != 0)
        return replace(left, labels=np.cumsum(begins))

    def track_lengths_A(self, voxel_size_A: tuple[float, float, float]) -> Floats:
        """Return the arc length in Å from the start of its filament to each point; 0 for particles."""
        along = np.zeros(len(self))
        if self.kind == "filaments" and len(self) > 1:
            steps = np.linalg.norm(np.diff(self.positions * voxel_size_A, axis=0), axis=1)
            along[1:] = np.cumsum(steps)
            _, first, number = np.unique(self.labels, return_index=True, return_inverse=True)
            along -= along[first][number]
        return along


def empty_picks(kind: Kind = "particles") -> Picks:
    """Return no picks."""
    normals = np.empty((0, 3)) if kind == "membranes" else None
    return Picks(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64), kind, normals)
