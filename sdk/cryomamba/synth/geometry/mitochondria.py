"""Mitochondria: an outer membrane, and an inner one with lamellar folds (cristae) that open to the space between."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.lattice import Field, Lattice, smooth_maximum
from cryomamba.synth.macromolecules import atp_synthases
from cryomamba.synth.objects import Membrane, Spheres, Structure, points_on
from cryomamba.synth.spec import PhantomSpec

_HEADS_PER_SQUARE_A = 1 / 150**2


def cristae(spec: PhantomSpec, rng: np.random.Generator) -> Structure:
    """One mitochondrion through the middle of the volume and one beside it, with ATP synthases towards the matrix."""
    lattice = Lattice(spec.extent_A)
    extent = np.asarray(spec.extent_A)
    centre = extent * (0.5, *rng.uniform(0.3, 0.7, 2))
    axis = _direction(rng, 0.3)
    radius = rng.uniform(0.3, 0.38) * float(np.sort(extent)[1])
    side = np.cross(axis, (1, 0, 0)) / np.linalg.norm(np.cross(axis, (1, 0, 0)))
    membranes: list[Membrane] = []
    heads = []
    for place in (centre, centre + side * 2.25 * radius * rng.choice([-1, 1])):
        outer, inner = _mitochondrion(lattice, place, axis, radius, spec, rng)
        membranes += [outer, inner]
        points, normals = points_on(inner, _HEADS_PER_SQUARE_A, spec.extent_A, rng)
        heads.append(atp_synthases(points, -normals))
    return Structure(membranes, Spheres.joined(heads))


def _direction(rng: np.random.Generator, upright: float) -> NDArray[np.float64]:
    direction = rng.standard_normal(3) * (upright, 1, 1)
    return np.asarray(direction / np.linalg.norm(direction), np.float64)


def _mitochondrion(
    lattice: Lattice,
    centre: NDArray[np.float64],
    axis: NDArray[np.float64],
    radius: float,
    spec: PhantomSpec,
    rng: np.random.Generator,
) -> tuple[Membrane, ...]:
    """Return the outer and the inner membrane."""
    outer = _capsule(lattice, centre, axis, radius, rng)
    inner = outer + np.float32(rng.uniform(160, 200)) + 12 * lattice.noise(800, rng)
    matrix = inner
    spacing = rng.uniform(380, 520)
    shape = lattice.noise(1000, rng)
    for position in np.arange(-1.6 * radius, 1.6 * radius, spacing) + rng.uniform(-60, 60):
        crista = _crista(lattice, shape, centre + axis * position, axis, radius, rng)
        matrix = smooth_maximum(matrix, -crista, 50)
    return tuple(lattice.membrane(field, rng.uniform(*spec.thickness_A)) for field in (outer, matrix))


def _capsule(
    lattice: Lattice, centre: NDArray[np.float64], axis: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> Field:
    """Return the distance in Å from the wall of a rod with round ends, a little out of shape."""
    along = lattice.along(axis, centre)
    half = np.float32(rng.uniform(0.8, 1.6) * radius)
    z, y, x = (np.square(c - np.float32(o)) for c, o in zip(lattice.axes, centre, strict=True))
    beyond = np.maximum(np.abs(along) - half, 0)
    radial = np.sqrt(np.maximum(z + y + x - np.square(along), 0) + np.square(beyond))
    return np.asarray(radial - np.float32(radius) + 45 * lattice.noise(1800, rng), np.float32)


def _crista(
    lattice: Lattice,
    shape: Field,
    place: NDArray[np.float64],
    axis: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
) -> Field:
    """Return the distance in Å from the walls of a fold that comes in from one side, negative in its lumen.

    Two parts of the periodic noise `shape` bend it and make its width uneven.
    """
    waves, widths = (np.roll(shape, rng.integers(0, shape.shape), axis=(0, 1, 2)) for _ in range(2))
    normal = axis + 0.25 * rng.standard_normal(3)
    normal /= np.linalg.norm(normal)
    height = lattice.along(normal, place) + rng.uniform(15, 45) * waves
    half = rng.uniform(60, 85) * (1 + 0.15 * widths)
    side = np.cross(normal, rng.standard_normal(3))
    side /= np.linalg.norm(side)
    short = np.maximum(-lattice.along(side, place - side * radius * rng.uniform(0.2, 0.75)), 0)
    return np.asarray(np.hypot(height, short) - half, np.float32)
