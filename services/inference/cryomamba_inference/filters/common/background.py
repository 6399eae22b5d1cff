"""What changes slowly over a volume and is no structure: density and contrast, by thickness and reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.common.grid import spans
from cryomamba_inference.filters.common.padding import fill_padding, find_padding
from cryomamba_inference.threads import SINGLE_THREADED, ThreadTeam

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]

_SIDES = (8, 6, 4)
_MIN_BLOCKS = 100
_ROUNDS = 3
_OUTLIER = 3.0
_SIGNIFICANT = 3.0
_CORRELATED_NODES = 8000
_SLAB_NODES = 1_000_000


def correct_background(nodes: Field, padding: Flags, team: ThreadTeam = SINGLE_THREADED) -> None:
    """Make a volume one that filters can be laid over: without slow changes, and continued into its padding.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume, changed in place; may be a memory map.
    padding : array of the same shape, bool
        Written: the nodes that were not measured. What is found there is to be left out of every count.
    team : ThreadTeam
    """
    find_padding(nodes, padding, team)
    remove_gradients(nodes, padding, team)
    fill_padding(nodes, padding)


def remove_gradients(nodes: Field, padding: Flags, team: ThreadTeam = SINGLE_THREADED) -> None:
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
    team : ThreadTeam
    """
    side = next((side for side in _SIDES if math.prod(size // side for size in nodes.shape) >= _MIN_BLOCKS), None)
    if side is None:
        return
    means, variations, positions = _block_statistics(nodes, padding, side)
    if len(means) < _MIN_BLOCKS / 2:
        return
    density, contrast = (
        _fit_polynomial(positions, values, _CORRELATED_NODES / side**3) for values in (means, np.log(variations))
    )
    if not density.any() and not contrast.any():
        return
    level = float(np.median(means))
    offset = float(np.median(_monomials(*positions.T) @ density))
    scale = float(np.median(_monomials(*positions.T) @ contrast))

    def correct(slab: tuple[int, int]) -> None:
        low, high = slab
        coordinates = _coordinates((slab, (0, nodes.shape[1]), (0, nodes.shape[2])), nodes.shape)
        slow = np.float32(level - offset) + _polynomial(coordinates, density)
        gain = np.exp(np.float32(scale) - _polynomial(coordinates, contrast))
        nodes[low:high] = (nodes[low:high] - slow) * gain + np.float32(level)

    team.map(correct, spans(len(nodes), max(1, _SLAB_NODES // (nodes.shape[1] * nodes.shape[2]))))


def _block_statistics(nodes: Field, padding: Flags, side: int) -> tuple[Reals, Reals, Reals]:
    """Return the mean of blocks, `side` nodes wide, the mean change from node to node in them, and their places (n, 3).

    Blocks with padding, and those in which nothing changes, are left out.
    """
    means, variations, positions = [], [], []
    depth, height, width = (size // side for size in nodes.shape)
    for number in range(depth):
        box = np.s_[number * side : (number + 1) * side, : height * side, : width * side]
        blocks = nodes[box].reshape(side, height, side, width, side)
        empty = padding[box].reshape(blocks.shape).any(axis=(0, 2, 4))
        mean = blocks.mean(axis=(0, 2, 4), dtype=np.float64)
        variation = np.abs(blocks[..., 2:] - blocks[..., :-2]).mean(axis=(0, 2, 4), dtype=np.float64)
        kept = ~empty & (variation > 0)
        y, x = np.nonzero(kept)
        center = (np.stack([np.full_like(y, number), y, x], axis=1) + 0.5) * side - 0.5
        means.append(mean[kept])
        variations.append(variation[kept])
        positions.append(center / np.maximum(np.array(nodes.shape) - 1, 1) - 0.5)
    return np.concatenate(means), np.concatenate(variations), np.concatenate(positions)


def _coordinates(box: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> list[Field]:
    axes = [np.arange(a, b, dtype=np.float32) / max(size - 1, 1) - 0.5 for (a, b), size in zip(box, shape, strict=True)]
    return list(np.ix_(*axes))


def _polynomial(coordinates: Sequence[Field], coefficients: Reals) -> Field:
    z, y, x = coordinates
    a, b, c, d, e, f = coefficients.astype(np.float32)
    return np.asarray(a * z + (b * y + c * x + d * y * y + e * x * x + f * y * x), np.float32)


def _monomials(z: Reals, y: Reals, x: Reals) -> Reals:
    return np.stack([z, y, x, y * y, x * x, y * x], axis=1)


def _fit_polynomial(positions: Reals, values: Reals, correlated: float) -> Reals:
    """Return the amounts of the terms, by least squares without what is far off: gold, dense patches, vacuum.

    A term that structures could have made by chance is 0; so many neighbours as `alike` hold the same structures, and
    count as one.
    """
    design = _monomials(*positions.T)
    coefficients, errors = _trimmed_least_squares(design, values)
    terms = np.abs(coefficients) > _SIGNIFICANT * math.sqrt(correlated) * errors
    coefficients = np.zeros(len(terms))
    if terms.any():
        coefficients[terms] = _trimmed_least_squares(design[:, terms], values)[0]
    return coefficients


def _trimmed_least_squares(design: Reals, values: Reals) -> tuple[Reals, Reals]:
    """Return the amounts and their standard errors."""
    kept = np.ones(len(values), np.bool_)
    for _ in range(_ROUNDS):
        centred = design[kept] - design[kept].mean(axis=0)
        inverse = np.linalg.pinv(centred.T @ centred)
        coefficients = inverse @ (centred.T @ (values[kept] - values[kept].mean()))
        residuals = values - design @ coefficients
        residuals -= np.median(residuals)
        deviation = 1.4826 * float(np.median(np.abs(residuals)))
        kept = np.abs(residuals) <= _OUTLIER * deviation
    return coefficients, deviation * np.sqrt(np.maximum(np.diag(inverse), 0))
