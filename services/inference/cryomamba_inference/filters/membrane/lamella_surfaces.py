"""Where a specimen ends: the faces of a lamella or of the ice, above and below which is vacuum.

The missing wedge and the filters make membranes go on beyond a face. The faces are found from all membranes together:
at a face, the crests that support each other all lie on its inner side, so their centres of gravity lean inwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

_LEAN = 0.6
"""Lean, along z and in ranges, of the crests on a face."""
_FIRST_LEAN, _LAST_LEAN = 0.33, 0.5
_SLOPE = 0.1
"""How fast the lean falls from a face inwards, per node."""
_WINDOWS = (4.0, 4.0, 3.0, 3.0, 2.5, 2.5, 2.5)
_LEAST = 40
_FEW = 5
_WEAKER = 0.68
_TILT, _SAG = 0.08, 0.03
"""How far a face may be expected to tilt and to bend, as a share of half the volume's width."""
_ALIKE = 20.0
"""Crests that say the same, as they lie on one membrane."""


@dataclass(frozen=True)
class LamellaSurfaces:
    """Two surfaces of second order, z as a function of y and x; in nodes.

    Attributes
    ----------
    lower, upper : array of shape (6,), float64, or None
        Coefficients of 1, u, v, u², uv, v², with u and v running from −1 to 1 over the volume's y and x; None where
        nothing ends within the volume.
    shape : tuple of int
        Nodes of the volume, z, y, x.
    """

    lower: Values | None = None
    upper: Values | None = None
    shape: tuple[int, ...] = (1, 1, 1)

    def limits(self, y: Values, x: Values) -> tuple[Field, Field]:
        """Return the first and the last z (y, x) of the specimen for node coordinates `y` and `x`."""
        terms = _terms(y[:, None] + 0 * x, x + 0 * y[:, None], self.shape)
        first = np.full(terms.shape[1:], -np.inf) if self.lower is None else np.tensordot(self.lower, terms, 1)
        last = np.full(terms.shape[1:], np.inf) if self.upper is None else np.tensordot(self.upper, terms, 1)
        return first.astype(np.float32), last.astype(np.float32)


NO_FACES = LamellaSurfaces()


def find_lamella_surfaces(places: Field, lean: Field, height: Field, shape: tuple[int, ...]) -> LamellaSurfaces:
    """Find the faces of a specimen.

    Parameters
    ----------
    places : array of shape (n, 3), float32
        Crests of believed membranes, in nodes, z, y, x.
    lean : array of shape (n,), float32
        How far the crests that support one lie above it along z, in ranges of the vote.
    height : array of shape (n,), float32
        Response on the crests; beyond a face it is weaker.
    shape : tuple of int
        Nodes of the volume.
    """
    z, y, x = places.astype(np.float64).T
    terms = _terms(y, x, shape)
    half_width = 0.5 * max(shape[1:])
    lower = _face(z, terms, lean, height, half_width)
    upper = _face(shape[0] - 1 - z, terms, -lean, height, half_width)
    if upper is not None:
        upper = -upper
        upper[0] += shape[0] - 1
    return LamellaSurfaces(lower, upper, shape)


def _terms(y: Values, x: Values, shape: tuple[int, ...]) -> Values:
    u, v = (2 * along / max(size - 1, 1) - 1 for along, size in ((y, shape[1]), (x, shape[2])))
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])


def _face(z: Values, terms: Values, lean: Field, height: Field, half_width: float) -> Values | None:
    """Return the coefficients of the face at small z, or None."""
    start = _start(z, lean)
    if start is None:
        return None
    tilt, sag = _TILT * half_width, _SAG * half_width
    stiff = _ALIKE / np.array((np.inf, tilt, tilt, sag, sag, sag)) ** 2
    face = np.zeros(len(terms))
    face[0] = start
    for window in _WINDOWS:
        depth = z - face @ terms
        near = np.abs(depth) <= 2 * window
        if np.count_nonzero(near) < _LEAST:
            return None
        weight = np.exp(-0.5 * (depth[near] / window) ** 2)
        surplus = (lean[near] - _LEAN + _SLOPE * depth[near]) / _SLOPE
        used = terms[:, near] * weight
        face += np.linalg.solve(used @ terms[:, near].T + np.diag(stiff), used @ surplus - stiff * face)
    depth = z - face @ terms
    beyond, inside = depth < 0, (depth > 4) & (depth < 12)
    if np.count_nonzero(beyond) < _FEW or np.count_nonzero(inside) < _LEAST:
        return None
    weaker = np.median(height[beyond]) < _WEAKER * np.median(height[inside])
    leaning = lean[beyond].mean() > _LAST_LEAN
    return face if weaker and leaning else None


def _start(z: Values, lean: Field) -> float | None:
    """Return the z below which crests lean upwards, searched from the middle; None if there is none."""
    plane = np.maximum(np.round(z), 0).astype(np.int64)
    count = np.bincount(plane)
    total = np.bincount(plane, lean)
    count, total = (np.convolve(np.pad(a, 1), (1, 2, 1), "valid") for a in (count, total))
    mean = total / np.maximum(count, 1)
    middle = len(count) // 2
    leaning = np.flatnonzero((mean[:middle] >= _FIRST_LEAN) & (count[:middle] >= _FEW))
    return float(leaning[-1]) if len(leaning) else None
