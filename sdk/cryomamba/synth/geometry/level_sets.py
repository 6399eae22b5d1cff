"""Level sets of smooth fields: of filtered noise, of a gyroid out of shape, and of a sheet that noise has folded."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.lattice import Field, Lattice, per_angstrom, smooth_minimum
from cryomamba.synth.objects import Membrane, rotation
from cryomamba.synth.spec import PhantomSpec

_APART_A = 110.0
"""Least distance in Å between two levels of one field, where its slope is the usual one."""


def random_field(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Two or three level sets of band-limited noise; neighbouring levels run side by side."""
    lattice = Lattice(spec.extent_A)
    wavelength = rng.uniform(700, 1100)
    # A share of the noise at twice the wavelength makes the width of the channels uneven.
    field = lattice.noise(wavelength, rng) + 0.7 * lattice.noise(2 * wavelength, rng)
    heights = per_angstrom(field)
    first = rng.uniform(-0.5, 0.5) * _APART_A
    levels = [first, first + _APART_A * rng.uniform(1, 2.5)]
    return [lattice.membrane(heights - np.float32(level), rng.uniform(*spec.thickness_A)) for level in levels]


def gyroid(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """One gyroid of a period of 85 to 135 nm, turned and out of shape, or two parallel ones."""
    lattice = Lattice(spec.extent_A)
    period = rng.uniform(850, 1350)
    turn = rotation(rng)
    phases = []
    for axis in range(3):
        place = lattice.along(turn[axis], np.zeros(3)) + 0.09 * period * lattice.noise(1.3 * period, rng)
        phases.append(np.asarray(place * np.float32(2 * np.pi / period), np.float32))
    u, v, w = phases
    heights = per_angstrom(np.sin(u) * np.cos(v) + np.sin(v) * np.cos(w) + np.sin(w) * np.cos(u))
    offset = rng.uniform(60, 80)
    levels = (-offset, offset) if rng.random() < 0.5 and period > 1100 else (0.0,)
    return [lattice.membrane(heights - np.float32(level), rng.uniform(*spec.thickness_A)) for level in levels]


def folds(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Sheets that are folded over on themselves, with invaginations and buds on one of them."""
    lattice = Lattice(spec.extent_A)
    extent = np.asarray(spec.extent_A)
    normal = rng.standard_normal(3) * (0.6, 1, 1)
    normal /= np.linalg.norm(normal)
    height = lattice.along(normal, rng.uniform(0.35, 0.65, 3) * extent)
    wavelength = rng.uniform(1000, 1600)
    height = height + rng.uniform(0.16, 0.24) * wavelength * lattice.noise(wavelength, rng)
    height = per_angstrom(height + 40 * lattice.noise(500, rng))
    span = float(np.abs(normal) @ extent)
    count = max(2, round(span / 650))
    # Evenly among the heights that there are in the specimen, so that a small box has its share of membrane too.
    ends = zip(*spec.slab_A, strict=True)
    filled = [
        (low <= axis.ravel()) & (axis.ravel() <= high) for axis, (low, high) in zip(lattice.axes, ends, strict=True)
    ]
    heights = height[np.ix_(*filled)]
    levels = np.quantile(heights, 0.08 + 0.84 * (np.arange(count) + rng.uniform(0.15, 0.85, count)) / count)
    levels = levels[np.diff(levels, prepend=-np.inf) > 2 * _APART_A]
    budded = rng.integers(len(levels))
    fields = [height - np.float32(level) for level in levels]
    fields[budded] = _with_buds(lattice, fields[budded], [f for i, f in enumerate(fields) if i != budded], rng)
    return [lattice.membrane(field, rng.uniform(*spec.thickness_A)) for field in fields]


def _with_buds(lattice: Lattice, height: Field, others: list[Field], rng: np.random.Generator) -> Field:
    """Join spheres of 25 to 60 nm with the side below a sheet, along necks, where they meet no other sheet."""
    z, y, x = lattice.axes
    close = np.argwhere(np.abs(height) < 15)
    for place in rng.permutation(close)[: max(3, len(close) // 1500)]:
        radius = rng.uniform(125, 300)
        slope = _slope_at(height, place)
        direction = slope / max(float(np.linalg.norm(slope)), 1e-6) * rng.choice([-1, 1])
        start = np.array([axis.ravel()[i] for axis, i in zip(lattice.axes, place, strict=True)])
        centre = (start + direction * radius * rng.uniform(0.5, 1.15)).astype(np.float32)
        bud = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) - np.float32(radius)
        if any((np.abs(other)[bud < _APART_A / 2] < _APART_A / 2).any() for other in others):
            continue
        outward = float(direction @ slope) > 0
        height = smooth_minimum(height, bud, 90.0) if outward else -smooth_minimum(-height, bud, 90.0)
    return height


def _slope_at(field: Field, place: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the gradient (3,) of a field at one of its points, per lattice point."""
    z, y, x = np.clip(place, 1, np.array(field.shape) - 2)
    around = field[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
    return np.array([np.asarray(np.gradient(around, axis=axis))[1, 1, 1] for axis in range(3)])
