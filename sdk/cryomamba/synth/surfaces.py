"""Smooth implicit surfaces, and distances of points from them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""Array of shape (n, 3), float32: positions in Å as z, y, x."""


class Surface(Protocol):
    """The zero set of an implicit function."""

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return the function's values (n,) and its gradients (n, 3) at `points` (n, 3)."""
        ...


@dataclass(frozen=True)
class Vesicle:
    """A closed, star-shaped surface: an ellipsoid with smooth bumps.

    Attributes
    ----------
    centre : array of shape (3,)
        Centre in Å, z, y, x.
    metric : array of shape (3, 3)
        Symmetric matrix A; the undeformed surface is where pᵀ A p = 1, in 1/Å².
    bumps : array of shape (k, 3)
        Unit directions along which the radius is modulated.
    amplitudes : array of shape (k,)
        Relative height of each bump.
    """

    centre: NDArray[np.float32]
    metric: NDArray[np.float32]
    bumps: NDArray[np.float32]
    amplitudes: NDArray[np.float32]

    def radius(self, directions: Points) -> Points:
        """Return the distance (n,) in Å from the centre to the surface along unit `directions` (n, 3)."""
        quadratic = np.einsum("ni,ij,nj->n", directions, self.metric, directions)
        cosines = directions @ self.bumps.T
        modulation = 1 + (cosines * cosines * cosines) @ self.amplitudes
        return np.asarray(modulation / np.sqrt(quadratic), np.float32)

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return |p| − radius(p/|p|) and its gradient."""
        offset = points - self.centre
        length = np.maximum(np.linalg.norm(offset, axis=1), 1.0).astype(np.float32)
        direction = offset / length[:, None]
        mapped = direction @ self.metric
        inverse = 1 / np.sqrt(np.einsum("ni,ni->n", direction, mapped))
        cosines = direction @ self.bumps.T
        squares = cosines * cosines
        modulation = 1 + (squares * cosines) @ self.amplitudes
        slope = 3 * (squares * self.amplitudes) @ self.bumps
        radial = slope * inverse[:, None] - mapped * (modulation * inverse * inverse * inverse)[:, None]
        radial -= direction * np.einsum("ni,ni->n", radial, direction)[:, None]
        return length - modulation * inverse, direction - radial / length[:, None]


@dataclass(frozen=True)
class Sheet:
    """An open surface: a plane with sinusoidal waves.

    Attributes
    ----------
    origin : array of shape (3,)
        A point of the plane in Å, z, y, x.
    normal : array of shape (3,)
        Unit normal of the plane.
    waves : array of shape (k, 3)
        Wave vectors in the plane, in radians per Å.
    phases, heights : arrays of shape (k,)
        Phase in radians and height in Å of each wave.
    """

    origin: NDArray[np.float32]
    normal: NDArray[np.float32]
    waves: NDArray[np.float32]
    phases: NDArray[np.float32]
    heights: NDArray[np.float32]

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return the height above the wavy plane, measured along its normal, and its gradient."""
        offset = points - self.origin
        angles = offset @ self.waves.T + self.phases
        value = offset @ self.normal - np.sin(angles) @ self.heights
        gradient = self.normal - (np.cos(angles) * self.heights) @ self.waves
        return np.asarray(value, np.float32), gradient


def first_order_distance(surface: Surface, points: Points) -> Points:
    """Return the first-order distance (n,) in Å of `points`: cheap, and accurate near the surface."""
    value, gradient = surface.implicit(points)
    return np.asarray(value / np.maximum(np.linalg.norm(gradient, axis=1), 1e-6), np.float32)


def distance(surface: Surface, points: Points, steps: int = 3) -> tuple[Points, Points]:
    """Return the signed distance (n,) of `points` (n, 3) from a surface in Å, and unit normals (n, 3) there.

    Hartmann's foot-point iteration (CAGD 1999): alternate steps to the surface along its gradient and along the tangent
    towards the point. Within a quarter of the radius of curvature it is exact to a few hundredths of an Å.
    """
    foot = points
    for _ in range(steps):
        value, gradient = surface.implicit(foot)
        square = np.einsum("ni,ni->n", gradient, gradient)
        away = points - foot
        along = np.einsum("ni,ni->n", away, gradient)
        foot = points - gradient * ((value + along) / square)[:, None]
    value, gradient = surface.implicit(foot)
    length = np.linalg.norm(gradient, axis=1)
    normal = gradient / length[:, None]
    away = np.einsum("ni,ni->n", points - foot, normal) + value / length
    return np.asarray(away, np.float32), np.asarray(normal, np.float32)
