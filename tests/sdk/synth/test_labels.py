"""Phantoms from labels: the labels are the truth, and the density is where they are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cryomamba.errors import InvalidRequestError
from cryomamba.synth import PhantomSpec, clean_phantom
from cryomamba.synth.labels import medial_surface
from cryomamba.synth.profiles import bilayer_profile

CLEAN = {"lamella": 1.0, "crowding": 0.0, "fiducials": 0, "thickness_A": (44.0, 44.0)}
SHAPE, VOXEL_A = (48, 56, 60), 11.0
CENTRE, RADIUS_A = np.array([24.3, 28.6, 29.1]) * VOXEL_A, 190.0


def radii() -> NDArray[np.float64]:
    """Return the distance in Å of each voxel from the surface of a sphere."""
    grid = np.stack(np.meshgrid(*(np.arange(n) * VOXEL_A for n in SHAPE), indexing="ij"), -1)
    return np.asarray(np.linalg.norm(grid - CENTRE, axis=-1) - RADIUS_A)


def spec(**fields: object) -> PhantomSpec:
    return PhantomSpec.model_validate({"shape": SHAPE, "voxel_size_A": VOXEL_A, **CLEAN, **fields})


@pytest.mark.parametrize(("dtype", "thickness"), [(np.bool_, 22.0), (np.int8, 44.0), (np.uint16, 66.0)])
def test_labels_of_any_kind_are_the_truth(dtype: type, thickness: float) -> None:
    """Whatever the labels are called and however thick they are, the truth is where they are not 0."""
    inside = np.abs(radii()) <= thickness / 2
    phantom = clean_phantom(spec(), inside.astype(dtype))
    assert np.array_equal(phantom.ground_truth == 1, inside)
    assert not (phantom.membrane_in_wedge & ~inside).any()


@pytest.mark.parametrize("thickness", [22.0, 44.0, 66.0])
def test_density_follows_the_middle_of_the_labels(thickness: float) -> None:
    """The density is that of a membrane at the distance from the sphere in the middle of the labels."""
    phantom = clean_phantom(spec(), np.abs(radii()) <= thickness / 2)
    expected = bilayer_profile(np.abs(radii()).astype(np.float32), 44.0, VOXEL_A / np.sqrt(12))
    assert np.corrcoef(phantom.density.ravel(), expected.ravel())[0, 1] > 0.93
    assert np.abs(phantom.density[np.abs(radii()) > 60]).max() < 0.05


def test_the_medial_surface_lies_between_the_sides_to_a_fraction_of_a_voxel() -> None:
    """Points of the surface are within 3 Å of the sphere on average, and normals point along its radius."""
    surface = medial_surface(np.abs(radii()) <= 27, (VOXEL_A,) * 3)
    offset = surface.points - CENTRE
    away = np.linalg.norm(offset, axis=1) - RADIUS_A
    assert np.abs(away).mean() < 3
    along = np.abs(np.einsum("ni,ni->n", offset, surface.normals)) / (away + RADIUS_A)
    assert np.median(along) > 0.98


def test_neighbouring_membranes_stay_apart() -> None:
    """Between two parallel labelled sheets there is no third membrane."""
    labels = np.zeros((24, 40, 40), np.uint8)
    labels[:, :, 10:14], labels[:, :, 20:24] = 1, 7
    density = clean_phantom(spec(shape=labels.shape), labels).density
    profile = density[8:16, 10:30].mean(axis=(0, 1))
    assert profile[16:18].max() < 0.1
    assert profile[9:15].max() > 0.6
    assert np.allclose(profile[8:16], profile[18:26], atol=0.05)


def test_hidden_labels_are_those_across_the_beam() -> None:
    """Of a sheet parallel to xy all voxels are hidden by a missing wedge, of one along it none."""
    for axis, share in ((0, 1.0), (2, 0.0)):
        labels = np.zeros((30, 30, 30), np.uint8)
        np.moveaxis(labels, axis, 0)[13:17] = 1
        hidden = clean_phantom(spec(shape=labels.shape), labels).membrane_in_wedge
        assert hidden.sum() == share * labels.sum()


def test_content_keeps_clear_of_labelled_membranes() -> None:
    """Particles are placed beside the labels, and studs and bound particles near them."""
    labels = np.zeros((48, 56, 60), np.uint8)
    labels[:, :, 28:32] = 1
    phantom = clean_phantom(
        spec(particles=6, particle_kinds="ribosome", profile="studded", bound_particles=0.5), labels
    )
    away = np.abs(phantom.particles_A[:, 2] - 29.5 * VOXEL_A)
    assert len(away) >= 4
    assert away.min() > 120
    assert (away < 190).sum() >= 2
    assert (phantom.ground_truth == 2).any()
    assert phantom.density[:, :, 20:27].max() > 0.5


def test_labels_of_another_shape_are_refused() -> None:
    """The message has both shapes."""
    with pytest.raises(InvalidRequestError, match="The labels have 8 × 8 × 9 voxels and the phantom has 48 × 56 × 60"):
        clean_phantom(spec(), np.ones((8, 8, 9), np.uint8))


def test_empty_labels_give_a_phantom_without_membranes() -> None:
    """Without labels there is no membrane, and everything else is still there."""
    phantom = clean_phantom(spec(particles=2), np.zeros(SHAPE, np.uint8))
    assert not (phantom.ground_truth == 1).any()
    assert len(phantom.particles_A) == 2
