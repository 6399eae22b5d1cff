"""Sections across membranes: the middle is where the leaflets say, in any direction and on any slope of the density."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cryomamba.synth.profiles import bilayer_profile
from cryomamba_inference.filters.membrane.normal_profiles import (
    MembraneProfile,
    learn_profile,
    sample_profiles,
    smooth_correlations,
)

Field = npt.NDArray[np.float32]
STEP_A = 13.5
NORMAL = np.array([0.3, 0.5, 0.81]) / np.linalg.norm([0.3, 0.5, 0.81])


def plane(noise: float, slope: float = 0.0) -> Field:
    """Return a flat membrane through the middle of a volume, across `NORMAL`."""
    grid = np.stack(np.meshgrid(*[np.arange(48) * STEP_A] * 3, indexing="ij"), -1)
    away = ((grid - 24 * STEP_A) @ NORMAL).astype(np.float32)
    density = bilayer_profile(away, 45.0, 6.0) + slope * grid[..., 0] / STEP_A
    return np.asarray(density + noise * np.random.default_rng(1).standard_normal(density.shape), np.float32)


def sections(density: Field, off_A: Field) -> tuple[Field, npt.NDArray[np.float64], Field]:
    """Return sections at places on the membrane that are `off_A` above it, the places in nodes, and normals."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-150, 150, (len(off_A), 3))
    points += (off_A - points @ NORMAL)[:, None] * NORMAL
    places = points / STEP_A + 24
    normals = np.tile(NORMAL.astype(np.float32), (len(off_A), 1))
    flat = np.zeros(len(off_A), np.float32)
    return sample_profiles(density, places, normals, flat, step_A=STEP_A), places, normals


def learned(found: Field) -> MembraneProfile:
    profile = learn_profile(found)
    assert profile is not None
    return profile


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_the_middle_is_found_to_a_few_angstrom(slope: float) -> None:
    """From places up to 10 Å beside a membrane, sections tell its middle, also where the density has a slope."""
    off = np.random.default_rng(3).uniform(-10, 10, 400).astype(np.float32)
    found, _, _ = sections(plane(0.2, slope), off)
    profile = learned(found)
    shift, _ = profile.best_shift(profile.correlations(found))
    assert np.sqrt(np.mean((shift + off) ** 2)) < 2.5


def test_neighbours_make_it_surer() -> None:
    """In noise, the mean of what neighbours on the same surface say is better than each by itself."""
    off = np.zeros(800, np.float32)
    found, places, normals = sections(plane(1.0), off)
    profile = learned(found)
    fits = profile.correlations(found)
    nodes = np.round(places).astype(np.int32)
    _, first = np.unique(nodes, axis=0, return_index=True)
    part = (fits[first], nodes[first], places[first].astype(np.float32), normals[first])
    together = smooth_correlations(*part, (48, 48, 48), step_A=STEP_A)
    alone, _ = profile.best_shift(fits[first])
    shared, _ = profile.best_shift(together)
    assert np.abs(shared).mean() < 0.8 * np.abs(alone).mean()


def test_the_level_of_the_density_does_not_matter() -> None:
    """The same sections on another level fit as well."""
    found, _, _ = sections(plane(0.2), np.zeros(200, np.float32))
    profile = learned(found)
    np.testing.assert_allclose(profile.correlations(found + 7), profile.correlations(found), atol=1e-3)


def test_a_blur_of_the_membrane_does_not_matter() -> None:
    """What lies under the leaflets, broad and strong or not there at all, changes no fit."""
    found, _, _ = sections(plane(0.2), np.zeros(200, np.float32))
    profile = learned(found)
    away = (np.arange(found.shape[1]) - found.shape[1] // 2) * 4.5
    blur = np.exp(-0.5 * (away / 26) ** 2).astype(np.float32)
    unmoved = found.shape[1] // 2 - len(profile.inner) // 2
    np.testing.assert_allclose(
        profile.correlations(found + 9 * blur)[:, unmoved], profile.correlations(found)[:, unmoved], atol=1e-3
    )


def test_blurred_membranes_teach_nothing() -> None:
    """Where leaflets are smoothed away, no profile is learned: other dense things would fit it as well."""
    blurred = ndimage.gaussian_filter(plane(0.2), 26 / STEP_A)
    found, _, _ = sections(np.asarray(blurred, np.float32), np.zeros(400, np.float32))
    assert learn_profile(found) is None


def test_too_few_membranes_teach_nothing() -> None:
    """From a handful of sections no profile is learned."""
    found, _, _ = sections(plane(0.2), np.zeros(20, np.float32))
    assert learn_profile(found) is None
