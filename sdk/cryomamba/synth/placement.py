"""Placement of the objects of a phantom: all random choices, in Å, so that they do not depend on the voxel size."""

from dataclasses import dataclass

import numpy as np

from cryomamba.synth.geometry import place_structure
from cryomamba.synth.macromolecules import filament_diameter, particle_diameter, studs
from cryomamba.synth.objects import (
    Filament,
    Membrane,
    Particles,
    Spheres,
    Structure,
    Vectors,
    clear_of,
    points_on,
    unit_vectors,
)
from cryomamba.synth.spec import ParticleKind, PhantomSpec
from cryomamba.synth.surfaces import Sheet, first_order_distance

_ATTEMPTS = 60
_STUDS_PER_SQUARE_A = 1 / 130**2
_BOUND_GAP_A = 35.0
"""Distance in Å between a bound particle and the mid-surface of its membrane."""


@dataclass(frozen=True)
class PhantomGeometry:
    """All objects of a phantom; positions (z, y, x) in Å from the centre of the first voxel."""

    membranes: list[Membrane]
    proteins: Spheres
    background: Spheres
    fiducials: Spheres
    particles: Particles
    filaments: list[Filament]
    lamella_surfaces: tuple[Sheet, Sheet] | None


def place_objects(spec: PhantomSpec, given: list[Membrane] | None = None) -> PhantomGeometry:
    """Place the objects of `spec`; each kind has its own random stream, so kinds do not affect each other.

    With `given` membranes, the geometry of `spec` is left out, and the other objects keep clear of those.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(spec.seed).spawn(7)]
    structure = place_structure(spec, streams[0]) if given is None else Structure(given, Spheres.joined([]))
    membranes = structure.membranes
    proteins = [structure.proteins]
    if spec.profile == "studded":
        for membrane in membranes:
            places = points_on(membrane, _STUDS_PER_SQUARE_A, spec.extent_A, streams[6])
            proteins.append(studs(*places, streams[6]))
    particles = _particles(spec, streams[3], membranes)
    return PhantomGeometry(
        membranes,
        Spheres.joined(proteins),
        _background(spec, streams[1]),
        _fiducials(spec, streams[2]),
        particles,
        _filaments(spec, streams[4], membranes),
        _lamella_surfaces(spec, streams[5]),
    )


def _slab(spec: PhantomSpec) -> tuple[Vectors, Vectors]:
    """Return the lower and upper corner in Å of the region that contains matter."""
    low, high = spec.slab_A
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _background(spec: PhantomSpec, rng: np.random.Generator) -> Spheres:
    if spec.crowding_shape == "lobed":
        return _lobed_background(spec, rng)
    mean_volume = 6.6e5
    count = round(spec.crowding * spec.slab_volume_A3 / mean_volume)
    low, high = _slab(spec)
    return Spheres(
        rng.uniform(low, high, (count, 3)).astype(np.float32),
        rng.uniform(50, 160, count).astype(np.float32),
        rng.uniform(0.3, 0.7, count).astype(np.float32),
    )


def _lobed_background(spec: PhantomSpec, rng: np.random.Generator) -> Spheres:
    """Return proteins of two lobes; their sizes follow a gamma distribution."""
    mean_volume = 9e5
    count = round(spec.crowding * spec.slab_volume_A3 / mean_volume)
    low, high = _slab(spec)
    centres = rng.uniform(low, high, (count, 3))
    sizes = rng.gamma(4, 22, count).clip(40, 200)
    lobes = centres + unit_vectors(rng, count) * (0.55 * sizes)[:, None]
    dense = rng.uniform(0.3, 0.8, count)
    return Spheres.joined([Spheres.of(centres, sizes, dense), Spheres.of(lobes, 0.8 * sizes, dense)])


def _fiducials(spec: PhantomSpec, rng: np.random.Generator) -> Spheres:
    count = max(1, round(spec.slab_volume_A3 / 3e9)) if spec.fiducials is None else spec.fiducials
    centres = rng.uniform(0, spec.extent_A, (count, 3)).astype(np.float32)
    diameters = spec.fiducial_diameter_A * rng.uniform(0.8, 1.2, count)
    return Spheres(centres, diameters.astype(np.float32), np.full(count, 12, np.float32))


def _particles(spec: PhantomSpec, rng: np.random.Generator, membranes: list[Membrane]) -> Particles:
    count = round(spec.slab_volume_A3 / 1.5e8) if spec.particles is None else spec.particles
    kinds = [spec.particle_kinds[index % len(spec.particle_kinds)] for index in range(count)]
    sizes = np.array([particle_diameter(kind, spec) for kind in kinds])
    bound = _bound_places(spec, rng, membranes, sizes[: round(spec.bound_particles * count)])
    low, high = _slab(spec)
    kept = bound
    for _ in range(_ATTEMPTS * count):
        if len(kept) == count:
            break
        centre, size = rng.uniform(low, high).astype(np.float32), sizes[len(kept)]
        is_apart = (np.linalg.norm(kept - centre, axis=1) > 0.65 * (sizes[: len(kept)] + size)).all()
        if is_apart and clear_of(centre[None], membranes, 0.6 * size + 25):
            kept = np.vstack([kept, centre])
    found: list[ParticleKind] = kinds[: len(kept)]
    return Particles(kept, sizes[: len(kept)].astype(np.float32), tuple(found))


def _bound_places(spec: PhantomSpec, rng: np.random.Generator, membranes: list[Membrane], sizes: Vectors) -> Vectors:
    """Return centres (n, 3) of particles that touch a membrane from one side and keep clear of all others."""
    kept = np.empty((0, 3), np.float32)
    if not len(sizes) or not membranes:
        return kept
    found = [points_on(membrane, 1 / 150**2, spec.extent_A, rng) for membrane in membranes]
    points, normals = (np.concatenate(parts) for parts in zip(*found, strict=True))
    for index in rng.permutation(len(points)):
        if len(kept) == len(sizes):
            break
        gap = 0.5 * sizes[len(kept)] + _BOUND_GAP_A
        centre = points[index] + normals[index] * np.float32(gap)
        gaps = [abs(float(first_order_distance(m.surface, centre[None])[0])) for m in membranes]
        apart = np.linalg.norm(kept - centre, axis=1) > 1.1 * sizes[0]
        if min(gaps) > gap - 25 and apart.all() and _inside(spec, centre):
            kept = np.vstack([kept, centre])
    return kept


def _inside(spec: PhantomSpec, centre: Vectors) -> bool:
    low, high = _slab(spec)
    return bool(((centre >= low) & (centre <= high)).all())


def _filaments(spec: PhantomSpec, rng: np.random.Generator, membranes: list[Membrane]) -> list[Filament]:
    """Return parabolic arcs that do not touch the membranes or each other."""
    count = max(1, round(spec.slab_volume_A3 / 4e9)) if spec.filaments is None else spec.filaments
    low, high = _slab(spec)
    arcs: list[Filament] = []
    for _ in range(_ATTEMPTS * count):
        if len(arcs) == count:
            break
        kind = spec.filament_kinds[len(arcs) % len(spec.filament_kinds)]
        diameter = filament_diameter(kind, spec)
        length = rng.uniform(0.4, 0.9) * max(spec.extent_A)
        way = unit_vectors(rng, 1)[0] * (0.4, 1, 1)
        way /= np.linalg.norm(way)
        side = np.cross(way, unit_vectors(rng, 1)[0])
        run = np.linspace(-0.5, 0.5, 60)[:, None]
        arc = rng.uniform(low, high) + way * run * length + side * (run**2) * length * rng.uniform(0, 0.3)
        gaps = (np.linalg.norm(arc[:, None] - f.line_A[None], axis=2).min() / (diameter + f.diameter_A) for f in arcs)
        apart = all(gap > 0.6 for gap in gaps)
        if apart and clear_of(arc.astype(np.float32), membranes, 0.6 * diameter + 25):
            arcs.append(Filament(arc.astype(np.float32), diameter, kind))
    return arcs


def _lamella_surfaces(spec: PhantomSpec, rng: np.random.Generator) -> tuple[Sheet, Sheet] | None:
    if spec.lamella == 1:
        return None
    low, high = _slab(spec)
    surfaces = []
    slope = np.tan(np.radians(spec.lamella_tilt_deg)) * rng.uniform(-1, 1, 2) if spec.lamella_tilt_deg else np.zeros(2)
    for height in (low[0], high[0]):
        normal = np.array([1, *(slope + rng.uniform(-0.03, 0.03, 2))])
        waves = np.concatenate([np.zeros((3, 1)), rng.uniform(-0.004, 0.004, (3, 2))], axis=1)
        origin = np.array([height, 0.5 * high[1], 0.5 * high[2]])
        parts = (origin, normal / np.linalg.norm(normal), waves, rng.uniform(0, 6.3, 3), np.full(3, 15))
        surfaces.append(Sheet(*(np.asarray(p, np.float32) for p in parts)))
    return surfaces[0], surfaces[1]
