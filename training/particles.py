"""Particles large enough to be told apart, and the crowd of those that are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryomamba_inference.network.model import Structure
from training.fields import Field, Mask, unit_vector
from training.specimen import Scene

Nodes = npt.NDArray[np.int64]
SMALLEST_PARTICLE_A = 100.0  # smaller globules are background


def draw_particles(scene: Scene) -> None:
    """Draw ribosomes and other large assemblies as lumps."""
    rng = scene.rng
    for _ in range(rng.integers(0, 3)):
        diameter = np.exp(rng.uniform(np.log(SMALLEST_PARTICLE_A), np.log(330)))
        ball = smooth_ball if scene.chance(0.35) else lumpy_ball
        stamps = [ball(rng, diameter / scene.step_A) for _ in range(5)]
        density = rng.uniform(0.5, 1.6)
        volume = (scene.side * scene.step_A) ** 3
        count = int(rng.uniform(0, 0.25) ** 1.5 * volume / diameter**3)
        attached = scene.chance(0.25)
        centres = place(scene, min(count, 400), diameter, attached=attached)
        for centre in centres:
            stamp, inside = stamps[rng.integers(len(stamps))]
            paste(scene, centre, stamp * np.float32(density), inside)


def place(scene: Scene, count: int, diameter: float, *, attached: bool) -> Nodes:
    """Return centres in nodes that keep their distance from each other and from membranes."""
    candidates = scene.rng.integers(0, scene.side, (4 * count, 3))
    gap = scene.gap_A[tuple(candidates.T)]
    low = 0.5 * diameter + 15
    good = (gap > low) & (gap < low + 60) if attached else gap > low
    kept: list[Nodes] = []
    taken = np.zeros((scene.side // 4 + 1,) * 3, bool)
    radius = max(1, round(diameter / scene.step_A / 4))
    for centre in candidates[good]:
        a, b, c = (int(v) // 4 for v in centre)
        if taken[a, b, c]:
            continue
        taken[
            max(a - radius, 0) : a + radius + 1,
            max(b - radius, 0) : b + radius + 1,
            max(c - radius, 0) : c + radius + 1,
        ] = True
        kept.append(centre)
        if len(kept) == count:
            break
    return np.array(kept, int).reshape(-1, 3)


def lumpy_ball(rng: np.random.Generator, diameter: float) -> tuple[Field, Mask]:
    """Return the density and the body of an irregular particle; `diameter` in nodes."""
    half = int(np.ceil(diameter * 0.65)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32)
    z, y, x = axis[:, None, None], axis[None, :, None], axis[None, None, :]
    density = np.zeros((2 * half + 1,) * 3, np.float32)
    stretch = np.exp(rng.uniform(-0.25, 0.25, 3))
    for _ in range(rng.integers(8, 26)):
        c = unit_vector(rng) * stretch * (diameter / 2 * rng.random() ** 0.5 * 0.75)
        width = max(diameter * rng.uniform(0.08, 0.16), 0.6)
        density += np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / np.float32(2 * width * width))
    density = np.minimum(density, np.float32(1.3))
    return density, density > 0.35


def smooth_ball(rng: np.random.Generator, diameter: float) -> tuple[Field, Mask]:
    """Return the density and the body of a round particle, full or hollow; `diameter` in nodes."""
    half = int(np.ceil(diameter * 0.65)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32)
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    depth = np.float32(diameter / 2) - np.sqrt(square * np.float32(np.exp(rng.uniform(-0.1, 0.1))))
    density = np.clip(depth / np.float32(rng.uniform(0.8, 2.0)) + 0.5, 0, 1)
    if rng.random() < 0.3:
        density *= 1 - np.float32(rng.uniform(0.2, 0.9)) * np.clip(depth - np.float32(rng.uniform(2, 4)), 0, 1)
    return density, depth > 0


def paste(scene: Scene, centre: Nodes, stamp: Field, inside: Mask | None) -> None:
    """Draw a stamp around a node; `inside` becomes particle."""
    half = len(stamp) // 2
    low = [max(c - half, 0) for c in centre]
    high = [min(c + half + 1, scene.side) for c in centre]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    into = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = tuple(slice(a - c + half, b - c + half) for a, b, c in zip(low, high, centre, strict=True))
    np.maximum(scene.density[into], stamp[part], out=scene.density[into])
    if inside is not None:
        classes = scene.classes[into]
        classes[inside[part] & (classes == Structure.BACKGROUND)] = Structure.PARTICLE


def draw_crowding(scene: Scene) -> None:
    """Draw small globules, and what is too crowded to be told apart as a correlated field."""
    rng = scene.rng
    if scene.chance(0.75):
        diameter = rng.uniform(35, 85)
        stamps = [lumpy_ball(rng, max(diameter / scene.step_A, 1.5))[0] for _ in range(4)]
        volume = (scene.side * scene.step_A) ** 3
        count = min(int(rng.uniform(0, 0.25) * volume / diameter**3), 3000)
        points = rng.integers(0, scene.side, (count, 3))
        points = points[scene.gap_A[tuple(points.T)] > diameter / 2 + 10]
        strength = np.float32(rng.uniform(0.2, 1.2))
        for point in points:
            paste(scene, point, stamps[rng.integers(4)] * strength, None)
    if scene.chance(0.6):
        strength = np.float32(rng.uniform(0, 0.45))
        scene.density += strength * scene.field(rng.uniform(12, 60)) * (scene.gap_A > 15)
