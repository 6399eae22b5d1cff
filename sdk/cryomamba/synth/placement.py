"""Placement of the objects of a phantom: all random choices, in Å, so that they do not depend on the voxel size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.spec import PhantomSpec
from cryomamba.synth.surfaces import Sheet, Surface, Vesicle, first_order_distance

Vectors = NDArray[np.float32]
_ATTEMPTS = 60
_CLEARANCE_A = 110.0
_TOUCHING_A = 52.0


@dataclass(frozen=True)
class Membrane:
    """A surface with a thickness in Å, within `reach_A` of its `centre` (infinite for a sheet)."""

    surface: Surface
    thickness_A: float
    centre: Vectors
    reach_A: float


@dataclass(frozen=True)
class Spheres:
    """Centres (n, 3) and diameters (n,) of spheres in Å, and densities (n,) relative to a leaflet."""

    centres_A: Vectors
    diameters_A: Vectors
    densities: Vectors


@dataclass(frozen=True)
class PhantomGeometry:
    """All objects of a phantom; positions (z, y, x) in Å from the centre of the first voxel."""

    membranes: list[Membrane]
    background: Spheres
    fiducials: Spheres
    particles: Spheres
    filaments: list[Vectors]
    lamella_surfaces: tuple[Sheet, Sheet] | None


def place_objects(spec: PhantomSpec) -> PhantomGeometry:
    """Place the objects of `spec`; each kind has its own random stream, so kinds do not affect each other."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(spec.seed).spawn(6)]
    membranes = _membranes(spec, streams[0])
    particles = _particles(spec, streams[3], membranes)
    return PhantomGeometry(
        membranes,
        _background(spec, streams[1]),
        _fiducials(spec, streams[2]),
        particles,
        _filaments(spec, streams[4], membranes),
        _lamella_surfaces(spec, streams[5]),
    )


def unit_vectors(rng: np.random.Generator, count: int) -> Vectors:
    """Draw `count` directions (count, 3) uniformly from the sphere."""
    vectors = rng.standard_normal((count, 3)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _volume_A3(spec: PhantomSpec) -> float:
    return float(np.prod(spec.extent_A)) * spec.lamella


def _slab(spec: PhantomSpec) -> tuple[Vectors, Vectors]:
    """Return the lower and upper corner in Å of the region that contains matter."""
    low, high = np.zeros(3, np.float32), np.asarray(spec.extent_A, np.float32)
    margin = 0.5 * (1 - spec.lamella) * high[0]
    low[0] += margin
    high[0] -= margin
    return low, high


def _membranes(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    placed: list[Membrane] = []
    sheets = max(1, round(_volume_A3(spec) / 1.2e10)) if spec.sheets is None else spec.sheets
    for _ in range(sheets):
        placed += _stack(spec, rng, placed)
    vesicles = max(2, round(_volume_A3(spec) / 8e8)) if spec.vesicles is None else spec.vesicles
    for index in range(vesicles):
        vesicle = _place_vesicle(spec, rng, placed, touching=index % 3 == 2)
        if vesicle is not None:
            placed.append(vesicle)
    return placed


def _stack(spec: PhantomSpec, rng: np.random.Generator, others: list[Membrane]) -> list[Membrane]:
    low, high = _slab(spec)
    for _ in range(_ATTEMPTS):
        normal = rng.standard_normal(3) * (0.35, 1, 1)
        normal /= np.linalg.norm(normal)
        origin = rng.uniform(low + 0.15 * (high - low), high - 0.15 * (high - low))
        across = np.cross(normal, rng.standard_normal((3, 3)))
        waves = across / np.linalg.norm(across, axis=1, keepdims=True)
        waves *= (2 * np.pi / rng.uniform(1500, 4000, 3))[:, None]
        phases, heights = rng.uniform(0, 2 * np.pi, 3), rng.uniform(10, 70, 3)
        stack = []
        for level in range(spec.stacked):
            shifted = origin + normal * spec.stack_spacing_A * level
            sheet = Sheet(*(np.asarray(a, np.float32) for a in (shifted, normal, waves, phases, heights)))
            stack.append(Membrane(sheet, rng.uniform(*spec.thickness_A), sheet.origin, np.inf))
        grid = np.stack(np.meshgrid(*(np.linspace(0, e, 12) for e in spec.extent_A), indexing="ij"), -1)
        points = grid.reshape(-1, 3).astype(np.float32)
        near = [np.abs(first_order_distance(m.surface, points)) < _CLEARANCE_A for m in [*others, stack[0]]]
        if not others or not (np.any(near[:-1], axis=0) & near[-1]).any():
            return stack
    return []


def _draw_vesicle(spec: PhantomSpec, rng: np.random.Generator, centre: Vectors) -> Vesicle:
    low, high = spec.vesicle_radius_A
    ceiling = max(min(high, 0.45 * min(spec.extent_A)), min(low, 0.45 * min(spec.extent_A)))
    mean = np.exp(rng.uniform(np.log(min(low, ceiling)), np.log(ceiling)))
    axes = mean * np.exp(rng.uniform(-0.25, 0.25, 3))
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    metric = rotation @ np.diag(axes**-2) @ rotation.T
    amplitudes = rng.uniform(-0.08, 0.08, 4).astype(np.float32)
    return Vesicle(centre, metric.astype(np.float32), unit_vectors(rng, 4), amplitudes)


def _clear(points: Vectors, others: list[Membrane], clearance: float) -> bool:
    """Return whether a surface through `points` keeps `clearance` Å from all others, on one side of each."""
    for other in others:
        gap = first_order_distance(other.surface, points)
        if gap.min() < clearance and gap.max() > -clearance:
            return False
    return True


def _place_vesicle(
    spec: PhantomSpec, rng: np.random.Generator, others: list[Membrane], *, touching: bool
) -> Membrane | None:
    low, high = _slab(spec)
    directions = unit_vectors(rng, 400)
    hosts = [m for m in others if isinstance(m.surface, Vesicle)]
    for _ in range(_ATTEMPTS):
        vesicle = _draw_vesicle(spec, rng, rng.uniform(low, high).astype(np.float32))
        if touching and hosts:
            vesicle = _push_against(vesicle, hosts[-1], rng, directions)
        rim = vesicle.centre + directions * vesicle.radius(directions)[:, None]
        clearance = 0.9 * _TOUCHING_A if touching else _CLEARANCE_A
        inside = bool(((vesicle.centre >= low) & (vesicle.centre <= high)).all())
        if inside and _clear(rim, others, clearance):
            reach = float(vesicle.radius(directions).max()) * 1.1
            return Membrane(vesicle, rng.uniform(*spec.thickness_A), vesicle.centre, reach)
    return None


def _push_against(vesicle: Vesicle, host: Membrane, rng: np.random.Generator, directions: Vectors) -> Vesicle:
    """Move a vesicle towards `host`, from a random direction, until their outer leaflets touch."""
    direction = unit_vectors(rng, 1)[0]
    rim = directions * vesicle.radius(directions)[:, None]
    near, far = 0.0, host.reach_A + float(np.linalg.norm(rim, axis=1).max()) + 100
    for _ in range(14):
        middle = 0.5 * (near + far)
        gap = first_order_distance(host.surface, host.centre + direction * np.float32(middle) + rim).min()
        near, far = (near, middle) if gap > _TOUCHING_A else (middle, far)
    return Vesicle(host.centre + direction * np.float32(far), vesicle.metric, vesicle.bumps, vesicle.amplitudes)


def _background(spec: PhantomSpec, rng: np.random.Generator) -> Spheres:
    mean_volume = 6.6e5
    count = round(spec.crowding * _volume_A3(spec) / mean_volume)
    low, high = _slab(spec)
    return Spheres(
        rng.uniform(low, high, (count, 3)).astype(np.float32),
        rng.uniform(50, 160, count).astype(np.float32),
        rng.uniform(0.3, 0.7, count).astype(np.float32),
    )


def _fiducials(spec: PhantomSpec, rng: np.random.Generator) -> Spheres:
    count = max(1, round(_volume_A3(spec) / 3e9)) if spec.fiducials is None else spec.fiducials
    centres = rng.uniform(0, spec.extent_A, (count, 3)).astype(np.float32)
    diameters = spec.fiducial_diameter_A * rng.uniform(0.8, 1.2, count)
    return Spheres(centres, diameters.astype(np.float32), np.full(count, 12, np.float32))


def _particles(spec: PhantomSpec, rng: np.random.Generator, membranes: list[Membrane]) -> Spheres:
    count = round(_volume_A3(spec) / 1.5e8) if spec.particles is None else spec.particles
    low, high = _slab(spec)
    apart, kept = spec.particle_diameter_A * 1.3, np.empty((0, 3), np.float32)
    for _ in range(_ATTEMPTS * count):
        if len(kept) == count:
            break
        centre = rng.uniform(low, high).astype(np.float32)
        is_apart = (np.linalg.norm(kept - centre, axis=1) > apart).all()
        clearance = 0.6 * spec.particle_diameter_A + 25
        if is_apart and _clear(centre[None], membranes, clearance):
            kept = np.vstack([kept, centre])
    sizes = np.full(len(kept), spec.particle_diameter_A, np.float32)
    return Spheres(kept, sizes, np.full(len(kept), 1.0, np.float32))


def _filaments(spec: PhantomSpec, rng: np.random.Generator, membranes: list[Membrane]) -> list[Vectors]:
    """Return parabolic arcs as polylines (n, 3) in Å that do not touch the membranes or each other."""
    count = max(1, round(_volume_A3(spec) / 4e9)) if spec.filaments is None else spec.filaments
    low, high = _slab(spec)
    arcs: list[Vectors] = []
    for _ in range(_ATTEMPTS * count):
        if len(arcs) == count:
            break
        length = rng.uniform(0.4, 0.9) * max(spec.extent_A)
        way = unit_vectors(rng, 1)[0] * (0.4, 1, 1)
        way /= np.linalg.norm(way)
        side = np.cross(way, unit_vectors(rng, 1)[0])
        run = np.linspace(-0.5, 0.5, 60)[:, None]
        arc = rng.uniform(low, high) + way * run * length + side * (run**2) * length * rng.uniform(0, 0.3)
        clearance = 0.6 * spec.filament_diameter_A + 25
        gaps = (np.linalg.norm(arc[:, None] - other[None], axis=2).min() for other in arcs)
        apart = all(gap > 1.2 * spec.filament_diameter_A for gap in gaps)
        if apart and _clear(arc.astype(np.float32), membranes, clearance):
            arcs.append(arc.astype(np.float32))
    return arcs


def _lamella_surfaces(spec: PhantomSpec, rng: np.random.Generator) -> tuple[Sheet, Sheet] | None:
    if spec.lamella == 1:
        return None
    low, high = _slab(spec)
    surfaces = []
    for height in (low[0], high[0]):
        normal = np.array([1, *rng.uniform(-0.03, 0.03, 2)])
        waves = np.concatenate([np.zeros((3, 1)), rng.uniform(-0.004, 0.004, (3, 2))], axis=1)
        origin = np.array([height, 0.5 * high[1], 0.5 * high[2]])
        parts = (origin, normal / np.linalg.norm(normal), waves, rng.uniform(0, 6.3, 3), np.full(3, 15))
        surfaces.append(Sheet(*(np.asarray(p, np.float32) for p in parts)))
    return surfaces[0], surfaces[1]
