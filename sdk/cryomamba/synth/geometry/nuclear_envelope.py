"""A nuclear envelope: two membranes that join at the rims of round pores, with the rings of the pore complexes."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.lattice import Lattice
from cryomamba.synth.objects import Spheres, Structure
from cryomamba.synth.spec import PhantomSpec

_SPOKES = 8
_FURTHEST_A = 1e4


def envelope(spec: PhantomSpec, rng: np.random.Generator) -> Structure:
    """One envelope across the volume, its sides 24 to 34 nm apart, with pores of 80 to 95 nm."""
    lattice = Lattice(spec.extent_A)
    extent = np.asarray(spec.extent_A)
    normal = rng.standard_normal(3) * (0.5, 1, 1)
    normal /= np.linalg.norm(normal)
    across = np.linalg.qr(np.column_stack([normal, rng.standard_normal((3, 2))]))[0][:, 1:].T
    origin = extent * rng.uniform(0.4, 0.6, 3)
    height = lattice.along(normal, origin) + rng.uniform(30, 70) * lattice.noise(2200, rng)
    v, w = (lattice.along(direction, origin) for direction in across)
    height = height + (np.square(v) + np.square(w)) * np.float32(rng.uniform(-1, 1) / 12_000)
    half, radius = rng.uniform(120, 170), rng.uniform(400, 475)
    places = _spread(float(np.linalg.norm(extent)), 2 * radius + rng.uniform(500, 1300), rng)
    lateral = np.full(lattice.shape, _FURTHEST_A, np.float32)
    for a, b in places:
        lateral = np.minimum(lateral, np.hypot(v - np.float32(a), w - np.float32(b)))
    # Around a pore the two sides join in a half circle.
    short = np.maximum(np.float32(radius + half) - lateral, 0)
    wall = np.asarray(np.hypot(height, short) - np.float32(half), np.float32)
    membrane = lattice.membrane(wall, rng.uniform(*spec.thickness_A))
    middle = lattice.surface(height)
    rings = [_complex(origin + a * across[0] + b * across[1], normal, across, radius, rng) for a, b in places]
    complexes = Spheres.joined(rings)
    points = complexes.centres_A
    # The complexes follow the envelope: each centre so far above the mid-surface as it was above the plane.
    wanted = (points - origin.astype(np.float32)) @ normal.astype(np.float32)
    inside = ((points > -300) & (points < extent + 300)).all(axis=1)
    value, gradient = middle.implicit(points)
    shift = (wanted - value) / np.maximum(np.linalg.norm(gradient, axis=1), 0.5)
    moved = points + normal.astype(np.float32) * shift[:, None]
    kept = Spheres(moved[inside], complexes.diameters_A[inside], complexes.densities[inside])
    return Structure([membrane], kept)


def _spread(span: float, apart: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return places (n, 2) in a square about the origin that are at least `apart` from each other."""
    kept = np.empty((0, 2))
    for place in rng.uniform(-0.6 * span, 0.6 * span, (400, 2)):
        if (np.hypot(*(kept - place).T) > apart).all():
            kept = np.vstack([kept, place])
    return kept


def _complex(
    centre: NDArray[np.float64],
    normal: NDArray[np.float64],
    across: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
) -> Spheres:
    """Return a pore complex: three rings of eight lumps, and a plug."""
    parts = []
    for height, share in ((-150.0, 0.85), (0.0, 0.7), (150.0, 0.85)):
        angles = 2 * np.pi * np.arange(_SPOKES) / _SPOKES + rng.uniform(0, 0.3)
        ring = share * radius * (np.cos(angles)[:, None] * across[0] + np.sin(angles)[:, None] * across[1])
        parts.append(Spheres.of(centre + normal * height + ring, rng.uniform(130, 170, _SPOKES), 0.6))
    plug = centre + rng.normal(0, 60, (3, 3))
    return Spheres.joined([*parts, Spheres.of(plug, 110, 0.4)])
