"""Macromolecules have the sizes of their kinds."""

import numpy as np
import pytest

from cryomamba.synth.macromolecules import filament_spheres, particle_spheres
from cryomamba.synth.objects import Filament

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("kind", "diameter", "reach_A"), [("sphere", 200.0, 100), ("ribosome", 250.0, 125), ("proteasome", 150.0, 86)]
)
def test_a_particle_is_as_large_as_its_kind(kind: str, diameter: float, reach_A: float) -> None:
    """The spheres of a particle reach half its diameter from its centre, those of a barrel as far as its edge is."""
    centre = np.array([100, 200, 300], np.float32)
    spheres = particle_spheres(kind, diameter, centre, RNG(3))  # type: ignore[arg-type]
    reach = np.linalg.norm(spheres.centres_A - centre, axis=1) + spheres.diameters_A / 2
    assert reach.max() == pytest.approx(reach_A, rel=0.1)


def test_ribosomes_are_alike_and_turned() -> None:
    """Two ribosomes have the same distances between their parts, in other directions."""
    first, second = (particle_spheres("ribosome", 250.0, np.zeros(3, np.float32), RNG(seed)) for seed in (1, 2))
    assert not np.allclose(first.centres_A, second.centres_A)
    assert np.allclose(first.centres_A @ first.centres_A.T, second.centres_A @ second.centres_A.T, atol=0.1)


def test_a_microtubule_has_thirteen_protofilaments_on_its_wall() -> None:
    """Every subunit is on a cylinder about the centre line, 13 of them for each 40 Å."""
    line = np.stack([np.zeros(60), np.linspace(0, 2000, 60), np.zeros(60)], 1).astype(np.float32)
    spheres = filament_spheres(Filament(line, 250.0, "microtubule"), RNG(1))
    radius = np.hypot(spheres.centres_A[:, 0], spheres.centres_A[:, 2])
    assert np.allclose(radius, radius[0], atol=0.1)
    assert radius[0] + spheres.diameters_A[0] / 2 == pytest.approx(125, abs=5)
    assert len(radius) == pytest.approx(13 * 2000 / 40, rel=0.05)


def test_actin_is_as_wide_as_it_should_be() -> None:
    """The subunits of a bent filament stay within 35 Å of its centre line, 27.5 Å apart along it."""
    run = np.linspace(-1, 1, 60)
    line = np.stack([300 * run**2, 1000 * run, np.zeros(60)], 1).astype(np.float32)
    spheres = filament_spheres(Filament(line, 70.0, "actin"), RNG(1))
    nearest = np.linalg.norm(spheres.centres_A[:, None] - line[None], axis=2).min(axis=1)
    assert nearest.max() + spheres.diameters_A[0] / 2 < 48
    length = np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
    assert len(spheres.centres_A) == pytest.approx(length / 27.5, abs=2)
