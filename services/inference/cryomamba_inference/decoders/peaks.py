"""Particles: where the probability has the shape of a ball of their size. Pure; lengths are in nodes."""

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
    """Constants of the particle decoder, chosen on phantoms as those of `benchmarks.picking`, with other seeds.

    Attributes
    ----------
    ball : float
        Radius, in particle radii, of the ball around a peak; less than 1, because particles are not round.
    rim : tuple of float
        Inner and outer radius, in particle radii, of the rim that a particle must fill.
    shell : tuple of float
        Inner and outer radius, in particle radii, of the shell that it must not fill.
    shell_weight : float
        How much of the mean probability in the shell is subtracted from that in the ball and that in the rim.
    window : float
        Half the side, in particle radii, of the cube in which a peak is the highest.
    separation : float
        Minimum distance between particles, in diameters.
    typical : float
        Responses above this share of the highest one are those of typical particles.
    threshold : float
        Minimum response of a particle as a share of the median of typical ones: it falls with the contrast.
    min_response : float
        Minimum response of a particle.
    max_diameter_nodes : float
        Diameter on the working grid; larger particles have a coarser one, so that a particle beside a tile
        is within its halo.
    seam_nodes : float
        Nodes by which two tiles may differ in the position of a particle.
    """

    ball: float = 0.8
    rim: tuple[float, float] = (0.7, 1.0)
    shell: tuple[float, float] = (1.25, 1.7)
    shell_weight: float = 1.2
    window: float = 0.6
    separation: float = 0.6
    typical: float = 0.6
    threshold: float = 0.6
    min_response: float = 0.15
    max_diameter_nodes: float = 24.0
    seam_nodes: float = 1.0


CONSTANTS = PeakConstants()
_SHIFTS = 2  # steps of the mean shift


def find_peaks(probability: Field, radius: float, constants: PeakConstants = CONSTANTS) -> tuple[Points, Field]:
    """Return the peaks (n, 3) of the probability in a ball, in nodes with fractions, and the response (n,) at each.

    The response is the square root of the mean probability in the rim, less that in the shell: a smaller object does
    not fill the rim, a larger or extended one fills the shell too. The best peaks come first.

    Parameters
    ----------
    probability : array of shape (z, y, x), float32
        Probability that a node is in a particle.
    radius : float
        Of the particles, in nodes.
    """
    ball, rim = _filtered(probability, radius, constants)
    side = max(3, 2 * int(constants.window * radius) + 1)
    highest = ndimage.maximum_filter(ball, side, mode="constant")
    nodes = np.argwhere((ball == highest) & (ball > 0) & (rim > 0))
    responses = np.sqrt(rim[tuple(nodes.T)])
    best = np.argsort(-responses, kind="stable")
    return _centred(probability, nodes[best], radius), responses[best]


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


def find_threshold(responses: npt.NDArray[np.floating], constants: PeakConstants = CONSTANTS) -> float:
    """Return the minimum response of a particle, given those of all peaks of a volume."""
    if not len(responses):
        return constants.min_response
    typical = responses[responses >= constants.typical * responses.max()]
    return max(constants.min_response, constants.threshold * float(np.median(typical)))


def _filtered(probability: Field, radius: float, constants: PeakConstants) -> list[Field]:
    """Return the mean probability in the ball and in the rim around each node, less that in the shell.

    What lies outside of the field counts as 0.
    """
    reach = int(np.ceil(constants.shell[1] * radius))
    padded = tuple(scipy.fft.next_fast_len(size + reach, real=True) for size in probability.shape)
    spectrum = scipy.fft.rfftn(probability, padded)
    z, y, x = (slice(0, size) for size in probability.shape)
    transfers = _transfers(padded, radius, constants)
    return [np.asarray(scipy.fft.irfftn(spectrum * one, padded)[z, y, x], np.float32) for one in transfers]


@lru_cache(maxsize=4)
def _transfers(shape: tuple[int, ...], radius: float, constants: PeakConstants) -> list[npt.NDArray[np.complex64]]:
    z, y, x = (np.minimum(np.arange(n), n - np.arange(n)).astype(np.float32) for n in shape)
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2) / np.float32(radius)

    def mean(inner: float, outer: float) -> Field:
        inside = (distance >= inner) & (distance <= outer)
        return np.asarray(inside / max(inside.sum(), 1), np.float32)

    shell = np.float32(constants.shell_weight) * mean(*constants.shell)
    kernels = (mean(0, constants.ball) - shell, mean(*constants.rim) - shell)
    return [np.asarray(scipy.fft.rfftn(kernel), np.complex64) for kernel in kernels]


def _centred(probability: Field, nodes: npt.NDArray[np.int64], radius: float) -> Points:
    """Move each peak to the centre of mass of the probability in a ball around it (mean shift).

    Where a particle is certain the response is flat, and its peak lies anywhere near the middle.
    """
    points = nodes.astype(np.float64)
    for point in points:
        for _ in range(_SHIFTS):
            first = np.maximum(np.ceil(point - radius), 0).astype(int)
            last = np.floor(point + radius).astype(int)
            box = probability[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]
            away = [a - centre + np.arange(size) for a, centre, size in zip(first, point, box.shape, strict=True)]
            z, y, x = np.ix_(*away)
            mass = np.where(z * z + y * y + x * x <= radius * radius, box, 0)
            if mass.any():
                point += [float((mass * offset).sum() / mass.sum()) for offset in (z, y, x)]
    return points
