"""Filaments as lines between their points, in a Vectors layer, which napari draws fast however many there are.

In a section napari shows the vectors that begin in it. So lines are cut into pieces of at most a voxel: of a path, each
section has what lies in it.
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
    """Return pieces (n, 2, 3) of the lines through the points of each filament, and the filaments' numbers (n,).

    A piece is where it begins and which way it goes, z, y, x in voxels; it is no longer than a voxel along any axis.
    To points that are not `shown` no line leads.
    """
    there = np.ones(len(picks), np.bool_) if shown is None else shown
    begin = np.flatnonzero((np.diff(picks.labels) == 0) & there[1:] & there[:-1])
    start, way = picks.positions[begin], np.diff(picks.positions, axis=0)[begin]
    count = np.maximum(np.ceil(np.abs(way).max(axis=1, initial=0)), 1).astype(np.int64)
    of = np.repeat(np.arange(len(begin)), count)
    number = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    step = way[of] / count[of, None]
    return np.stack([start[of] + number[:, None] * step, step], axis=1), picks.labels[begin][of]


def path_colors(numbers: Numbers) -> Any:  # noqa: ANN401 (napari takes colours in many forms)
    """Return a colour for each piece: that of its filament."""
    each, of = np.unique(numbers, return_inverse=True)
    return np.array([color_of(int(number)) for number in each])[of] if len(each) else "yellow"
