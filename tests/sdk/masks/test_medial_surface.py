"""The medial surface: one voxel thick, without holes, where and as large as it should be, with the right normals."""

from __future__ import annotations

import math

import cc3d
import edt
import numpy as np
import numpy.typing as npt
import pytest

from cryomamba.masks.medial_surface import MedialSurfacePart, medial_surface, typical_thickness_A
from cryomamba.masks.slabs import LabelSource

Mask = npt.NDArray[np.bool_]
Size = tuple[float, float, float]


def ball_shell(radius_A: float, thickness_A: float, size: Size) -> tuple[Mask, npt.NDArray[np.float64]]:
    """Return a spherical membrane about a centre that lies on no voxel, and that centre in Å."""
    reach = radius_A + thickness_A / 2 + 6 * max(size)
    shape = [math.ceil(2 * reach / along) for along in size]
    centre = np.array([(count - 1) / 2 + off for count, off in zip(shape, (0.3, -0.2, 0.4), strict=True)]) * size
    z, y, x = (np.arange(count) * along - at for count, along, at in zip(shape, size, centre, strict=True))
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    return np.abs(distance - radius_A) <= thickness_A / 2, centre


def surface_of(
    mask: npt.NDArray[np.generic], size: Size, thickness_A: float, *, planes: int = 1000
) -> MedialSurfacePart:
    """Return the medial surface of all slabs together."""
    source = LabelSource.of_array(mask, size, slab_voxels=planes * mask.shape[1] * mask.shape[2])
    parts = list(medial_surface(source, 1, thickness_A))
    fields = ("voxels", "points", "normals", "areas_A2", "depths")
    return MedialSurfacePart(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def as_mask(found: MedialSurfacePart, shape: tuple[int, ...]) -> Mask:
    thin = np.zeros(shape, np.bool_)
    thin[tuple(found.voxels.T)] = True
    return thin


@pytest.mark.parametrize("size", [(10.0,) * 3, (7.0,) * 3, (14.0,) * 3, (16.0, 9.0, 9.0)])
@pytest.mark.parametrize("radius_A", [200.0, 400.0])
def test_a_vesicle_comes_out_as_a_sphere(size: Size, radius_A: float) -> None:
    """Normals are radial, the area is 4πr² within 3 %, points lie on the sphere within 3 Å, all at sub-voxel places."""
    mask, centre = ball_shell(radius_A, 45, size)
    found = surface_of(mask, size, 45)
    away = found.points * size - centre
    distance = np.linalg.norm(away, axis=1)
    cosine = np.abs((away / distance[:, None] * found.normals).sum(axis=1))
    assert np.degrees(np.arccos(np.clip(cosine, 0, 1))).max() < 9
    assert np.degrees(np.arccos(np.clip(cosine, 0, 1))).mean() < 2
    assert found.areas_A2.sum() == pytest.approx(4 * np.pi * radius_A**2, rel=0.03)
    assert abs(distance.mean() - radius_A) < 3
    assert distance.std() < 1


@pytest.mark.parametrize("size", [(10.0,) * 3, (7.0,) * 3, (16.0, 9.0, 9.0)])
def test_the_surface_is_thin_whole_and_without_holes(size: Size) -> None:
    """One component; inside and outside are apart over faces; every voxel of the mask has it within reach."""
    mask, _ = ball_shell(200, 45, size)
    thin = as_mask(surface_of(mask, size, 45), mask.shape)
    assert (mask | ~thin).all()
    assert cc3d.connected_components(thin.view(np.uint8), connectivity=26).max() == 1
    assert cc3d.connected_components((~thin).view(np.uint8), connectivity=6).max() == 2
    far = edt.edt(np.ascontiguousarray(~thin), anisotropy=size)[mask]
    assert far.max() <= 45 / 2 + max(size)
    # Of two voxels on top of each other, one would do: hardly any can go without opening the sphere.
    naive = 4 * np.pi * 200**2 * np.mean([1 / a / b for a, b in ((size[1], size[2]), (size[0], size[2]))])
    assert thin.sum() < naive


@pytest.mark.parametrize("normal", [(1, 0, 0), (0, 1, 1), (1, 2, 3), (1, 1, 1)])
def test_a_plane_is_a_naive_plane(normal: tuple[int, int, int]) -> None:
    """In any direction there is one voxel in each column along the axis that the plane crosses most squarely."""
    unit = np.array(normal) / np.linalg.norm(normal)
    places = np.moveaxis(np.indices((40, 40, 40)), 0, -1) - 19.3
    found = surface_of(np.abs(places @ unit) <= 2.25, (10.0,) * 3, 45)
    inner = np.abs(found.voxels - 19.5).max(axis=1) < 12
    assert np.abs((found.points[inner] - 19.3) @ unit).max() < 0.3
    assert np.abs(found.normals[inner] @ unit).min() > np.cos(np.radians(4))
    axis = int(np.abs(unit).argmax())
    columns = np.delete(found.voxels[inner], axis, axis=1)
    assert len(np.unique(columns, axis=0)) == len(columns)


def test_results_do_not_depend_on_slabs() -> None:
    """Cut into slabs of seven planes, the surface is the same, voxel for voxel and place for place."""
    mask, _ = ball_shell(150, 45, (10.0,) * 3)
    whole, cut = (surface_of(mask, (10.0,) * 3, 45, planes=planes) for planes in (1000, 7))
    np.testing.assert_array_equal(whole.voxels, cut.voxels)
    np.testing.assert_allclose(whole.points, cut.points, atol=1e-4)
    np.testing.assert_allclose(np.abs((whole.normals * cut.normals).sum(axis=1)), 1, atol=1e-4)


def test_two_membranes_side_by_side_stay_two() -> None:
    """Parallel membranes with two voxels between them have a surface each, and none in the gap."""
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[10:15] = mask[17:22] = 1
    found = surface_of(mask, (10.0,) * 3, 50)
    assert set(found.voxels[:, 0].tolist()) == {12, 19}
    assert len(found.voxels) == 2 * 40 * 40


def test_other_labels_and_nothing() -> None:
    """Other labels are background, None merges all, and an empty mask has no surface."""
    mask, _ = ball_shell(150, 45, (10.0,) * 3)
    two = LabelSource.of_array(mask.astype(np.uint8) * 2, (10.0,) * 3)
    (none,), (all_,) = medial_surface(two, 1, 45), medial_surface(two, None, 45)
    assert not len(none.voxels)
    assert len(all_.voxels) == len(surface_of(mask, (10.0,) * 3, 45).voxels)
    assert typical_thickness_A(two, 1) == 0
    assert typical_thickness_A(two, 2) == pytest.approx(45, abs=5)
