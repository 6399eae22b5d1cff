"""Maps of plate responses at half the network's resolution, on disk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
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


def sheet_tasks(
    read: Callable[[Slices], Field], shape: Shape, maps: Maps, wanted: Callable[[Slices], bool] = lambda _: True
) -> list[Callable[[], None]]:
    """Return tasks that compute the maps of a whole volume, box by box.

    Parameters
    ----------
    read : callable
        Returns the normalized densities of a box of nodes.
    shape : tuple of int
        Nodes of the volume.
    maps : array of shape (MAPS, z, y, x), float16
        Output at half the resolution; may be a memory map.
    wanted : callable
        Whether the maps are needed in a box of nodes.
    """
    ranges = (spans(size, _BOX) for size in maps.shape[1:])
    boxes = [(z, y, x) for z, y, x in itertools.product(*ranges)]
    return [partial(_fill, read, shape, maps, box) for box in boxes if wanted(_nodes(box, shape))]


def _nodes(box: Sequence[tuple[int, int]], shape: Shape) -> Slices:
    """Return the nodes of a box of half nodes."""
    z, y, x = (slice(2 * a, min(2 * b, n)) for (a, b), n in zip(box, shape, strict=True))
    return z, y, x


def _fill(read: Callable[[Slices], Field], shape: Shape, maps: Maps, box: tuple[tuple[int, int], ...]) -> None:
    wide = [(max(a - _REACH, 0), min(b + _REACH, n)) for (a, b), n in zip(box, maps.shape[1:], strict=True)]
    inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(box, wide, strict=True))
    where = [slice(a, b) for a, b in box]
    for index, response in enumerate(_responses(half(read(_nodes(wide, shape))), (inner[0], inner[1], inner[2]))):
        maps[(slice(index, index + 1), *where)] = response


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
