"""Particles: peaks of the probability in a ball of their size."""

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
class PeakOptions:
    """Constants of :func:`find_peaks`, in particle radii.

    Attributes
    ----------
    ball : float
        Radius of the ball that a particle must fill; less than 1, because particles are not round.
    shell : tuple of float
        Inner and outer radius of the shell that it must not fill.
    shell_weight : float
        How much of the mean probability in the shell is subtracted from that in the ball.
    window : float
        Half the side of the cube in which a peak is the highest.
    """

    ball: float = 0.8
    shell: tuple[float, float] = (1.25, 1.7)
    shell_weight: float = 0.7
    window: float = 0.6


OPTIONS = PeakOptions()


def find_peaks(probability: Field, radius: float, options: PeakOptions = OPTIONS) -> tuple[Points, Field]:
    """Return the peaks (n, 3) of the matched filter, in nodes with fractions, and the response (n,) at each.

    Parameters
    ----------
    probability : array of shape (z, y, x), float32
        Probability that a node is in a particle.
    radius : float
        Of the particles, in nodes.
    """
    response = _filtered(probability, radius, options)
    side = max(3, 2 * int(options.window * radius) + 1)
    highest = ndimage.maximum_filter(response, side, mode="constant")
    nodes = np.argwhere((response == highest) & (response > 0))
    if not len(nodes):
        return np.empty((0, 3)), np.empty(0, np.float32)
    return _refined(response, nodes), response[tuple(nodes.T)]


def _filtered(probability: Field, radius: float, options: PeakOptions) -> Field:
    reach = int(np.ceil(options.shell[1] * radius))
    padded = tuple(scipy.fft.next_fast_len(size + reach, real=True) for size in probability.shape)
    spectrum = scipy.fft.rfftn(probability, padded) * _transfer(padded, radius, options)
    z, y, x = (slice(0, size) for size in probability.shape)
    return np.asarray(scipy.fft.irfftn(spectrum, padded)[z, y, x], np.float32)


@lru_cache(maxsize=4)
def _transfer(shape: tuple[int, ...], radius: float, options: PeakOptions) -> npt.NDArray[np.complex64]:
    axes = [np.minimum(np.arange(n), n - np.arange(n)) for n in shape]
    distance = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    ball = distance <= options.ball * radius
    shell = (distance >= options.shell[0] * radius) & (distance <= options.shell[1] * radius)
    kernel = ball / ball.sum() - options.shell_weight * shell / max(shell.sum(), 1)
    return np.asarray(scipy.fft.rfftn(kernel.astype(np.float32)), np.complex64)


def _refined(response: Field, nodes: npt.NDArray[np.int64]) -> Points:
    """Move each peak to the top of a parabola through it and its neighbours along each axis."""
    points = nodes.astype(np.float64)
    for axis, size in enumerate(response.shape):
        inside = (nodes[:, axis] > 0) & (nodes[:, axis] < size - 1)
        before, after = nodes[inside].copy(), nodes[inside].copy()
        before[:, axis] -= 1
        after[:, axis] += 1
        a, b, c = (response[tuple(at.T)].astype(np.float64) for at in (before, nodes[inside], after))
        bend = a - 2 * b + c
        points[inside, axis] += np.where(bend < 0, np.clip(0.5 * (a - c) / np.minimum(bend, -1e-9), -0.5, 0.5), 0)
    return points


def apart(positions: Points, distance: float) -> npt.NDArray[np.bool_]:
    """Return which positions (n, 3), the best first, are at least `distance` from all better ones that are kept."""
    kept = np.ones(len(positions), np.bool_)
    if len(positions):
        tree = cKDTree(positions)
        for index, position in enumerate(positions):
            if kept[index]:
                near = np.array(tree.query_ball_point(position, distance))
                kept[near[near > index]] = False
    return kept
