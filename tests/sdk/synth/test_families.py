"""Every family of phantoms has what it promises."""

import numpy as np
import pytest
from pydantic import ValidationError

from cryomamba.synth import FAMILIES, LABELS, Phantom, PhantomSpec, clean_phantom, synthesize

WITHOUT_MEMBRANES = {"cytosol", "contamination", "empty"}


def small(family: str, **fields: object) -> PhantomSpec:
    """Return a phantom of about 70 × 130 × 130 nm."""
    return PhantomSpec.model_validate({"family": family, "shape": (36, 64, 64), "voxel_size_A": 20.0, **fields})


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Phantom]:
    return {family: clean_phantom(small(family)) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_membranes_or_says_that_it_has_none(family: str, phantoms: dict[str, Phantom]) -> None:
    """Membrane is between 1 and 45 % of the volume, or none at all, and it is denser than what surrounds it."""
    phantom = phantoms[family]
    membrane = phantom.ground_truth == 1
    if family in WITHOUT_MEMBRANES:
        assert not membrane.any()
        assert "no membranes" in FAMILIES[family].description
    else:
        assert 0.01 < membrane.mean() < 0.45
        assert phantom.density[membrane].mean() > phantom.density[phantom.ground_truth == 0].mean() + 0.15
    assert set(np.unique(phantom.ground_truth)) <= set(LABELS)
    assert np.isfinite(phantom.density).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_particles_and_filaments_of_a_family_are_labelled(family: str, phantoms: dict[str, Phantom]) -> None:
    """What a family places has a kind, a size and voxels with its label."""
    phantom = phantoms[family]
    assert len(phantom.particles_A) == len(phantom.particle_kinds) == len(phantom.particle_diameters_A)
    assert len(phantom.filaments_A) == len(phantom.filament_kinds)
    settings = FAMILIES[family].settings
    assert (phantom.ground_truth == 2).any() == (len(phantom.particles_A) > 0)
    if "filaments" in settings:
        assert set(phantom.filament_kinds) <= set(settings["filament_kinds"])


@pytest.mark.parametrize("family", ["cytosol", "cristae"])
def test_a_family_is_repeatable(family: str, phantoms: dict[str, Phantom]) -> None:
    """The same specification gives the same bytes, another seed does not."""
    again, other = clean_phantom(small(family)), clean_phantom(small(family, seed=1))
    assert np.array_equal(phantoms[family].density, again.density)
    assert np.array_equal(phantoms[family].ground_truth, again.ground_truth)
    assert not np.array_equal(again.ground_truth, other.ground_truth)


@pytest.mark.parametrize("family", ["folds", "lamella"])
def test_folds_are_in_small_boxes_too(family: str) -> None:
    """A box of 60 × 96 × 96 nm has membrane in it, whatever the seed."""
    bare = {"crowding": 0.0, "particles": 0, "filaments": 0}
    for seed in range(4):
        phantom = clean_phantom(small(family, shape=(30, 48, 48), seed=seed, **bare))
        assert (phantom.ground_truth == 1).mean() > 0.03, seed


def test_hidden_membrane_is_membrane_whose_normal_is_in_the_wedge(phantoms: dict[str, Phantom]) -> None:
    """Hidden voxels are part of the truth, and there are none without a missing wedge."""
    phantom = phantoms["gyroid"]
    hidden = phantom.membrane_in_wedge
    assert (phantom.ground_truth[hidden] == 1).all()
    # A gyroid has normals of all directions: those within 30° of z about y are about a third.
    assert 0.2 < hidden.sum() / (phantom.ground_truth == 1).sum() < 0.5
    assert not clean_phantom(small("tubes", max_tilt_deg=None)).membrane_in_wedge.any()


def test_settings_of_a_family_can_be_overridden_and_survive_a_round_trip() -> None:
    """What is given beside a family wins, and a dumped specification is the same one again."""
    spec = small("cristae", profile="line", particles=3)
    assert (spec.geometry, spec.profile, spec.particles) == ("cristae", "line", 3)
    assert PhantomSpec.model_validate(spec.model_dump()) == spec


def test_an_unknown_family_is_refused_with_the_names_of_all() -> None:
    """The message names the families."""
    with pytest.raises(ValidationError, match=r"no family 'mitochondrion'; the families are vesicles, .*cristae"):
        PhantomSpec(family="mitochondrion")


def test_a_damaged_and_tilted_lamella_fades_towards_its_surfaces() -> None:
    """Vacuum has neither density nor labels, and membranes are weaker just below a surface than in the middle."""
    phantom = clean_phantom(
        small("lamella", lamella_tilt_deg=0, crowding=0, particles=0, fiducials=0, damage_A=200, profile="bilayer")
    )
    assert np.abs(phantom.density[0]).max() < 0.05
    assert not phantom.ground_truth[[0, -1]].any()
    inside = [phantom.density[z][phantom.ground_truth[z] == 1] for z in (10, 18)]
    assert inside[0].std() < 0.75 * inside[1].std()


def test_imaging_keeps_the_ground_truth() -> None:
    """Imaging changes the density alone."""
    spec = small("cytosol")
    imaged, clean = synthesize(spec), clean_phantom(spec)
    assert np.array_equal(imaged.ground_truth, clean.ground_truth)
    assert np.corrcoef(imaged.density.ravel(), clean.density.ravel())[0, 1] < -0.2
