"""Normalized densities on the working grid: what the network sees."""

from __future__ import annotations

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba_inference.volume_preparation.grid import Field
from cryomamba_inference.volume_preparation.padding import counted_nodes
from cryomamba_inference.volume_preparation.region import Flags, NodesInside
from cryomamba_inference.volume_preparation.scale import Scale

LIMIT = np.float32(6)  # normalized densities are clipped to ± this, as in training
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_SAMPLE_NODES = 4_000_000  # from which levels and deviations are estimated
_SLAB_PLANES = 4
_SAMPLE_SLABS = 6  # at least, where the volume has them


def node_scale(nodes: Field, padding: Flags, inside: NodesInside | None = None) -> Scale:
    """Return median and scaled MAD of the nodes that are not padding, of those in a region only if there is one."""
    slabs = _sample_slabs(nodes.shape, inside)
    values = [np.asarray(nodes[slab])[counted_nodes(padding, slab, inside)][:: _stride(slabs)] for slab in slabs]
    sample = np.concatenate(values)
    # A region may lie between the nodes.
    return _robust(sample) if sample.size or inside is None else node_scale(nodes, padding)


def map_scales(maps: Field, padding: Flags, inside: NodesInside | None = None) -> list[Scale]:
    """Return the same of each map (n, z / 2, y / 2, x / 2), given the padding of the nodes (z, y, x)."""
    values: list[list[Field]] = [[] for _ in maps]
    slabs = _sample_slabs(padding.shape, inside)
    for slab in slabs:
        counted = counted_nodes(padding, slab, inside)[::2, ::2, ::2]
        planes = slice(slab[0].start // 2, -(-slab[0].stop // 2))
        for field, found in zip(maps, values, strict=True):
            found.append(np.asarray(field[planes], np.float32)[counted][:: _stride(slabs)])
    samples = [np.concatenate(found) for found in values]
    if inside is not None and not samples[0].size:
        return map_scales(maps, padding)
    return [_robust(one) for one in samples]


def padding_share(padding: Flags) -> float:
    """Return the share of the nodes that is padding, from a sample."""
    return float(np.mean([padding[slab].mean() for slab in _sample_slabs(padding.shape, None)]))


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
