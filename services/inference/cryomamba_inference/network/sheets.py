"""Maps of plate responses at half the network's resolution, on disk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import scipy.fft

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.network.plates import PlateBank
from cryomamba_inference.volume_preparation.grid import Field, spans
from cryomamba_inference.volume_preparation.scale import Scale

BANKS = (PlateBank(1.0, 2.0), PlateBank(1.0, 4.0))
MAPS = 2 * len(BANKS)
"""Of each bank, the response to sheets of higher and of lower density."""
_BOX = 96  # half nodes of the side of a box that is filtered at a time
_REACH = max(bank.reach for bank in BANKS)
LIMITS = (-5, 25)
"""Normalized responses are clipped to this, in deviations, as in training."""
_UNIT = np.float32(0.3)  # of the network's input, per deviation

Maps = Field | npt.NDArray[np.float16]
Box = tuple[tuple[int, int], ...]
"""First and one-past-last half node along z, y, x."""


def normalized_sheets(maps: Maps, scales: Sequence[Scale]) -> Field:
    """Return plate maps (MAPS, z, y, x) in deviations from the level of each: noise is alike in every volume."""
    found = np.empty(maps.shape, np.float32)
    for field, scale, out in zip(maps, scales, found, strict=True):
        np.clip((field - np.float32(scale.level)) / np.float32(scale.deviation), *LIMITS, out=out)
    found *= _UNIT
    return found


def half(field: Field) -> Field:
    """Average blocks of 2 × 2 × 2 nodes; at the end of an odd axis the last node counts twice."""
    field = np.pad(field, [(0, size % 2) for size in field.shape], mode="edge")
    z, y, x = (size // 2 for size in field.shape)
    return np.asarray(field.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5)), np.float32)


def half_shape(shape: Shape) -> Shape:
    """Return the shape of :func:`half`."""
    return -(-shape[0] // 2), -(-shape[1] // 2), -(-shape[2] // 2)


def sheet_boxes(shape: Shape, wanted: Callable[[Slices], bool] = lambda _: True) -> list[Box]:
    """Return the boxes in which the maps of a whole volume are computed.

    Parameters
    ----------
    shape : tuple of int
        Nodes of the volume.
    wanted : callable
        Whether the maps are needed in a box of nodes.
    """
    ranges = (spans(size, _BOX) for size in half_shape(shape))
    return [box for box in itertools.product(*ranges) if wanted(_nodes(box, shape))]


@dataclass(frozen=True, slots=True)
class SheetFilter:
    """Computes the maps of boxes in whatever process; picklable if `read` is.

    Attributes
    ----------
    read : callable
        Returns the normalized densities of a box of nodes.
    shape : tuple of int
        Nodes of the volume.
    """

    read: Callable[[Slices], Field]
    shape: Shape

    def __call__(self, box: Box) -> npt.NDArray[np.float16]:
        """Return the maps (MAPS, z, y, x) of a box."""
        sizes = half_shape(self.shape)
        wide = [(max(a - _REACH, 0), min(b + _REACH, n)) for (a, b), n in zip(box, sizes, strict=True)]
        z, y, x = (slice(a - low, b - low) for (a, b), (low, _) in zip(box, wide, strict=True))
        found = np.empty((MAPS, *(b - a for a, b in box)), np.float16)
        for index, response in enumerate(_responses(half(self.read(_nodes(wide, self.shape))), (z, y, x))):
            found[index] = response
        return found


def store_sheets(maps: Maps, box: Box, found: npt.NDArray[np.float16]) -> None:
    """Write the maps of a box into those of the volume, which may be a memory map."""
    maps[(slice(None), *(slice(a, b) for a, b in box))] = found


def sheet_tasks(sheets: SheetFilter, boxes: Sequence[Box], maps: Maps) -> list[Callable[[], None]]:
    """Return tasks that compute boxes of the maps of a volume, an array of shape (MAPS, z, y, x)."""
    return [partial(_fill, sheets, maps, box) for box in boxes]


def _nodes(box: Sequence[tuple[int, int]], shape: Shape) -> Slices:
    """Return the nodes of a box of half nodes."""
    z, y, x = (slice(2 * a, min(2 * b, n)) for (a, b), n in zip(box, shape, strict=True))
    return z, y, x


def _fill(sheets: SheetFilter, maps: Maps, box: Box) -> None:
    store_sheets(maps, box, sheets(box))


def _responses(field: Field, inner: Slices) -> list[Field]:
    periodic = field
    for axis, size in enumerate(field.shape):
        period = scipy.fft.next_fast_len(size + min(_REACH, size), real=True)
        periodic = np.take(periodic, _continued(size, period), axis)
    return [found for bank in BANKS for found in bank.extremes(periodic, inner)]


def _continued(size: int, period: int) -> npt.NDArray[np.int64]:
    """Return the indices of a period: the axis, half of the rest reflected at its end, the other half at its start."""
    back = (period - size + 1) // 2
    after = np.arange(size - 1, size - 1 - back, -1)
    before = np.arange(period - size - back - 1, -1, -1)
    indices: npt.NDArray[np.int64] = np.concatenate([np.arange(size), after, before])
    return np.clip(indices, 0, size - 1)
