"""Points as spheres: the circle of the cut in every section."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from napari_cryomamba.layers.sphere_slices import cut_diameters, draw_as_spheres
from napari_cryomamba.models.world_coordinates import Placement

pytestmark = pytest.mark.desktop
# Voxels of 2 × 1 × 1 nm, in a tomogram of 40 × 64 × 64.
SIZE = (20.0, 10.0, 10.0)
RNG = np.random.default_rng(8)
CENTRES = RNG.uniform((4, 8, 8), (36, 56, 56), (60, 3))
DIAMETERS_NM = RNG.uniform(6, 22, 60)


@pytest.fixture
def spheres(viewer: Any) -> Any:
    arguments = Placement.of_volume(SIZE).layer_arguments()
    viewer.add_image(np.zeros((40, 64, 64), np.uint8), **arguments)
    layer = viewer.add_points(CENTRES, size=DIAMETERS_NM, **arguments)
    draw_as_spheres(layer)
    return layer


def circles(layer: Any) -> dict[int, float]:
    """The diameter in nm with which each point is drawn."""
    return dict(zip(layer._view_indices.tolist(), (layer._view_size * layer.scale[-1]).tolist(), strict=True))


def expected(axis: int, at_nm: float) -> dict[int, float]:
    """The same from the equation of a sphere."""
    found = {}
    for index, (centre, diameter) in enumerate(zip(CENTRES, DIAMETERS_NM, strict=True)):
        distance = abs(float(centre[axis]) * SIZE[axis] / 10 - at_nm)
        if distance < diameter / 2:
            found[index] = 2 * ((diameter / 2) ** 2 - distance**2) ** 0.5
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_a_pick_is_a_circle_in_every_section_that_cuts_it(viewer: Any, spheres: Any, order: tuple[int, ...]) -> None:
    """In every section along every axis, with the radius √(r² − d²) in nm, though voxels are twice as high as wide."""
    viewer.dims.order = order
    axis = order[0]
    drawn = 0
    for section in range(viewer.layers[0].data.shape[axis]):
        viewer.dims.set_current_step(axis, section)
        wanted = expected(axis, section * SIZE[axis] / 10)
        assert circles(spheres) == pytest.approx(wanted)
        drawn += len(wanted)
    assert drawn > 300


def test_a_margin_of_the_view_does_not_thicken_picks(viewer: Any, spheres: Any) -> None:
    """A slab of the tomogram leaves the circles as they are."""
    viewer.dims.set_current_step(0, 20)
    before = circles(spheres)
    viewer.dims.margin_left = viewer.dims.margin_right = (10.0, 0.0, 0.0)
    assert circles(spheres) == before


def test_hidden_points_are_drawn_nowhere(viewer: Any, spheres: Any) -> None:
    """Neither in sections nor in 3D, where the others are spheres of their full diameter."""
    shown = np.arange(60) % 3 > 0
    spheres.shown = shown
    viewer.dims.set_current_step(0, 20)
    assert circles(spheres) == pytest.approx({k: v for k, v in expected(0, 40.0).items() if shown[k]})
    viewer.dims.ndisplay = 3
    assert circles(spheres) == pytest.approx({k: DIAMETERS_NM[k] for k in np.flatnonzero(shown)})


def test_a_pick_smaller_than_a_section_is_seen_in_its_own_section() -> None:
    """A plane may miss a small sphere, which would be drawn in no section at all."""
    np.testing.assert_allclose(
        cut_diameters(np.array([0.9, 0.9, 1.1, 3.0]), np.array([1.0, 4.0, 1.0, 10.0]), 2.0),
        [1.0, 2 * (4 - 0.81) ** 0.5, 0, 8],
    )


def press(viewer: Any, layer: Any, world: npt.ArrayLike, to: npt.ArrayLike | None = None) -> None:
    """Click on a layer, or drag."""
    from napari.utils._test_utils import read_only_mouse_event
    from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

    def event(kind: str, at: npt.ArrayLike, *, dragging: bool = False) -> Any:
        return read_only_mouse_event(
            type=kind,
            is_dragging=dragging,
            position=tuple(np.asarray(at, float)),
            view_direction=None,
            dims_displayed=list(viewer.dims.displayed),
            pos=np.zeros(2),
        )

    mouse_press_callbacks(layer, event("mouse_press", world))
    if to is not None:
        mouse_move_callbacks(layer, event("mouse_move", to, dragging=True))
    mouse_release_callbacks(layer, event("mouse_release", world if to is None else to))


def test_points_cut_away_from_their_centre_can_be_edited(viewer: Any, spheres: Any) -> None:
    """Select, move, delete and add work in a section beside the centre; depth and diameters stay."""
    spheres.data, spheres.size = [[20.0, 30, 30], [10.0, 10, 10]], 16.0
    viewer.dims.set_current_step(0, 22)
    spheres.mode = "select"
    press(viewer, spheres, (44, 30, 30), to=(44, 40, 34))
    np.testing.assert_allclose(spheres.data, [[20, 40, 34], [10, 10, 10]])
    assert spheres.selected_data == {0}
    np.testing.assert_allclose(spheres.size, 16)
    assert circles(spheres) == pytest.approx({0: 2 * (64 - 16) ** 0.5})
    spheres.remove_selected()
    np.testing.assert_allclose(spheres.data, [[10, 10, 10]])
    spheres.mode = "add"
    press(viewer, spheres, (44, 50, 20))
    np.testing.assert_allclose(spheres.data, [[10, 10, 10], [22, 50, 20]])
    assert circles(spheres) == pytest.approx({1: spheres.current_size})
