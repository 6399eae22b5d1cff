"""Macromolecules as groups of overlapping spheres, about as dense together as a leaflet."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.objects import Filament, Spheres, Vectors, rotation, unit_vectors
from cryomamba.synth.spec import FilamentKind, ParticleKind, PhantomSpec

RIBOSOME_A, PROTEASOME_A = 250.0, 150.0
MICROTUBULE_A, ACTIN_A = 250.0, 70.0
_PROTOFILAMENTS, _DIMER_HALF_A, _WALL_RADIUS_A = 13, 40.0, 112.0
"""A microtubule has 13 protofilaments of tubulin monomers 40 Å apart, in a left-handed helix of three starts."""
_ACTIN_RISE_A, _ACTIN_TWIST_RAD = 27.5, np.radians(-166.7)


def particle_diameter(kind: ParticleKind, spec: PhantomSpec) -> float:
    """Return the largest diameter in Å of a kind of particle."""
    return {"sphere": spec.particle_diameter_A, "ribosome": RIBOSOME_A, "proteasome": PROTEASOME_A}[kind]


def filament_diameter(kind: FilamentKind, spec: PhantomSpec) -> float:
    """Return the diameter in Å of a kind of filament."""
    return {"tube": spec.filament_diameter_A, "microtubule": MICROTUBULE_A, "actin": ACTIN_A}[kind]


def _sphere(diameter_A: float, _rng: np.random.Generator) -> Spheres:
    return Spheres.of(np.zeros((1, 3)), diameter_A, 1.0)


def _ribosome(_diameter_A: float, rng: np.random.Generator) -> Spheres:
    """Return a round large subunit and a flat small one with a cleft between them, both of uneven lumps, and stalks."""
    large = np.concatenate([[(-30, 0, 0)], unit_vectors(rng, 26) * rng.uniform(50, 76, (26, 1)) + (-30, 0, 0)])
    small = np.concatenate([[(72, -25, 5), (72, 30, 15)], unit_vectors(rng, 14) * (30, 66, 52) + (76, 0, 10)])
    stalks = np.array([[-20, 92, 25], [-15, 104, 30], [80, -62, 5]])
    sizes = np.concatenate([[140], rng.uniform(42, 70, 26), [84, 80], rng.uniform(36, 60, 14), [40, 36, 44]])
    dense = np.concatenate([[0.7], rng.uniform(0.1, 0.7, 26), [0.6, 0.6], rng.uniform(0.1, 0.6, 14), [0.6, 0.5, 0.6]])
    return Spheres.of(np.concatenate([large, small, stalks]), sizes, dense)


def _proteasome(_diameter_A: float, _rng: np.random.Generator) -> Spheres:
    """Return four rings of seven subunits: a barrel of 120 × 150 Å, hollow along its axis."""
    angles = 2 * np.pi * np.arange(7) / 7
    rings = [
        np.stack([np.full(7, height), 36 * np.cos(angles + turn), 36 * np.sin(angles + turn)], 1)
        for height, turn in ((-51, 0.0), (-17, 0.4), (17, 0.4), (51, 0.0))
    ]
    return Spheres.of(np.concatenate(rings), 48, 0.75)


_PARTICLES: Final[Mapping[ParticleKind, Callable[[float, np.random.Generator], Spheres]]] = {
    "sphere": _sphere,
    "ribosome": _ribosome,
    "proteasome": _proteasome,
}


def particle_spheres(kind: ParticleKind, diameter_A: float, centre_A: Vectors, rng: np.random.Generator) -> Spheres:
    """Return a particle of a kind at `centre_A`, turned at random."""
    # All particles of one kind are alike: the shape has a stream of its own.
    shape = _PARTICLES[kind](diameter_A, np.random.default_rng(5))
    return Spheres.of(shape.centres_A @ rotation(rng).T + centre_A, shape.diameters_A, shape.densities)


def filament_spheres(filament: Filament, rng: np.random.Generator) -> Spheres:
    """Return the subunits of a microtubule or of an actin filament along its centre line."""
    line = filament.line_A.astype(np.float64)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    side, up = _frames(line)
    if filament.kind == "microtubule":
        rows = np.arange(0, length[-1], _DIMER_HALF_A)
        turns = 2 * np.pi * np.arange(_PROTOFILAMENTS) / _PROTOFILAMENTS
        places = (rows[:, None] + 3 * _DIMER_HALF_A * np.arange(_PROTOFILAMENTS) / _PROTOFILAMENTS).ravel()
        angles, radius, size, density = np.tile(turns, len(rows)), _WALL_RADIUS_A - 12, 52.0, 0.6
    else:
        places = np.arange(0, length[-1], _ACTIN_RISE_A)
        angles, radius, size, density = _ACTIN_TWIST_RAD * np.arange(len(places)), 17.0, 46.0, 0.7
    angles, places = angles[places <= length[-1]] + rng.uniform(0, 2 * np.pi), places[places <= length[-1]]
    at, across, above = (
        np.stack([np.interp(places, length, values[:, i]) for i in range(3)], 1) for values in (line, side, up)
    )
    centres = at + radius * (np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * above)
    return Spheres.of(centres, size, density)


def _frames(line: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors (n, 3) across a line at each of its points, that turn as little as possible along it."""
    tangents = np.gradient(line, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    start = np.eye(3)[np.argmin(np.abs(tangents[0]))]
    sides = []
    for tangent in tangents:
        start = start - tangent * (start @ tangent)
        start = start / np.linalg.norm(start)
        sides.append(start)
    side = np.array(sides)
    return side, np.cross(tangents, side)


def atp_synthases(points: Vectors, outward: Vectors) -> Spheres:
    """Return heads of 95 Å on stalks that stand on a membrane at `points` (n, 3), towards unit vectors `outward`."""
    return Spheres.joined([Spheres.of(points + 120 * outward, 95, 0.9), Spheres.of(points + 55 * outward, 36, 0.5)])


def studs(points: Vectors, normals: Vectors, rng: np.random.Generator) -> Spheres:
    """Return proteins on a membrane at `points` (n, 3): a third are ATP synthases on one side, others small domains."""
    heads = rng.random(len(points)) < 1 / 3
    either = rng.choice([-1.0, 1.0], (len(points), 1))
    others, away = points[~heads], (normals * either)[~heads]
    domains = others + rng.uniform(42, 65, (len(others), 1)) * away
    return Spheres.joined(
        [
            atp_synthases(points[heads], normals[heads] * rng.choice([-1, 1])),
            Spheres.of(domains, rng.uniform(36, 70, len(others)), 0.7),
        ]
    )
