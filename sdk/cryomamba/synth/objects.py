"""What a phantom is made of, before it is drawn: membranes, spheres, particles and filaments, in Å."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.spec import FilamentKind, ParticleKind
from cryomamba.synth.surfaces import Points, Surface, distance, first_order_distance

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Points (n, 3) spread evenly over a surface, the unit normals (n, 3) there, and the area in Å² of each point."""

    points: Vectors
    normals: Vectors
    area_A2: float


@dataclass(frozen=True)
class Membrane:
    """A surface with a thickness.

    Attributes
    ----------
    surface : Surface
        The mid-surface.
    thickness_A : float
        Thickness in Å.
    centre : array of shape (3,)
        Centre in Å, z, y, x.
    reach_A : float
        Distance from the centre in Å beyond which there is none of it.
    bound : Surface or None
        Where its function is positive the membrane is cut off, so that it ends in an open rim.
    samples : Samples or None
        Points on a membrane whose surface has no sides.
    """

    surface: Surface
    thickness_A: float
    centre: Vectors
    reach_A: float
    bound: Surface | None = None
    samples: Samples | None = None


@dataclass(frozen=True)
class Spheres:
    """Centres (n, 3) and diameters (n,) of spheres in Å, and densities (n,) relative to a leaflet."""

    centres_A: Vectors
    diameters_A: Vectors
    densities: Vectors

    @classmethod
    def of(cls, centres_A: NDArray[np.floating], diameter_A: object, density: object) -> "Spheres":
        """Return spheres at `centres_A` (n, 3); diameter and density are numbers or arrays (n,)."""
        count = len(centres_A)
        sizes, dense = (np.broadcast_to(np.asarray(v, np.float32), (count,)).copy() for v in (diameter_A, density))
        return cls(np.asarray(centres_A, np.float32).reshape(-1, 3), sizes, dense)

    @classmethod
    def joined(cls, parts: "list[Spheres]") -> "Spheres":
        """Return all spheres of `parts`."""
        if not parts:
            return cls.of(np.empty((0, 3)), 0, 0)
        return cls(
            np.concatenate([part.centres_A for part in parts]),
            np.concatenate([part.diameters_A for part in parts]),
            np.concatenate([part.densities for part in parts]),
        )


@dataclass(frozen=True)
class Particles:
    """Centres (n, 3) and diameters (n,) of particles in Å, and their kinds."""

    centres_A: Vectors
    diameters_A: Vectors
    kinds: tuple[ParticleKind, ...]


@dataclass(frozen=True)
class Filament:
    """A filament: its centre line as a polyline (n, 3) and its diameter, in Å."""

    line_A: Vectors
    diameter_A: float
    kind: FilamentKind


@dataclass(frozen=True)
class Structure:
    """The membranes of a geometry, and proteins that belong to it."""

    membranes: list[Membrane]
    proteins: Spheres


def unit_vectors(rng: np.random.Generator, count: int) -> Vectors:
    """Draw `count` directions (count, 3) uniformly from the sphere."""
    vectors = rng.standard_normal((count, 3)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation matrix (3, 3) uniformly."""
    matrix, triangle = np.linalg.qr(rng.standard_normal((3, 3)))
    matrix *= np.sign(np.diag(triangle))
    matrix[:, 0] *= np.linalg.det(matrix)
    return np.asarray(matrix, np.float64)


def clear_of(points: Vectors, membranes: list[Membrane], clearance_A: float) -> bool:
    """Return whether a surface through `points` keeps `clearance_A` from all membranes, on one side of each."""
    for membrane in membranes:
        if np.linalg.norm(points - membrane.centre, axis=1).min() > membrane.reach_A + clearance_A:
            continue
        gap = first_order_distance(membrane.surface, points)
        if gap.min() < clearance_A and gap.max() > -clearance_A:
            return False
    return True


def points_on(
    membrane: Membrane, per_square_A: float, extent_A: tuple[float, float, float], rng: np.random.Generator
) -> tuple[Points, Points]:
    """Draw points (n, 3) on a membrane, about `per_square_A` of them in 1 Å², and the unit normals there."""
    if membrane.samples is not None:
        drawn = rng.random(len(membrane.samples.points)) < per_square_A * membrane.samples.area_A2
        return membrane.samples.points[drawn], membrane.samples.normals[drawn]
    shell = 60.0
    low = np.maximum(0, membrane.centre - membrane.reach_A)
    high = np.minimum(extent_A, membrane.centre + membrane.reach_A)
    size = np.maximum(high - low, 0)
    count = int(rng.poisson(min(float(np.prod(size)) * per_square_A / (2 * shell), 1e6)))
    points = rng.uniform(low, low + size, (count, 3)).astype(np.float32)
    points = points[np.abs(first_order_distance(membrane.surface, points)) < shell]
    away, normals = distance(membrane.surface, points)
    points = points - normals * away[:, None]
    kept = np.abs(first_order_distance(membrane.surface, points)) < 5
    if membrane.bound is not None:
        kept &= membrane.bound.implicit(points)[0] < 0
    return points[kept], normals[kept]
