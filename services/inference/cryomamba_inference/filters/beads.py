"""Gold beads, and the streaks that the missing wedge draws from them.

A bead is so dense that its streaks look like membranes far away. What beads of the measured density would leave after
the wedge is subtracted, in the manner of the CLEAN method (Högbom 1974) with the tilt series' point spread function.
The beads of the whole volume are found beforehand, as few nodes are gold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from cryomamba_inference.filters.grid import Corner, spans

Field = npt.NDArray[np.float32]

_REACH_A = 800.0
_ROUNDS = 20
_STEP = 1.4
_SLAB_NODES = 4_000_000
_MOST = 200_000


@dataclass(frozen=True)
class Beads:
    """Nodes of gold in the whole volume.

    Attributes
    ----------
    nodes : array of shape (n, 3), int64
        Node numbers z, y, x, ascending.
    amounts : array of shape (n,), float32
        Density that the tilt series blurred into what was measured.
    spread : array of shape (2 r + 1, 2 r + 1), float32
        Point spread function of the tilt series in a (z, x) plane.
    """

    nodes: npt.NDArray[np.int64]
    amounts: Field
    spread: Field

    def remove(self, field: Field, first: Corner) -> Field:
        """Return a copy of a field whose first node is `first`, with beads set to 0 and without their streaks."""
        rest = field.copy()
        if not len(self.nodes):
            return rest
        gold = np.zeros(field.shape, np.bool_)
        places = self.nodes - np.asarray(first)
        size, radius = np.asarray(field.shape), len(self.spread) // 2
        near = ((places >= (-radius, 0, -radius)) & (places < size + np.array((radius, 0, radius)))).all(axis=1)
        for (z, y, x), amount in zip(places[near], self.amounts[near], strict=True):
            rows, columns = (slice(max(p - radius, 0), min(p + radius + 1, n)) for p, n in ((z, size[0]), (x, size[2])))
            top, left = rows.start - z + radius, columns.start - x + radius
            part = self.spread[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
            rest[rows, y, columns] -= amount * part
        within = ((places >= -1) & (places <= size)).all(axis=1)
        wide = np.zeros(size + 2, np.bool_)
        wide[tuple((places[within] + 1).T)] = True
        gold = ndimage.binary_dilation(wide)[1:-1, 1:-1, 1:-1]
        rest[gold] = 0
        return rest


def find_beads(
    nodes: Field, *, level: float, sign: float, limit: float, step_A: float, tilt_deg: float | None
) -> Beads:
    """Keep the nodes of a volume whose density above `level` (times `sign`) exceeds `limit`.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume; may be a memory map.
    tilt_deg : float or None
        Largest tilt of the series about y, None for no missing wedge.
    """
    found, dense = [], []
    planes = max(1, _SLAB_NODES // (nodes.shape[1] * nodes.shape[2]))
    for low, high in spans(len(nodes), planes):
        density = (nodes[low:high] - np.float32(level)) * np.float32(sign)
        # The nodes beside gold hold some of it, and so draw streaks as well.
        gold = np.argwhere(ndimage.binary_dilation(density > limit))
        dense.append(density[tuple(gold.T)])
        gold[:, 0] += low
        found.append(gold)
    places, measured = np.concatenate(found), np.concatenate(dense)
    if len(places) > _MOST:
        return no_beads()
    spread = _spread(step_A, tilt_deg)
    return Beads(places, _amounts(places, measured, spread), spread)


def no_beads() -> Beads:
    """Return an empty list."""
    return Beads(np.empty((0, 3), np.int64), np.empty(0, np.float32), np.ones((1, 1), np.float32))


@lru_cache(maxsize=4)
def _spread(step_A: float, tilt_deg: float | None) -> Field:
    if tilt_deg is None:
        return np.ones((1, 1), np.float32)
    reach = int(np.ceil(_REACH_A / step_A))
    size = 8 * reach
    kz, kx = scipy.fft.fftfreq(size)[:, None], scipy.fft.fftfreq(size)[None, :]
    kept = np.abs(kz) <= np.abs(kx) * np.tan(np.radians(tilt_deg)) + 1e-12
    plane = np.fft.fftshift(scipy.fft.ifft2(kept.astype(np.float64)).real)
    middle = slice(size // 2 - reach, size // 2 + reach + 1)
    return np.asarray(plane[middle, middle], np.float32)


def _amounts(nodes: npt.NDArray[np.int64], measured: Field, spread: Field) -> Field:
    """Solve for the densities that would have been measured as `measured`; rows of y do not touch each other."""
    amounts = np.zeros_like(measured)
    radius = len(spread) // 2
    for row in np.unique(nodes[:, 1]):
        here = np.flatnonzero(nodes[:, 1] == row)
        gap = nodes[here, None] - nodes[here]
        near = (np.abs(gap[..., 0]) <= radius) & (np.abs(gap[..., 2]) <= radius)
        zs, xs = (np.clip(gap[..., a] + radius, 0, 2 * radius) for a in (0, 2))
        blur = np.where(near, spread[zs, xs], np.float32(0))
        share = np.zeros(len(here), np.float32)
        for _ in range(_ROUNDS):
            share = np.maximum(share + np.float32(_STEP) * (measured[here] - blur @ share), 0)
        amounts[here] = share
    return amounts
