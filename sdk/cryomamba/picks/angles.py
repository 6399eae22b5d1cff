"""From normals to Euler angles (degrees) that lay a particle's z axis along them.

How far a particle is turned about its z axis is not known. Each gets another turn, a golden angle from the last, so
that in an average over many the missing wedge points everywhere.

RELION: ``A_subtomogram · A_particle`` takes the particle to the tomogram (``ParticleSet::getMatrix3x3``), each the ZYZ
matrix of its rot, tilt and psi. The particle is tilted by 90° against its subtomogram, where rot and psi are different
turns and a prior on tilt and psi can hold it; RELION 5 does so with the spheres that are picked in it
(``get_particle_poses`` in its Python programs).

Dynamo: ``tdrot``, ``tilt``, ``narot`` about z, the new x and the new z (its wiki, "Table").
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

PRIOR: Final = (90.0, 0.0)
"""Tilt and psi of every particle within its subtomogram."""
_GOLDEN_DEG: Final = 180 * (3 - 5**0.5)


def turns(count: int) -> Floats:
    """Return for so many particles the turn about their z axes, from −180 to 180."""
    angles: Floats = (np.arange(1, count + 1) * _GOLDEN_DEG + 180) % 360 - 180
    return angles


def relion_subtomogram(normals: Floats) -> Floats:
    """Return rot, tilt, psi (n, 3) of subtomograms, given unit normals in z, y, x.

    The z axis of a particle with tilt and psi of :data:`PRIOR` and any rot lies along the normal.
    """
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    rot = np.arccos(np.clip(-z, -1, 1))
    angles: Floats = np.degrees(np.column_stack([rot, np.full_like(rot, np.pi / 2), np.arctan2(x, y)]))
    return angles


def dynamo(normals: Floats) -> Floats:
    """Return tdrot, tilt (n, 2), given unit normals in z, y, x; with any narot the z axis lies along the normal."""
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    angles: Floats = np.degrees(np.column_stack([np.arctan2(x, y), np.arccos(np.clip(z, -1, 1))]))
    return angles
