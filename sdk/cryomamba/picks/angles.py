"""Euler angles (degrees) that align the z axis of a particle with a surface normal.

The rotation about the normal is unknown. It increases by the golden angle from one particle to the next, so that the
missing wedge points in all directions when many particles are averaged.

RELION: ``A_subtomogram · A_particle`` maps the particle to the tomogram (``ParticleSet::getMatrix3x3``); each is the
ZYZ matrix of rot, tilt and psi. The particle is tilted by 90° relative to its subtomogram, where rot and psi are
distinct rotations and can be restrained by priors on tilt and psi, as RELION 5 does for picked spheres
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


def golden_angles(count: int) -> Floats:
    """Return rotations about the z axis for `count` particles, from −180 to 180."""
    return (np.arange(1, count + 1) * _GOLDEN_DEG + 180) % 360 - 180


def relion_angles(normals: Floats) -> Floats:
    """Return rot, tilt, psi (n, 3) of subtomograms, given unit normals in z, y, x.

    The z axis of a particle with tilt and psi of :data:`PRIOR` and any rot lies along the normal.
    """
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    rot = np.arccos(np.clip(-z, -1, 1))
    angles: Floats = np.degrees(np.column_stack([rot, np.full_like(rot, np.pi / 2), np.arctan2(x, y)]))
    return angles


def particle_angles(normals: Floats) -> Floats:
    """Return rot, tilt, psi (n, 3) of particles in the tomogram itself, given unit normals in z, y, x.

    The z axis of a particle lies along its normal; rot is that of :func:`golden_angles`.
    """
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    tilt, psi = np.degrees(np.arccos(np.clip(z, -1, 1))), np.degrees(np.arctan2(y, -x))
    angles: Floats = np.column_stack([golden_angles(len(z)), tilt, psi])
    return angles


def relion_rotations(angles: npt.NDArray[Any]) -> Floats:
    """Return the matrices (n, 3, 3; x, y, z) of rot, tilt, psi (n, 3) that map a particle's axes to the tomogram's."""
    rot, tilt, psi = np.radians(np.asarray(angles, np.float64)).T
    rotations: Floats = _about_z(-psi) @ _about_y(-tilt) @ _about_z(-rot)
    return rotations


def relion_normals(subtomogram: npt.NDArray[Any], particle: npt.NDArray[Any]) -> Floats:
    """Return the z axes (n, 3; z, y, x) of particles, given both their triples of rot, tilt, psi (n, 3)."""
    rotations = relion_rotations(subtomogram) @ relion_rotations(particle)
    normals: Floats = rotations[:, ::-1, 2]
    return normals


def _about_z(angle: Floats) -> Floats:
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    rows = [[np.cos(angle), -np.sin(angle), zero], [np.sin(angle), np.cos(angle), zero], [zero, zero, one]]
    return np.asarray(np.moveaxis(np.array(rows), -1, 0), np.float64)


def _about_y(angle: Floats) -> Floats:
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    rows = [[np.cos(angle), zero, np.sin(angle)], [zero, one, zero], [-np.sin(angle), zero, np.cos(angle)]]
    return np.asarray(np.moveaxis(np.array(rows), -1, 0), np.float64)


def dynamo_angles(normals: Floats) -> Floats:
    """Return tdrot, tilt (n, 2), given unit normals in z, y, x; with any narot the z axis lies along the normal."""
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    angles: Floats = np.degrees(np.column_stack([np.arctan2(x, y), np.arccos(np.clip(z, -1, 1))]))
    return angles
