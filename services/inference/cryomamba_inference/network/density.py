"""Normalized densities on the working grid: what the network sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.network.grid import Field, spans

Flags = npt.NDArray[np.bool_]

LIMIT = np.float32(6)  # normalized densities are clipped to ± this, as in training
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_CONSTANT = 1e-5  # a neighbourhood whose densities differ by less, in deviations of the volume, is padding
_SAMPLE_NODES = 4_000_000  # from which levels and deviations are estimated
_SLAB_PLANES = 4
_SAMPLE_PLANES = 16


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear change of densities: (density − `level`) / `deviation`."""

    level: float
    deviation: float

    def apply(self, data: npt.NDArray[np.floating]) -> Field:
        """Return scaled densities; in float64 within, so that neither offset nor range costs precision."""
        scaled = np.empty(data.shape, np.float32)
        for plane, out in zip(data, scaled, strict=True):
            out[...] = (plane.astype(np.float64) - self.level) / self.deviation
        return scaled


def raw_scale(read: Callable[[Slices], Field], shape: Shape) -> Scale:
    """Return mean and standard deviation of a few planes of a volume, for numbers of moderate size."""
    planes = np.unique(np.linspace(0, shape[0] - 1, _SAMPLE_PLANES).astype(int))
    rows, columns = slice(0, shape[1]), slice(0, shape[2])
    sample = np.stack([read((slice(z, z + 1), rows, columns))[0, ::2, ::2] for z in planes]).astype(np.float64)
    level = float(sample.mean())
    deviation = float(sample.std())
    return Scale(level, deviation or 1.0)


def find_padding(nodes: Field) -> Flags:
    """Return the nodes around which nothing varies: padding of rotated and shifted volumes, and what borders on it."""
    spread = ndimage.maximum_filter(nodes, 3, mode="nearest") - ndimage.minimum_filter(nodes, 3, mode="nearest")
    constant = spread < _CONSTANT
    return np.asarray(ndimage.binary_dilation(constant, np.ones((3, 3, 3), np.bool_)) if constant.any() else constant)


def node_scale(nodes: Field) -> Scale:
    """Return median and scaled MAD of the nodes that are not padding."""
    return _robust(np.concatenate([slab[~find_padding(slab)] for slab in _samples(nodes)]))


def map_scales(maps: Field, nodes: Field) -> list[Scale]:
    """Return median and scaled MAD of each map (n, z / 2, y / 2, x / 2), without the padding of the nodes (z, y, x)."""
    values: list[list[Field]] = [[] for _ in maps]
    for low, high in _sample_spans(len(maps[0]), maps[0, 0].size):
        measured = ~find_padding(np.asarray(nodes[2 * low : 2 * high]))[::2, ::2, ::2]
        for field, found in zip(maps, values, strict=True):
            found.append(np.asarray(field[low:high], np.float32)[measured])
    return [_robust(np.concatenate(found)) for found in values]


def _samples(nodes: Field) -> Iterator[Field]:
    for low, high in _sample_spans(len(nodes), nodes[0].size):
        yield np.asarray(nodes[low:high])


def _sample_spans(planes: int, plane_size: int) -> list[tuple[int, int]]:
    """Return slabs spread over a volume that have at most `_SAMPLE_NODES` nodes together."""
    slabs = spans(planes, _SLAB_PLANES)
    most = max(1, _SAMPLE_NODES // (_SLAB_PLANES * plane_size))
    return [slabs[index] for index in np.unique(np.linspace(0, len(slabs) - 1, min(most, len(slabs))).astype(int))]


def _robust(values: Field) -> Scale:
    if not values.size:
        return Scale(0.0, 1.0)
    level = float(np.median(values))
    return Scale(level, _MAD_TO_DEVIATION * float(np.median(np.abs(values - level))) or 1.0)


def normalized(nodes: Field, scale: Scale, sign: int) -> Field:
    """Return densities in deviations from the level, positive for dense matter, and 0 in padding.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
    scale : Scale
        Of the whole volume.
    sign : int
        −1 where dense matter is dark, 1 where it is bright.
    """
    field = (nodes - np.float32(scale.level)) * np.float32(sign / scale.deviation)
    field[find_padding(nodes)] = 0
    return np.clip(field, -LIMIT, LIMIT, out=field)
