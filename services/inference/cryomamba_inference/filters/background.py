"""What changes slowly over a volume and is no structure: density and contrast, by thickness and reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.grid import spans
from cryomamba_inference.filters.padding import fill_padding, find_padding
from cryomamba_inference.threads import ALONE, Crew

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]

_BLOCK = 8
_FEWEST = 60
_ROUNDS = 3
_OUTLIER = 3.0
_EXPECTED = 0.3
_ALIKE = 16
_SLAB_NODES = 1_000_000


def even_out(nodes: Field, padding: Flags, crew: Crew = ALONE) -> None:
    """Make a volume one that filters can be laid over: without slow changes, and continued into its padding.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume, changed in place; may be a memory map.
    padding : array of the same shape, bool
        Written: the nodes that were not measured. What is found there is to be left out of every count.
    crew : Crew
    """
    find_padding(nodes, padding, crew)
    flatten(nodes, padding, crew)
    fill_padding(nodes, padding)


def flatten(nodes: Field, padding: Flags, crew: Crew = ALONE) -> None:
    """Take slow changes of density and contrast out of a volume; where it is too small to tell, it stays.

    A filter continues a volume at its borders by reflection, and a slope has a fold there; where contrast is
    twice as high, so is the noise, which is measured for all places together. Both are described by a slope along
    every axis and a bend in the plane. Along z there is no bend: a lamella in vacuum is one, and stays.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities, changed in place. May be a memory map.
    padding : array of the same shape, bool
        What to leave out.
    crew : Crew
    """
    means, changes, places = _survey(nodes, padding)
    if len(means) < _FEWEST:
        return
    density, contrast = _fit(places, means), _fit(places, np.log(changes), expected=_EXPECTED)
    level = float(np.median(means))
    offset = float(np.median(_terms(*places.T) @ density))
    scale = float(np.median(_terms(*places.T) @ contrast))

    def correct(slab: tuple[int, int]) -> None:
        low, high = slab
        at = _places((slab, (0, nodes.shape[1]), (0, nodes.shape[2])), nodes.shape)
        slow = np.float32(level - offset) + _surface(at, density)
        gain = np.exp(np.float32(scale) - _surface(at, contrast))
        nodes[low:high] = (nodes[low:high] - slow) * gain + np.float32(level)

    crew.map(correct, spans(len(nodes), max(1, _SLAB_NODES // (nodes.shape[1] * nodes.shape[2]))))


def _survey(nodes: Field, padding: Flags) -> tuple[Reals, Reals, Reals]:
    """Return the mean of blocks of nodes, the mean change from node to node in them, and their places (n, 3).

    Blocks with padding, and those in which nothing changes, are left out.
    """
    means, changes, places = [], [], []
    _, height, width = (size // _BLOCK for size in nodes.shape)
    for low in range(0, len(nodes) - _BLOCK + 1, _BLOCK):
        slab = np.asarray(nodes[low : low + _BLOCK, : height * _BLOCK, : width * _BLOCK])
        blocks = slab.reshape(_BLOCK, height, _BLOCK, width, _BLOCK)
        empty = padding[low : low + _BLOCK, : height * _BLOCK, : width * _BLOCK].reshape(blocks.shape)
        mean = blocks.mean(axis=(0, 2, 4), dtype=np.float64)
        change = np.abs(blocks[..., 2:] - blocks[..., :-2]).mean(axis=(0, 2, 4), dtype=np.float64)
        kept = ~empty.any(axis=(0, 2, 4)) & (change > 0)
        y, x = np.nonzero(kept)
        means.append(mean[kept])
        changes.append(change[kept])
        middle = (np.stack([np.full_like(y, low // _BLOCK), y, x], axis=1) + 0.5) * _BLOCK - 0.5
        places.append(middle / np.maximum(np.array(nodes.shape) - 1, 1) - 0.5)
    if not means:
        return np.empty(0), np.empty(0), np.empty((0, 3))
    return np.concatenate(means), np.concatenate(changes), np.concatenate(places)


def _places(box: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> list[Field]:
    axes = [np.arange(a, b, dtype=np.float32) / max(size - 1, 1) - 0.5 for (a, b), size in zip(box, shape, strict=True)]
    return list(np.ix_(*axes))


def _surface(at: Sequence[Field], amounts: Reals) -> Field:
    z, y, x = at
    a, b, c, d, e, f = amounts.astype(np.float32)
    return np.asarray(a * z + (b * y + c * x + d * y * y + e * x * x + f * y * x), np.float32)


def _terms(z: Reals, y: Reals, x: Reals) -> Reals:
    return np.stack([z, y, x, y * y, x * x, y * x], axis=1)


def _fit(places: Reals, values: Reals, expected: float = np.inf) -> Reals:
    """Return the amounts of the terms, by least squares without what is far off: gold, dense patches, vacuum.

    The less the blocks agree, the less is believed of amounts that are about as large as `expected`; neighbours
    hold the same structures and count as one.
    """
    design = _terms(*places.T)
    kept = np.ones(len(values), np.bool_)
    amounts = np.zeros(design.shape[1])
    spread = float(values.std())
    for _ in range(_ROUNDS):
        centred = design[kept] - design[kept].mean(axis=0)
        doubt = _ALIKE * spread**2 / expected**2 * np.eye(len(amounts))
        amounts = np.linalg.pinv(centred.T @ centred + doubt) @ (centred.T @ (values[kept] - values[kept].mean()))
        rest = values - design @ amounts
        rest -= np.median(rest)
        spread = 1.4826 * float(np.median(np.abs(rest)))
        kept = np.abs(rest) <= _OUTLIER * spread + 1e-12
    return amounts
