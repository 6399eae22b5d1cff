"""Points on surfaces: evenly spread, the same for any slabs, normals that agree and look outward."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial import cKDTree

from cryomamba.masks.instances import find_instances
from cryomamba.masks.medial_surface import medial_surface
from cryomamba.masks.sampling import SurfacePoints, SurfaceSampler, nearest_signs
from cryomamba.masks.slabs import LabelSource

SIZE = (10.0, 10.0, 10.0)


def sampled(mask: npt.NDArray[np.generic], spacing_A: float, *, planes: int = 1000) -> SurfacePoints:
    source = LabelSource.of_array(mask, SIZE, slab_voxels=planes * mask.shape[1] * mask.shape[2])
    instances = find_instances(source)
    sampler, z = SurfaceSampler(spacing_A, SIZE), 0
    for (_, ids), part in zip(instances.slabs(), medial_surface(source, 1, 45), strict=True):
        sampler.add(part, ids[tuple((part.voxels - (z, 0, 0)).T)])
        z += len(ids)
    return sampler.points()


def vesicle(radius: float = 20.0, centre: float = 26.3, side: int = 52) -> npt.NDArray[np.bool_]:
    z, y, x = np.ogrid[0:side, 0:side, 0:side]
    distance = np.sqrt((z - centre) ** 2 + (y - centre) ** 2 + (x - centre) ** 2)
    mask: npt.NDArray[np.bool_] = np.abs(distance - radius) <= 2.25
    return mask


def test_points_are_a_spacing_apart_and_leave_no_gap() -> None:
    """No two points are closer than the spacing, and the whole surface is within the spacing and a cell of one."""
    points = sampled(vesicle(), 60)
    tree = cKDTree(points.positions_A)
    assert np.asarray(tree.query(points.positions_A, k=2)[0])[:, 1].min() >= 60
    source = LabelSource.of_array(vesicle(), SIZE)
    (part,) = medial_surface(source, 1, 45)
    assert np.max(tree.query(part.points * SIZE)[0]) < 60 + 2 * 60 / 4


def test_results_do_not_depend_on_slabs_in_the_points() -> None:
    """Cut into slabs of five planes, the same points come in the same order."""
    whole, cut = sampled(vesicle(), 60), sampled(vesicle(), 60, planes=5)
    np.testing.assert_allclose(whole.positions_A, cut.positions_A, atol=0.01)
    np.testing.assert_allclose(whole.normals, cut.normals, atol=1e-3)


@pytest.mark.parametrize(("planes", "within_deg"), [(0, 5), (18, 10)], ids=["closed", "open above and below"])
def test_normals_of_a_vesicle_look_outward(planes: int, within_deg: float) -> None:
    """Also if the missing wedge removed top and bottom, where rims are less exact."""
    mask = vesicle()
    mask[:planes] = mask[len(mask) - planes :] = False
    points = sampled(mask, 60)
    away = points.positions_A - 263.0
    away /= np.linalg.norm(away, axis=1)[:, None]
    assert len(points) > 30
    assert np.degrees(np.arccos(np.clip((away * points.normals).sum(axis=1), -1, 1))).max() < within_deg


def test_the_inner_of_two_vesicles_looks_outward_too() -> None:
    """Nested vesicles with neighbouring points are oriented separately."""
    mask = vesicle() | vesicle(12.0)
    points = sampled(mask, 60)
    assert set(points.components.tolist()) == {1, 2}
    away = points.positions_A - 263.0
    assert ((away * points.normals).sum(axis=1) > 0).all()


def test_vesicles_that_touch_look_outward_both() -> None:
    """In one component of two vesicles, normals point outward on both."""
    z, y, x = np.ogrid[0:50, 0:50, 0:90]
    centres, radii = np.array([[24.3, 24.6, 25.2], [24.8, 24.1, 60.4]]), (20.0, 15.0)
    away = [np.sqrt((z - c) ** 2 + (y - b) ** 2 + (x - a) ** 2) for c, b, a in centres]
    mask = (np.abs(away[0] - radii[0]) <= 2.25) | (np.abs(away[1] - radii[1]) <= 2.25)
    points = sampled(mask, 60)
    assert set(points.components.tolist()) == {1}
    places = points.positions_A / 10
    nearer = np.array([np.abs(np.linalg.norm(places - at, axis=1) - r) for at, r in zip(centres, radii, strict=True)])
    outward = ((places - centres[nearer.argmin(axis=0)]) * points.normals).sum(axis=1) > 0
    assert outward.mean() > 0.95


def test_a_dent_does_not_turn_normals() -> None:
    """In a dent, where the surface bulges inward, normals still point out of the vesicle."""
    z, y, x = (axis - 29.5 for axis in np.ogrid[0:60, 0:60, 0:60])
    field = np.sqrt(z * z + y * y + x * x) - 23 + 9 * np.exp(-((z - 23) ** 2 + y * y + x * x) / (2 * 6.0**2))
    points = sampled(np.abs(field) <= 2.5, 60)
    outward = np.stack(np.gradient(field), axis=-1)[tuple(np.round(points.positions_A / 10).astype(int).T)]
    assert ((outward * points.normals).sum(axis=1) > 0).mean() > 0.99


def test_a_flat_sheet_looks_up() -> None:
    """Without a bulge, normals agree and point along +z."""
    mask = np.zeros((30, 60, 60), np.uint8)
    mask[13:18] = 1
    points = sampled(mask, 80)
    assert points.normals[:, 0].min() > 0.99


def test_fields_take_the_sign_of_the_nearest_point() -> None:
    """Inward normals get the sign −1, from the points of their own component."""
    points = SurfacePoints(
        np.array([[0.0, 0, 0], [0.0, 0, 50]]), np.array([[1.0, 0, 0], [-1.0, 0, 0]]), np.array([1, 2])
    )
    places = np.array([[0.0, 1, 1], [0.0, 1, 1], [0.0, 0, 50]])
    signs = nearest_signs(points, places, np.array([[1.0, 0, 0]] * 3), np.array([1, 2, 2]))
    assert signs.tolist() == [1, -1, -1]


def test_nothing_has_no_points() -> None:
    """An empty mask gives an empty list."""
    assert not len(sampled(np.zeros((10, 10, 10), np.uint8), 60))
