"""Density across a membrane."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float32]
ProfileName = Literal["bilayer", "line", "broad", "asymmetric", "studded"]
_HEAD_GROUP_A = 7.0
_STRONG_LEAFLET, _WEAK_LEAFLET = 1.3, 0.5


def _smoothed_gauss(distance_A: Distances, sigma: float, blur: float) -> Distances:
    wide = float(np.hypot(sigma, blur))
    return np.asarray(np.exp(-0.5 * (distance_A / wide) ** 2) * (sigma / wide), np.float32)


def bilayer_profile(distance_A: Distances, thickness_A: float, blur_A: float) -> Distances:
    """Return the density profile across a bilayer: two dense leaflets and a light core between them.

    The profile is the sum of three Gaussians (Nagle and Tristram-Nagle, BBA 2000), each averaged over the
    voxel; a leaflet reaches about 1 at fine voxels.

    Parameters
    ----------
    distance_A : array of shape (n,)
        Distance from the midplane of the bilayer in Å.
    thickness_A : float
        Thickness in Å; the head groups' centres are 7 Å from either side.
    blur_A : float
        Standard deviation of the averaging in Å.
    """
    return _leaflets(distance_A, thickness_A, blur_A, (1.0, 1.0))


def _leaflets(distance_A: Distances, thickness_A: float, blur_A: float, densities: tuple[float, float]) -> Distances:
    head = thickness_A / 2 - _HEAD_GROUP_A
    outer = densities[0] * _smoothed_gauss(distance_A - head, _HEAD_GROUP_A, blur_A)
    inner = densities[1] * _smoothed_gauss(distance_A + head, _HEAD_GROUP_A, blur_A)
    return np.asarray(outer + inner - 0.25 * _smoothed_gauss(distance_A, 6, blur_A), np.float32)


def asymmetric_profile(distance_A: Distances, thickness_A: float, blur_A: float) -> Distances:
    """Return the profile of a bilayer whose leaflet on the positive side is much stronger."""
    return _leaflets(distance_A, thickness_A, blur_A, (_STRONG_LEAFLET, _WEAK_LEAFLET))


def line_profile(distance_A: Distances, thickness_A: float, blur_A: float) -> Distances:
    """Return a single Gaussian whose full width at half maximum is 0.6 of the thickness."""
    return _smoothed_gauss(distance_A, 0.25 * thickness_A, blur_A)


def broad_profile(distance_A: Distances, thickness_A: float, blur_A: float) -> Distances:
    """Return a band of even density as wide as the membrane, with soft sides and 0.6 of a leaflet's density."""
    soft = float(np.hypot(8.0, blur_A))
    half = 0.5 * thickness_A
    rise, fall = (np.tanh((distance_A + side) / soft) for side in (half, -half))
    return np.asarray(0.3 * (rise - fall), np.float32)


PROFILES: Final[Mapping[ProfileName, Callable[[Distances, float, float], Distances]]] = {
    "bilayer": bilayer_profile,
    "line": line_profile,
    "broad": broad_profile,
    "asymmetric": asymmetric_profile,
    "studded": bilayer_profile,
}
"""Density (n,) for distances in Å (n,), a thickness and a blur in Å; the proteins of a studded one are placed apart."""
