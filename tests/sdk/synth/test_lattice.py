"""Surfaces on a lattice have the distances that geometry says."""

import numpy as np
import pytest

from cryomamba.synth.lattice import Lattice, signed_distance, smooth_maximum, smooth_minimum
from cryomamba.synth.objects import Membrane
from cryomamba.synth.render import Canvas, draw_membrane

LATTICE = Lattice((640.0, 720.0, 800.0))
CENTRE, RADIUS = np.array([320.0, 350.0, 410.0]), 220.0


def ball(power: int = 1) -> Membrane:
    """Return a sphere, given by a function of its radius that need not be a distance."""
    z, y, x = (np.square(axis - np.float32(c)) for axis, c in zip(LATTICE.axes, CENTRE, strict=True))
    return LATTICE.membrane((np.sqrt(z + y + x) / RADIUS) ** power - 1, 45.0)


@pytest.mark.parametrize("power", [1, 4])
def test_distance_from_a_sphere_does_not_depend_on_the_function(power: int) -> None:
    """Near the surface the value is the distance in Å and the gradient the normal, also if the function is steep."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((4000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    away = rng.uniform(-45, 45, 4000)
    points = (CENTRE + direction * (RADIUS + away)[:, None]).astype(np.float32)
    value, gradient = ball(power).surface.implicit(points)
    assert np.abs(value - away).max() < 6
    assert np.abs(value - away).mean() < 2
    assert np.einsum("ni,ni->n", gradient / np.linalg.norm(gradient, axis=1)[:, None], direction).min() > 0.99


@pytest.mark.parametrize("voxel", [6.0, 12.0, 20.0])
def test_a_drawn_sphere_has_its_thickness_at_its_radius(voxel: float) -> None:
    """The volume of the labelled shell is that of the formula, and its voxels lie within half the thickness."""
    shape = (int(640 / voxel), int(720 / voxel), int(800 / voxel))
    canvas = Canvas.empty(shape, (voxel,) * 3)
    draw_membrane(canvas, ball())
    places = np.argwhere(canvas.ground_truth == 1) * voxel
    away = np.linalg.norm(places - CENTRE, axis=1) - RADIUS
    assert np.abs(away).max() < 22.5 + 3
    assert len(places) * voxel**3 == pytest.approx(4 * np.pi * RADIUS**2 * 45, rel=0.05)


def test_a_bound_leaves_an_open_rim() -> None:
    """Where the bound is positive there is no membrane, neither labels nor density."""
    whole = ball()
    half = LATTICE.surface(LATTICE.along(np.array([0.0, 0.0, 1.0]), CENTRE))
    canvas = Canvas.empty((40, 45, 50), (16.0,) * 3)
    draw_membrane(canvas, Membrane(whole.surface, 45.0, whole.centre, np.inf, half))
    kept = np.argwhere(canvas.ground_truth == 1)[:, 2] * 16
    assert kept.max() <= CENTRE[2]
    assert kept.min() < CENTRE[2] - 200
    assert np.abs(canvas.density[:, :, int(CENTRE[2] / 16) + 4 :]).max() < 0.05


def test_a_function_without_a_zero_has_no_surface() -> None:
    """Where a function comes near zero and does not reach it, nothing is drawn."""
    canvas = Canvas.empty((16, 16, 16), (20.0,) * 3)
    lattice = Lattice((320.0, 320.0, 320.0))
    values = np.asarray(1 + np.square(lattice.noise(300, np.random.default_rng(1))), np.float32)
    draw_membrane(canvas, lattice.membrane(values, 45.0))
    assert not canvas.ground_truth.any()
    assert (signed_distance(np.ones((4, 4, 4), np.float32)) > 1000).all()


def test_noise_has_unit_deviation_and_the_wavelength() -> None:
    """Along a line, a random field crosses zero about twice in a wavelength."""
    field = Lattice((3000.0, 1500.0, 1500.0)).noise(500.0, np.random.default_rng(2))
    assert field.std() == pytest.approx(1, abs=0.01)
    crossings = (np.diff(np.sign(field), axis=0) != 0).sum(axis=0).mean()
    assert crossings == pytest.approx(2 * field.shape[0] * 20 / 500, rel=0.2)


def test_smooth_minimum_is_the_minimum_away_from_the_crease() -> None:
    """Further apart than the rounding, the values are the smaller and the larger one; between, a little beyond them."""
    a, b = np.array([0.0, 5.0, 5.0], np.float32), np.array([30.0, 5.0, -40.0], np.float32)
    assert smooth_minimum(a, b, 10)[[0, 2]].tolist() == [0, -40]
    assert smooth_maximum(a, b, 10)[[0, 2]].tolist() == [30, 5]
    assert smooth_minimum(a, b, 10)[1] == pytest.approx(2.5)
