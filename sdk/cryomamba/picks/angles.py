"""From normals to Euler angles (degrees) that turn a particle's z axis onto them; how far it is turned about z is free.

RELION: ``A_subtomogram · A_particle`` takes the particle to the tomogram (``ParticleSet::getMatrix3x3``), each the ZYZ
matrix of ``Euler::anglesToMatrix3``. As its own pickers do (``tomography_python_programs``, get_particle_poses), the
particle is tilted by 90° against its subtomogram, where rot and psi are not the same turn and a prior on tilt can hold.

Dynamo: ``tdrot``, ``tilt``, ``narot`` about z, new x, new z take the tomogram to the particle (its wiki, "Table").
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

PARTICLE: Final = (0.0, 90.0, 0.0)
"""rot, tilt and psi of the particle within its subtomogram, for `relion_subtomogram`; also the prior."""


def relion_subtomogram(normals: Floats) -> Floats:
    """Return rot, tilt, psi (n, 3) of subtomograms, given unit normals in z, y, x.

    With the angles :data:`PARTICLE` for the particle, its z axis lies along the normal.
    """
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    rot = np.arccos(np.clip(-z, -1, 1))
    return np.degrees(np.column_stack([rot, np.full_like(rot, np.pi / 2), np.arctan2(x, y)]))


def dynamo(normals: Floats) -> Floats:
    """Return tdrot, tilt, narot (n, 3), given unit normals in z, y, x; a particle's z axis lies along the normal."""
    z, y, x = np.asarray(normals, np.float64).reshape(-1, 3).T
    return np.degrees(np.column_stack([np.arctan2(x, y), np.arccos(np.clip(z, -1, 1)), np.zeros_like(z)]))
