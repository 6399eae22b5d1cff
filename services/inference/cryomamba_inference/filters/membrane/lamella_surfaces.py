"""The surfaces of a lamella or ice layer, above and below which is vacuum.

The missing wedge and the filters extend membranes beyond these surfaces. The surfaces are estimated from all membranes
together: at a surface, the ridge points that vote for each other are all on its inner side, so their votes are
asymmetric along z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

_SURFACE_ASYMMETRY = 0.6  # asymmetry of the votes of ridge points on a surface, in vote ranges
_START_ASYMMETRY, _MIN_ASYMMETRY = 0.33, 0.5  # mean asymmetry where the fit starts, and beyond an accepted surface
_ASYMMETRY_SLOPE = 0.1  # decrease of the asymmetry from a surface inwards, per node
_WINDOWS = (4.0, 4.0, 3.0, 3.0, 2.5, 2.5, 2.5)  # standard deviation in nodes of the weights of each iteration
_MIN_POINTS = 40
_MIN_POINTS_BEYOND = 5
_MAX_HEIGHT_RATIO = 0.68  # median response beyond an accepted surface, relative to that inside
_TILT_PRIOR, _SAG_PRIOR = 0.08, 0.03
"""Prior standard deviations of linear and quadratic coefficients, as a fraction of half the volume's width."""
_CORRELATED_POINTS = 20.0  # ridge points on one membrane that count as one observation


@dataclass(frozen=True)
class LamellaSurfaces:
    """Two quadratic surfaces, z as a function of y and x; in nodes.

    Attributes
    ----------
    lower, upper : array of shape (6,), float64, or None
        Coefficients of 1, u, v, u², uv, v², with u and v running from −1 to 1 over the volume's y and x; None if the
        specimen extends beyond the volume.
    shape : tuple of int
        Nodes of the volume, z, y, x.
    """

    lower: Values | None = None
    upper: Values | None = None
    shape: tuple[int, ...] = (1, 1, 1)

    def limits(self, y: Values, x: Values) -> tuple[Field, Field]:
        """Return the first and the last z (y, x) of the specimen for node coordinates `y` and `x`."""
        monomials = _monomials(y[:, None] + 0 * x, x + 0 * y[:, None], self.shape)
        first = np.full(monomials.shape[1:], -np.inf) if self.lower is None else np.tensordot(self.lower, monomials, 1)
        last = np.full(monomials.shape[1:], np.inf) if self.upper is None else np.tensordot(self.upper, monomials, 1)
        return first.astype(np.float32), last.astype(np.float32)


NO_SURFACES = LamellaSurfaces()


def find_lamella_surfaces(positions: Field, asymmetry: Field, height: Field, shape: tuple[int, ...]) -> LamellaSurfaces:
    """Estimate the surfaces of a specimen.

    Parameters
    ----------
    positions : array of shape (n, 3), float32
        Ridge points of accepted membranes, in nodes, z, y, x.
    asymmetry : array of shape (n,), float32
        As in :class:`~cryomamba_inference.filters.membrane.voting.VoteResult`.
    height : array of shape (n,), float32
        Response on the ridges; it is weaker beyond a surface.
    shape : tuple of int
        Nodes of the volume.
    """
    z, y, x = positions.astype(np.float64).T
    monomials = _monomials(y, x, shape)
    half_width = 0.5 * max(shape[1:])
    lower = _fit_surface(z, monomials, asymmetry, height, half_width)
    upper = _fit_surface(shape[0] - 1 - z, monomials, -asymmetry, height, half_width)
    if upper is not None:
        upper = -upper
        upper[0] += shape[0] - 1
    return LamellaSurfaces(lower, upper, shape)


def _monomials(y: Values, x: Values, shape: tuple[int, ...]) -> Values:
    u, v = (2 * values / max(size - 1, 1) - 1 for values, size in ((y, shape[1]), (x, shape[2])))
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])


def _fit_surface(z: Values, monomials: Values, asymmetry: Field, height: Field, half_width: float) -> Values | None:
    """Return the coefficients of the surface at small z by iteratively reweighted least squares, or None."""
    start = _start_depth(z, asymmetry)
    if start is None:
        return None
    tilt, sag = _TILT_PRIOR * half_width, _SAG_PRIOR * half_width
    prior_precision = _CORRELATED_POINTS / np.array((np.inf, tilt, tilt, sag, sag, sag)) ** 2
    surface = np.zeros(len(monomials))
    surface[0] = start
    for window in _WINDOWS:
        depth = z - surface @ monomials
        near = np.abs(depth) <= 2 * window
        if np.count_nonzero(near) < _MIN_POINTS:
            return None
        weight = np.exp(-0.5 * (depth[near] / window) ** 2)
        residual = (asymmetry[near] - _SURFACE_ASYMMETRY + _ASYMMETRY_SLOPE * depth[near]) / _ASYMMETRY_SLOPE
        weighted = monomials[:, near] * weight
        surface += np.linalg.solve(
            weighted @ monomials[:, near].T + np.diag(prior_precision), weighted @ residual - prior_precision * surface
        )
    depth = z - surface @ monomials
    beyond, inside = depth < 0, (depth > 4) & (depth < 12)
    if np.count_nonzero(beyond) < _MIN_POINTS_BEYOND or np.count_nonzero(inside) < _MIN_POINTS:
        return None
    weaker = np.median(height[beyond]) < _MAX_HEIGHT_RATIO * np.median(height[inside])
    return surface if weaker and asymmetry[beyond].mean() > _MIN_ASYMMETRY else None


def _start_depth(z: Values, asymmetry: Field) -> float | None:
    """Return the z nearest to the centre at which the mean asymmetry indicates a surface; None if there is none."""
    plane = np.maximum(np.round(z), 0).astype(np.int64)
    count = np.bincount(plane)
    total = np.bincount(plane, asymmetry)
    count, total = (np.convolve(np.pad(a, 1), (1, 2, 1), "valid") for a in (count, total))
    mean = total / np.maximum(count, 1)
    middle = len(count) // 2
    ends = np.flatnonzero((mean[:middle] >= _START_ASYMMETRY) & (count[:middle] >= _MIN_POINTS_BEYOND))
    return float(ends[-1]) if len(ends) else None
