"""Places in a tomogram with a score and a number each. Pure."""

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
    """Places that an engine has found.

    Attributes
    ----------
    positions : ndarray of float64, shape (n, 3)
        z, y, x in voxels; the centre of the first voxel is 0.0.
    scores : ndarray of float64, shape (n,)
        The higher, the surer; for engines with scores on their scale of 0 to 255.
    labels : ndarray of int64, shape (n,)
        For particles the label in the mask, from 1. For filaments the number of the filament, from 1; the points of
        one follow each other in the order in which they lie on it. For membranes the number of the connected piece.
    kind : {'particles', 'filaments', 'membranes'}
        What a label means.
    normals : ndarray of float64, shape (n, 3), or None
        Of membranes: unit vectors z, y, x in Å across the membrane.
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
        """How many particles, filaments or pieces of membrane these are."""
        return len(self) if self.kind == "particles" else int(np.unique(self.labels).size)

    def chosen(self, which: npt.NDArray[Any]) -> Picks:
        """Return some of them, by a mask or by indices."""
        normals = None if self.normals is None else self.normals[which]
        return replace(
            self,
            positions=self.positions[which],
            scores=self.scores[which],
            labels=self.labels[which],
            normals=normals,
        )

    def above(self, high: float, low: float) -> Numbers:
        """Return the indices of what another threshold leaves, the scores taken as whole numbers, as in a mask.

        A particle stays if its score reaches `high`. Of a filament, stretches of two points and more stay that reach
        `low` all along and `high` somewhere; the longest comes first. Membranes stay as they are.
        """
        scores = np.floor(self.scores)
        if self.kind != "filaments":
            return np.flatnonzero((scores >= high) | (self.kind == "membranes"))
        strong = np.flatnonzero(scores >= low)
        apart = (np.diff(strong) > 1) | (np.diff(self.labels[strong]) != 0)
        runs = np.split(strong, np.flatnonzero(apart) + 1)
        kept = [run for run in runs if len(run) > 1 and scores[run].max() >= high]
        return np.concatenate([*sorted(kept, key=lambda run: -len(run)), np.empty(0, np.int64)])

    def cut(self, high: float, low: float) -> Picks:
        """Return what another threshold leaves (:meth:`above`), filaments numbered anew."""
        return self.stretches(self.above(high, low))

    def stretches(self, at: Numbers) -> Picks:
        """Return some of them, by indices; what is left of a filament with gaps is several, numbered anew."""
        left = self.chosen(at)
        if self.kind != "filaments":
            return left
        begins = np.ones(len(at), np.int64)
        begins[1:] = (np.diff(at) != 1) | (np.diff(left.labels) != 0)
        return replace(left, labels=np.cumsum(begins))

    def track_lengths_A(self, voxel_size_A: tuple[float, float, float]) -> Floats:
        """Return how far each point lies from the first of its filament, along it, in Å; 0 for particles."""
        along = np.zeros(len(self))
        if self.kind == "filaments" and len(self) > 1:
            steps = np.linalg.norm(np.diff(self.positions * voxel_size_A, axis=0), axis=1)
            along[1:] = np.cumsum(steps)
            _, first, number = np.unique(self.labels, return_index=True, return_inverse=True)
            along -= along[first][number]
        return along


def no_picks(kind: Kind = "particles") -> Picks:
    """Return an empty list."""
    normals = np.empty((0, 3)) if kind == "membranes" else None
    return Picks(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64), kind, normals)
