"""Normalized densities on the working grid: what the network sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.volume_preparation.grid import Field
from cryomamba_inference.volume_preparation.region import Flags, NodesInside

LIMIT = np.float32(6)  # normalized densities are clipped to ± this, as in training
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_SAMPLE_NODES = 4_000_000  # from which levels and deviations are estimated
_SLAB_PLANES = 4
_SAMPLE_SLABS = 6  # at least, where the volume has them
_SAMPLE_PLANES = 16
_SAMPLE_PLANE_PIXELS = 250_000
_OUTLIERS = (0.005, 0.995)  # quantiles to which a sample is clipped before its deviation is taken
_FARTHEST = 1e6  # scaled densities are clipped to ± this, so that single large values stay finite


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear change of densities: (density − `level`) / `deviation`."""

    level: float
    deviation: float

    def apply(self, data: npt.NDArray[np.floating]) -> Field:
        """Return scaled densities; in float64 within, so that neither offset nor range costs precision."""
        scaled = np.empty(data.shape, np.float32)
        for plane, out in zip(data, scaled, strict=True):
            out[...] = np.clip((plane.astype(np.float64) - self.level) / self.deviation, -_FARTHEST, _FARTHEST)
        return scaled


def raw_scale(read: Callable[[Slices], Field], shape: Shape) -> Scale:
    """Return mean and standard deviation of a few planes of a volume without outliers, for numbers of moderate size."""
    planes = np.unique(np.linspace(0, shape[0] - 1, _SAMPLE_PLANES).astype(int))
    rows, columns = slice(0, shape[1]), slice(0, shape[2])
    stride = max(2, math.ceil(math.sqrt(shape[1] * shape[2] / _SAMPLE_PLANE_PIXELS)))
    sample = np.stack([read((slice(z, z + 1), rows, columns))[0, ::stride, ::stride] for z in planes])
    values = sample.astype(np.float64)
    usual = np.clip(values, *np.quantile(values, _OUTLIERS))
    return Scale(float(usual.mean()), float(usual.std()) or float(values.std()) or 1.0)


def node_scale(nodes: Field, padding: Flags, inside: NodesInside | None = None) -> Scale:
    """Return median and scaled MAD of the nodes that are not padding, of those in a region only if there is one."""
    slabs = _sample_slabs(nodes.shape, inside)
    values = [np.asarray(nodes[slab])[_measured(padding, slab, inside)][:: _stride(slabs)] for slab in slabs]
    sample = np.concatenate(values)
    # A region may lie between the nodes.
    return _robust(sample) if sample.size or inside is None else node_scale(nodes, padding)


def map_scales(maps: Field, padding: Flags, inside: NodesInside | None = None) -> list[Scale]:
    """Return the same of each map (n, z / 2, y / 2, x / 2), given the padding of the nodes (z, y, x)."""
    values: list[list[Field]] = [[] for _ in maps]
    slabs = _sample_slabs(padding.shape, inside)
    for slab in slabs:
        measured = _measured(padding, slab, inside)[::2, ::2, ::2]
        planes = slice(slab[0].start // 2, -(-slab[0].stop // 2))
        for field, found in zip(maps, values, strict=True):
            found.append(np.asarray(field[planes], np.float32)[measured][:: _stride(slabs)])
    samples = [np.concatenate(found) for found in values]
    if inside is not None and not samples[0].size:
        return map_scales(maps, padding)
    return [_robust(one) for one in samples]


def padding_share(padding: Flags) -> float:
    """Return the share of the nodes that is padding, from a sample."""
    return float(np.mean([padding[slab].mean() for slab in _sample_slabs(padding.shape, None)]))


def _measured(padding: Flags, slab: Slices, inside: NodesInside | None) -> Flags:
    """Return the nodes of a slab that count."""
    measured = ~padding[slab]
    return measured if inside is None else measured & inside(slab)


def _sample_slabs(shape: tuple[int, ...], inside: NodesInside | None) -> list[Slices]:
    """Return slabs that begin at even planes, spread evenly over a volume, or over its region."""
    rows, columns = slice(0, shape[1]), slice(0, shape[2])
    slabs = [(slice(z, min(z + _SLAB_PLANES, shape[0])), rows, columns) for z in range(0, shape[0], _SLAB_PLANES)]
    if inside is not None:
        slabs = [slab for slab in slabs if inside(slab).any()] or slabs
    count = min(len(slabs), max(_SAMPLE_SLABS, _SAMPLE_NODES // (_SLAB_PLANES * shape[1] * shape[2])))
    return [slabs[(2 * index + 1) * len(slabs) // (2 * count)] for index in range(count)]


def _stride(slabs: list[Slices]) -> int:
    """Return n such that every n-th value of all slabs are about `_SAMPLE_NODES`."""
    z, y, x = (nodes.stop - nodes.start for nodes in slabs[0])
    return max(1, int(len(slabs) * z * y * x // _SAMPLE_NODES))


def _robust(values: Field) -> Scale:
    if not values.size:
        return Scale(0.0, 1.0)
    level = float(np.median(values))
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(values - level)))
    return Scale(level, deviation or float(values.std(dtype=np.float64)) or 1.0)


def normalized(nodes: Field, padding: Flags, scale: Scale, sign: int) -> Field:
    """Return densities in deviations from the level, positive for dense matter, and 0 in padding.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
    padding : array of the same shape, bool
    scale : Scale
        Of the whole volume.
    sign : int
        −1 where dense matter is dark, 1 where it is bright.
    """
    field = (nodes - np.float32(scale.level)) * np.float32(sign / scale.deviation)
    field[padding] = 0
    return np.clip(field, -LIMIT, LIMIT, out=field)
