"""Centrelines of filaments: ridges of the smoothed probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RidgeOptions:
    """Constants of :func:`find_ridge`.

    Attributes
    ----------
    smoothing : float
        Standard deviation of the Gaussian, in filament radii.
    roundness : float
        Minimum ratio of the second derivatives across the line, which is 1 for a round filament and 0 for a sheet.
    floor : float
        Minimum smoothed probability of a centreline.
    outside : float
        Distance in radii at which a filament must have ended.
    largest_outside : float
        Largest probability there, relative to the centreline; a thicker filament has more.
    """

    smoothing: float = 0.5
    roundness: float = 0.15
    floor: float = 0.15
    outside: float = 2.0
    largest_outside: float = 0.6


OPTIONS = RidgeOptions()
_ANGLES = np.arange(8) * (np.pi / 4)  # around the line


def find_ridge(probability: Field, radius: float, options: RidgeOptions = OPTIONS) -> tuple[Points, Points, Field]:
    """Return centreline nodes (n, 3), their directions (n, 3), and the smoothed probability (n,) at each.

    A node is on a centreline if no probability one node away across the line is higher. The direction is the
    eigenvector of the Hessian whose eigenvalue is the smallest in magnitude (Frangi et al., MICCAI 1998).
    """
    sigma = max(options.smoothing * radius, 0.8)
    smooth = ndimage.gaussian_filter(probability, sigma)
    nodes = np.argwhere(smooth >= options.floor)
    if not len(nodes):
        return np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.float32)
    values = smooth[tuple(nodes.T)]
    frame, roundness = _frames(smooth, nodes)
    near = _around(smooth, nodes, frame, 1.0)
    far = _around(probability, nodes, frame, options.outside * radius)
    kept = (near <= values).all(axis=0) & (np.median(far, axis=0) <= options.largest_outside * values)
    kept &= roundness >= options.roundness
    return nodes[kept].astype(np.float64), frame[kept, :, 0].astype(np.float64), values[kept]


def _frames(smooth: Field, nodes: npt.NDArray[np.int64]) -> tuple[Field, Field]:
    """Return unit vectors (n, 3, 3) as columns, along the line and two across it, and how round the line is (n,)."""
    first = [_derivative(smooth, axis) for axis in range(3)]
    hessian = np.empty((len(nodes), 3, 3), np.float32)
    where = tuple(nodes.T)
    for row in range(3):
        for column in range(3):
            hessian[:, row, column] = _derivative(first[row], column)[where]
    values, vectors = np.linalg.eigh((hessian + hessian.transpose(0, 2, 1)) / 2)
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
