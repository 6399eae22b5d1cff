"""Profiles across a membrane are as dense and as wide as they say."""

import numpy as np
import pytest

from cryomamba.synth.profiles import PROFILES

AWAY = np.linspace(-80, 80, 1601).astype(np.float32)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("thickness", [35.0, 60.0])
def test_density_of_a_profile_lies_within_the_thickness(name: str, thickness: float) -> None:
    """Most of the density is where the truth says membrane, and the dense parts reach a good half of a leaflet."""
    density = PROFILES[name](AWAY, thickness, 0.5)  # type: ignore[index]
    inside = np.abs(AWAY) <= thickness / 2
    assert density[inside].sum() > 0.8 * density.sum()
    assert 0.55 < density.max() < 1.4


def test_profiles_differ_in_leaflets_and_sides() -> None:
    """Two leaflets are lighter between them, one line is not, and an asymmetric membrane has a strong side."""
    middle, head = 800, 800 + 155
    for name, light_core in (("bilayer", True), ("studded", True), ("line", False), ("broad", False)):
        density = PROFILES[name](AWAY, 45.0, 0.5)  # type: ignore[index]
        assert (density[middle] < 0.5 * density[head]) == light_core
    strong = PROFILES["asymmetric"](AWAY, 45.0, 0.5)
    assert strong[800 + 155] > 2 * strong[800 - 155]


def test_averaging_over_large_voxels_joins_the_leaflets() -> None:
    """At 20 Å the leaflets are not resolved and the peak is lower."""
    fine, coarse = (PROFILES["bilayer"](AWAY, 42.0, blur) for blur in (1.0, 14.0))
    assert coarse.max() < 0.8 * fine.max()
    assert np.argmax(coarse) == pytest.approx(800, abs=2)
