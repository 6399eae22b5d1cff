"""Angles, turned back into matrices by SciPy as RELION and Dynamo read them: z lies along the normal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from cryomamba.picks.angles import PRIOR, dynamo_angles, golden_angles, relion_angles

Floats = npt.NDArray[np.floating[Any]]


@pytest.fixture
def normals() -> Floats:
    """Unit vectors z, y, x: the axes both ways, and many between."""
    many = np.random.default_rng(1).normal(size=(200, 3))
    return np.concatenate([np.eye(3), -np.eye(3), many / np.linalg.norm(many, axis=1)[:, None]])


def relion_matrix(angles: Floats) -> Floats:
    """Return the matrix that RELION makes of rot, tilt, psi: the inverse of the golden_angles about z, y, z."""
    return Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()


def test_relion_turns_a_particle_onto_the_normal(normals: Floats) -> None:
    """The third column of subtomogram times particle is the normal in x, y, z, for any rot."""
    inner = np.column_stack([golden_angles(len(normals)), np.full((len(normals), 2), PRIOR)])
    matrix = relion_matrix(relion_angles(normals)) @ relion_matrix(inner)
    np.testing.assert_allclose(matrix[:, :, 2], normals[:, ::-1], atol=1e-12)


def test_dynamo_turns_a_particle_onto_the_normal(normals: Floats) -> None:
    """The inverse rotation about the fixed z, x, z maps z to the normal in x, y, z, for any narot."""
    angles = np.column_stack([dynamo_angles(normals), golden_angles(len(normals))])
    matrix = Rotation.from_euler("zxz", angles, degrees=True).inv().as_matrix()
    np.testing.assert_allclose(matrix[:, :, 2], normals[:, ::-1], atol=1e-12)


def test_turns_go_all_around() -> None:
    """360 rotations about z cover every sector of 10 degrees evenly."""
    found = golden_angles(360)
    assert found.min() >= -180
    assert found.max() <= 180
    assert np.bincount(((found + 180) // 10).astype(int), minlength=36).min() >= 8
