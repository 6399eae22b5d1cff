"""Smoothing of votes, so that a voxel of noise does not stand alone. In whole numbers, hence exact."""

from __future__ import annotations

from typing import Final

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape

BACKGROUND: Final = (3, 2)
"""A label needs more than 3/5 of the votes that it shares with the background: the background is most of a volume, and
people paint as much of it as of the structures. Chosen by ``benchmarks/pixels_accuracy.py``."""
MARGIN: Shape = (1, 2, 2)
"""Voxels around a box whose votes count."""

Votes = npt.NDArray[np.uint16]


def winners(votes: Votes, before: Shape, shape: Shape, *, background: bool = False) -> npt.NDArray[np.uint8]:
    """Return the class with the most smoothed votes for each voxel of a box; among equals the first.

    The kernel is binomial: (1, 2, 1) along z and (1, 4, 6, 4, 1) along y and x. Beyond the array, which ends where the
    volume does, the nearest votes count.

    Parameters
    ----------
    votes : array of shape (classes, z, y, x), uint16
        Of the box and what the volume has of the :data:`MARGIN`.
    before : tuple of int
        Voxels of the margin before the box.
    shape : tuple of int
        Of the box.
    background : bool
        Whether the first class is the background, of which a vote counts as in :data:`BACKGROUND`.
    """
    out = np.empty(shape, np.uint8)
    _winners(votes, np.array(before), out, *(BACKGROUND if background else (1, 1)))
    return out


def entropies(votes: Votes, before: Shape, shape: Shape) -> npt.NDArray[np.uint8]:
    """Return the entropy of the shares of the smoothed votes, in percent of the largest; arguments as before."""
    out = np.empty(shape, np.uint8)
    _entropies(votes, np.array(before), out)
    return out


@nb.njit(cache=True, nogil=True)
def _winners(votes, before, out, first, others):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    columns = out.shape[2]
    best, totals = np.empty(columns, np.int64), np.empty(columns, np.int64)
    line = np.empty(votes.shape[3], np.int64)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for label in range(len(votes)):
                _smooth(votes[label], z + before[0], y + before[1], before[2], line, totals)
                weight = first if label == 0 else others
                for x in range(columns):
                    if label == 0 or weight * totals[x] > best[x]:
                        best[x] = weight * totals[x]
                        out[z, y, x] = label


@nb.njit(cache=True, nogil=True)
def _entropies(votes, before, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    columns = out.shape[2]
    totals = np.empty((len(votes), columns), np.int64)
    line = np.empty(votes.shape[3], np.int64)
    largest = np.log(len(votes))
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for label in range(len(votes)):
                _smooth(votes[label], z + before[0], y + before[1], before[2], line, totals[label])
            for x in range(columns):
                cast, entropy = totals[:, x].sum(), 0.0
                for label in range(len(votes)):
                    if totals[label, x] > 0:
                        share = totals[label, x] / cast
                        entropy -= share * np.log(share)
                out[z, y, x] = round(100.0 * entropy / largest)


@nb.njit(cache=True, nogil=True, inline="always")
def _smooth(votes, a, middle, first, line, totals):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Set the smoothed votes of one class along a line of the box."""
    depth, height, width = votes.shape
    above, below = max(a - 1, 0), min(a + 1, depth - 1)
    line[:] = 0
    for step in range(-2, 3):
        b = min(max(middle + step, 0), height - 1)
        weight = 6 if step == 0 else (4 if abs(step) == 1 else 1)
        for x in range(width):
            line[x] += weight * (
                np.int64(votes[above, b, x]) + 2 * np.int64(votes[a, b, x]) + np.int64(votes[below, b, x])
            )
    for x in range(len(totals)):
        c = x + first
        totals[x] = (
            line[max(c - 2, 0)]
            + 4 * line[max(c - 1, 0)]
            + 6 * line[c]
            + 4 * line[min(c + 1, width - 1)]
            + line[min(c + 2, width - 1)]
        )
