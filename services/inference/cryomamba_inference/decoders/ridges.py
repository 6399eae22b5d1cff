"""Points on the centrelines of filaments: ridges of the smoothed probability. Pure; lengths are in nodes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryomamba_inference.decoders.centrelines import CONSTANTS, CentrelineConstants

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

_ANGLES = np.arange(8) * (np.pi / 4)  # around the line
_MIN_SIGMA = 0.8  # nodes, for derivatives that are smooth


def find_ridge(
    probability: Field, radius: float, constants: CentrelineConstants = CONSTANTS
) -> tuple[Points, Points, Field]:
    """Return centreline nodes (n, 3), their directions (n, 3), and the smoothed probability (n,) at each.

    A node is on a centreline if no probability one node away across the line is higher. The direction is the
    eigenvector of the Hessian whose eigenvalue is the smallest in magnitude (Frangi et al., MICCAI 1998).

    Parameters
    ----------
    probability : array of shape (z, y, x), float32
        Probability that a node is in a filament.
    radius : float
        Of the filaments, in nodes.
    """
    smooth = ndimage.gaussian_filter(probability, max(constants.smoothing * radius, _MIN_SIGMA))
    nodes = np.argwhere(smooth >= constants.floor)
    if not len(nodes):
        return np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.float32)
    values = smooth[tuple(nodes.T)]
    frame, roundness = _frames(smooth, nodes)
    near = _around(smooth, nodes, frame, 1.0)
    far = _around(probability, nodes, frame, constants.outside * radius)
    kept = (near <= values).all(axis=0) & (np.median(far, axis=0) <= constants.max_outside * values)
    kept &= roundness >= constants.roundness
    return nodes[kept].astype(np.float64), frame[kept, :, 0].astype(np.float64), values[kept]


def _frames(smooth: Field, nodes: npt.NDArray[np.int64]) -> tuple[Field, Field]:
    """Return unit vectors (n, 3, 3) as columns, along the line and two across it, and how round the line is (n,)."""
    first = [_derivative(smooth, axis) for axis in range(3)]
    hessian = np.empty((len(nodes), 3, 3), np.float32)
    for row in range(3):
        for column in range(row, 3):
            hessian[:, row, column] = hessian[:, column, row] = _derivative(first[row], column)[tuple(nodes.T)]
    values, vectors = np.linalg.eigh(hessian)
    order = np.argsort(np.abs(values), axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    roundness = ordered[:, 1] / np.where(ordered[:, 2] < 0, ordered[:, 2], -np.inf)
    frames = np.take_along_axis(vectors, order[:, None, :], axis=2)
    return np.asarray(frames, np.float32), np.asarray(roundness, np.float32)


def _derivative(field: Field, axis: int) -> Field:
    """Return the derivative along an axis; along an axis of one node nothing changes."""
    if field.shape[axis] == 1:
        return np.zeros_like(field)
    return np.asarray(np.gradient(field, axis=axis), np.float32)


def _around(field: Field, nodes: npt.NDArray[np.int64], frames: Field, distance: float) -> Field:
    """Return the field (8, n) on a circle around each node, across the line; it goes on beyond the border."""
    samples = []
    for angle in _ANGLES:
        offset = np.cos(angle) * frames[:, :, 1] + np.sin(angle) * frames[:, :, 2]
        at = nodes + np.float32(distance) * offset
        samples.append(ndimage.map_coordinates(field, at.T, order=1, mode="nearest"))
    return np.array(samples, np.float32)
