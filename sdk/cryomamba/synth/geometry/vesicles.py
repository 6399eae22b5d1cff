"""Vesicles, some touching, and wavy sheets, single or stacked."""

import numpy as np

from cryomamba.synth.objects import Membrane, Vectors, clear_of, unit_vectors
from cryomamba.synth.spec import PhantomSpec
from cryomamba.synth.surfaces import Sheet, Vesicle, first_order_distance

_ATTEMPTS = 60
_CLEARANCE_A = 110.0
_TOUCHING_A = 52.0


def vesicles(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Place sheets, then vesicles between them."""
    placed: list[Membrane] = []
    sheets = max(1, round(spec.slab_volume_A3 / 1.2e10)) if spec.sheets is None else spec.sheets
    for _ in range(sheets):
        placed += _stack(spec, rng, placed)
    count = max(2, round(spec.slab_volume_A3 / 8e8)) if spec.vesicles is None else spec.vesicles
    for index in range(count):
        vesicle = _place_vesicle(spec, rng, placed, touching=index % 3 == 2)
        if vesicle is not None:
            placed.append(vesicle)
    return placed


def _corners(spec: PhantomSpec) -> tuple[Vectors, Vectors]:
    low, high = spec.slab_A
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _stack(spec: PhantomSpec, rng: np.random.Generator, others: list[Membrane]) -> list[Membrane]:
    low, high = _corners(spec)
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
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    metric = turn @ np.diag(axes**-2) @ turn.T
    amplitudes = rng.uniform(-0.08, 0.08, 4).astype(np.float32)
    return Vesicle(centre, metric.astype(np.float32), unit_vectors(rng, 4), amplitudes)


def _place_vesicle(
    spec: PhantomSpec, rng: np.random.Generator, others: list[Membrane], *, touching: bool
) -> Membrane | None:
    low, high = _corners(spec)
    directions = unit_vectors(rng, 400)
    hosts = [m for m in others if isinstance(m.surface, Vesicle)]
    for _ in range(_ATTEMPTS):
        vesicle = _draw_vesicle(spec, rng, rng.uniform(low, high).astype(np.float32))
        if touching and hosts:
            vesicle = _push_against(vesicle, hosts[-1], rng, directions)
        rim = vesicle.centre + directions * vesicle.radius(directions)[:, None]
        clearance = 0.9 * _TOUCHING_A if touching else _CLEARANCE_A
        inside = bool(((vesicle.centre >= low) & (vesicle.centre <= high)).all())
        if inside and clear_of(rim, others, clearance):
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
