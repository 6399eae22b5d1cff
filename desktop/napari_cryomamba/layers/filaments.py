"""Filaments as lines between their points, in a Vectors layer, which napari draws fast however many there are.

In a slice, napari shows the vectors that start in it. So lines are divided into segments no longer than a voxel: then
each slice shows the part of the path that lies in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.picks import Picks
from napari_cryomamba.models.palette import color_of

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def path_segments(picks: Picks, shown: npt.NDArray[np.bool_] | None = None) -> tuple[Floats, Numbers]:
    """Return segments (n, 2, 3) of the lines through the points of each filament, and the filaments' numbers (n,).

    A segment is its start and its vector, z, y, x in voxels; it is no longer than a voxel along any axis. No line leads
    to points that are not `shown`.
    """
    visible = np.ones(len(picks), np.bool_) if shown is None else shown
    first = np.flatnonzero((np.diff(picks.labels) == 0) & visible[1:] & visible[:-1])
    start, vector = picks.positions[first], np.diff(picks.positions, axis=0)[first]
    count = np.maximum(np.ceil(np.abs(vector).max(axis=1, initial=0)), 1).astype(np.int64)
    line = np.repeat(np.arange(len(first)), count)
    index = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    step = vector[line] / count[line, None]
    return np.stack([start[line] + index[:, None] * step, step], axis=1), picks.labels[first][line]


def path_colors(numbers: Numbers) -> Any:  # noqa: ANN401 (napari takes colours in many forms)
    """Return a colour for each segment: that of its filament."""
    unique, inverse = np.unique(numbers, return_inverse=True)
    return np.array([color_of(int(number)) for number in unique])[inverse] if len(unique) else "yellow"
