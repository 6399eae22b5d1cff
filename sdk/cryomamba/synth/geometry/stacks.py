"""Stacks of closed cisternae with rims: flat ones as thylakoids, bowls with swollen rims as the Golgi apparatus."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.lattice import Field, Lattice
from cryomamba.synth.objects import Membrane
from cryomamba.synth.spec import PhantomSpec

_ATTEMPTS = 30
_APART_A = 90.0
"""Least distance in Å between the mid-surfaces of two membranes."""


def stacks(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Stacks that do not overlap, in any direction, and small vesicles beside them."""
    lattice = Lattice(spec.extent_A)
    low, high = (np.asarray(corner) for corner in spec.slab_A)
    wanted = max(2, round(spec.slab_volume_A3 / 1.6e9))
    field = np.full(lattice.shape, 1e4, np.float32)
    placed = 0
    for _ in range(_ATTEMPTS):
        if placed == wanted:
            break
        stack = _stack(lattice, rng.uniform(low, high), rng)
        if not _close(field, stack):
            field, placed = np.minimum(field, stack), placed + 1
    for _ in range(4 * wanted):
        vesicle = _ball(lattice, rng.uniform(low, high), rng.uniform(140, 260))
        if not _close(field, vesicle):
            field = np.minimum(field, vesicle)
    return [lattice.membrane(field, rng.uniform(*spec.thickness_A))]


def _close(one: Field, other: Field) -> bool:
    return bool((one + other < _APART_A)[(one < _APART_A) & (other < _APART_A)].any())


def _ball(lattice: Lattice, centre: NDArray[np.float64], radius: float) -> Field:
    z, y, x = (np.square(axis - np.float32(c)) for axis, c in zip(lattice.axes, centre, strict=True))
    return np.asarray(np.sqrt(z + y + x) - np.float32(radius), np.float32)


def _stack(lattice: Lattice, centre: NDArray[np.float64], rng: np.random.Generator) -> Field:
    """Return the distance in Å from the walls of a stack, negative inside its cisternae."""
    golgi = rng.random() < 0.5
    normal = rng.standard_normal(3) * (0.6, 1, 1)
    normal /= np.linalg.norm(normal)
    across = np.linalg.qr(np.column_stack([normal, rng.standard_normal((3, 2))]))[0][:, 1:].T
    v, w = (lattice.along(direction, centre) for direction in across)
    radius, angle = np.hypot(v, w), np.arctan2(w, v)
    height = lattice.along(normal, centre) + rng.uniform(8, 25) * lattice.noise(1500, rng)
    if golgi:
        height = height - np.square(radius) * np.float32(rng.uniform(0.2, 0.6) / 2000)
    half, apart = (
        (rng.uniform(48, 60), rng.uniform(230, 280)) if golgi else (rng.uniform(45, 55), rng.uniform(190, 215))
    )
    count = int(rng.integers(3, 6) if golgi else rng.integers(3, 10))
    size = rng.uniform(500, 1000)
    field = np.full(lattice.shape, 1e4, np.float32)
    for level in range(count):
        rim = size * rng.uniform(0.8, 1.15) * (1 + 0.1 * np.cos(2 * angle + rng.uniform(0, 6)))
        beyond = np.maximum(radius - rim.astype(np.float32), 0)
        swollen = half + (25 * np.exp(-np.square((radius - rim) / 90)) if golgi else 0)
        offset = np.float32((level - 0.5 * (count - 1)) * apart)
        field = np.minimum(field, np.hypot(height - offset, beyond) - np.asarray(swollen, np.float32))
    return np.asarray(field, np.float32)
