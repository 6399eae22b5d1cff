"""Particles: peaks of the probability in a ball of their size. Pure; lengths are in nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage
from scipy.spatial import cKDTree

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeakConstants:
    """Constants of the particle decoder, chosen on phantoms of `benchmarks.picking` with seeds of their own.

    Attributes
    ----------
    ball : float
        Radius, in particle radii, of the ball that a particle must fill; less than 1, because particles are not round.
    shell : tuple of float
        Inner and outer radius, in particle radii, of the shell that it must not fill.
    shell_weight : float
        How much of the mean probability in the shell is subtracted from that in the ball.
    window : float
        Half the side, in particle radii, of the cube in which a peak is the highest.
    separation : float
        Minimum distance between particles, in diameters.
    threshold : int
        Minimum response of a particle, in 255ths.
    max_diameter_nodes : float
        Diameter on the working grid; larger particles have a coarser one, so that the shell stays within the halo.
    seam_nodes : float
        Nodes by which two tiles may differ in the position of a particle.
    """

    ball: float = 0.8
    shell: tuple[float, float] = (1.25, 1.7)
    shell_weight: float = 0.7
    window: float = 0.6
    separation: float = 0.6
    threshold: int = 40
    max_diameter_nodes: float = 28.0
    seam_nodes: float = 1.0


CONSTANTS = PeakConstants()


def find_peaks(probability: Field, radius: float, constants: PeakConstants = CONSTANTS) -> tuple[Points, Field]:
    """Return the peaks (n, 3) of the matched filter, in nodes with fractions, and the response (n,) at each.

    Parameters
    ----------
    probability : array of shape (z, y, x), float32
        Probability that a node is in a particle.
    radius : float
        Of the particles, in nodes.
    """
    response = _matched_filter(probability, radius, constants)
    side = max(3, 2 * int(constants.window * radius) + 1)
    highest = ndimage.maximum_filter(response, side, mode="constant")
    nodes = np.argwhere((response == highest) & (response > 0))
    return _refined(response, nodes), response[tuple(nodes.T)]


def select_separated(positions: Points, distance: float) -> npt.NDArray[np.bool_]:
    """Return which positions (n, 3), the best first, are at least `distance` from all better ones that are kept."""
    kept = np.ones(len(positions), np.bool_)
    if len(positions):
        tree = cKDTree(positions)
        for index, position in enumerate(positions):
            if kept[index]:
                near = np.array(tree.query_ball_point(position, distance))
                kept[near[near > index]] = False
    return kept


def _matched_filter(probability: Field, radius: float, constants: PeakConstants) -> Field:
    """Return the mean probability in the ball around each node, less that in the shell; 0 outside of the field."""
    reach = int(np.ceil(constants.shell[1] * radius))
    padded = tuple(scipy.fft.next_fast_len(size + reach, real=True) for size in probability.shape)
    spectrum = scipy.fft.rfftn(probability, padded) * _transfer(padded, radius, constants)
    z, y, x = (slice(0, size) for size in probability.shape)
    return np.asarray(scipy.fft.irfftn(spectrum, padded)[z, y, x], np.float32)


@lru_cache(maxsize=4)
def _transfer(shape: tuple[int, ...], radius: float, constants: PeakConstants) -> npt.NDArray[np.complex64]:
    z, y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    ball = distance <= constants.ball * radius
    shell = (distance >= constants.shell[0] * radius) & (distance <= constants.shell[1] * radius)
    kernel = ball / ball.sum() - constants.shell_weight * shell / max(shell.sum(), 1)
    return np.asarray(scipy.fft.rfftn(kernel.astype(np.float32)), np.complex64)


def _refined(response: Field, nodes: npt.NDArray[np.int64]) -> Points:
    """Move each peak to the top of a parabola through it and its neighbours along each axis."""
    points = nodes.astype(np.float64)
    for axis, size in enumerate(response.shape):
        inside = (nodes[:, axis] > 0) & (nodes[:, axis] < size - 1)
        step = np.eye(3, dtype=np.int64)[axis]
        before, peak, after = (
            response[tuple((nodes[inside] + offset).T)].astype(np.float64) for offset in (-step, 0 * step, step)
        )
        curvature = before - 2 * peak + after
        offset = 0.5 * (before - after) / np.minimum(curvature, -1e-9)
        points[inside, axis] += np.where(curvature < 0, np.clip(offset, -0.5, 0.5), 0)
    return points
