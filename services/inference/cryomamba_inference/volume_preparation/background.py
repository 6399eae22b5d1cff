"""Background correction: slow variations of density and contrast, from specimen thickness and reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cryomamba_inference.threads import SINGLE_THREADED, ThreadTeam
from cryomamba_inference.volume_preparation.grid import spans
from cryomamba_inference.volume_preparation.padding import counted_nodes, fill_padding, find_padding
from cryomamba_inference.volume_preparation.region import NodesInside

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]

_SIDES = (8, 6, 4)  # side of a block in nodes; the first that gives enough blocks
_MIN_BLOCKS = 100
_ROUNDS = 3  # iterations of the fit without outliers
_OUTLIER = 3.0  # in robust standard deviations of the residuals
_SIGNIFICANT = 3.0  # a coefficient must exceed this many standard errors
_CORRELATED_NODES = 8000  # neighbouring nodes that hold the same structures, and count as one observation
_SLAB_NODES = 1_000_000


def correct_background(nodes: Field, padding: Flags, team: ThreadTeam = SINGLE_THREADED) -> None:
    """Prepare a volume for filtering: remove slow variations, and extrapolate into the padding.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume, modified in place; may be a memory map.
    padding : array of the same shape, bool
        Output: the nodes that were not measured, to be excluded from all statistics.
    """
    find_padding(nodes, padding, team)
    remove_gradients(nodes, padding, team)
    fill_padding(nodes, padding)


def remove_gradients(
    nodes: Field, padding: Flags, team: ThreadTeam = SINGLE_THREADED, inside: NodesInside | None = None
) -> None:
    """Remove slow variations of density and contrast from a volume; a volume too small to estimate them is unchanged.

    Filters extrapolate a volume at its borders by reflection, which turns a gradient into a ridge; and a contrast that
    varies changes the noise, which is estimated for the whole volume. Both are modelled by a polynomial: linear along
    every axis, quadratic in y and x. A quadratic term along z would remove a lamella in vacuum.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities, modified in place; may be a memory map.
    padding : array of the same shape, bool
        Nodes to exclude.
    inside : callable or None
        Which nodes count; None for all.
    """
    side = next((side for side in _SIDES if math.prod(size // side for size in nodes.shape) >= _MIN_BLOCKS), None)
    if side is None:
        return
    means, variations, positions = _block_statistics(nodes, padding, side, inside)
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


def _block_statistics(
    nodes: Field, padding: Flags, side: int, inside: NodesInside | None
) -> tuple[Reals, Reals, Reals]:
    """Return means of blocks of `side` nodes, their mean absolute differences along x, and their positions (n, 3).

    Positions run from -0.5 to 0.5 over the volume. Constant blocks and those with nodes that do not count are excluded.
    """
    means, variations, positions = [], [], []
    depth, height, width = (size // side for size in nodes.shape)
    for number in range(depth):
        box = np.s_[number * side : (number + 1) * side, 0 : height * side, 0 : width * side]
        blocks = nodes[box].reshape(side, height, side, width, side)
        counted = counted_nodes(padding, box, inside)
        complete = counted.reshape(blocks.shape).all(axis=(0, 2, 4))
        mean = blocks.mean(axis=(0, 2, 4), dtype=np.float64)
        variation = np.abs(blocks[..., 2:] - blocks[..., :-2]).mean(axis=(0, 2, 4), dtype=np.float64)
        kept = complete & (variation > 0)
        y, x = np.nonzero(kept)
        centre = (np.stack([np.full_like(y, number), y, x], axis=1) + 0.5) * side - 0.5
        means.append(mean[kept])
        variations.append(variation[kept])
        positions.append(centre / np.maximum(np.array(nodes.shape) - 1, 1) - 0.5)
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
    """Return the polynomial coefficients by least squares without outliers (gold, dense objects, vacuum).

    Coefficients that are not significant are 0; `correlated` neighbouring blocks count as one observation.
    """
    design = _monomials(*positions.T)
    coefficients, errors = _trimmed_least_squares(design, values)
    terms = np.abs(coefficients) > _SIGNIFICANT * math.sqrt(correlated) * errors
    coefficients = np.zeros(len(terms))
    if terms.any():
        coefficients[terms] = _trimmed_least_squares(design[:, terms], values)[0]
    return coefficients


def _trimmed_least_squares(design: Reals, values: Reals) -> tuple[Reals, Reals]:
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
