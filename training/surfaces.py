"""Surfaces of membranes: signed distances in Å."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from training.fields import FAR, Field, level_distance, surface_distance, unit_vector, wave_field
from training.specimen import Scene, axis_distance


def cells(scene: Scene) -> Iterator[Field]:
    """Yield a level set of a random field, sometimes with a second membrane inside it."""
    distance = (
        surface_distance(scene.field(max(scene.rng.uniform(110, 330), 6 * scene.step_A)), scene.rng.uniform(-1.3, 1.3))
        * scene.step_A
    )
    yield distance
    if scene.chance(0.35):
        yield distance - np.float32(scene.rng.uniform(110, 300))


def labyrinth(scene: Scene) -> Iterator[Field]:
    """Yield a surface that folds through the whole box at one distance from itself."""
    period = max(scene.rng.uniform(280, 800), 10 * scene.step_A) / scene.step_A
    yield surface_distance(wave_field(scene.rng, scene.side, period), scene.rng.uniform(-0.7, 0.7)) * scene.step_A


def ellipsoids(scene: Scene) -> Iterator[Field]:
    """Yield deformed ellipsoids of any size, some with two membranes."""
    rng = scene.rng
    warp = scene.field(150)
    small = scene.chance(0.3)  # many vesicles, as at a synapse
    for _ in range(rng.integers(5, 16) if small else rng.integers(1, 6)):
        centre = rng.uniform(-0.1, 1.1, 3) * scene.side
        radii = (
            np.exp(rng.uniform(np.log(max(105, 4.2 * scene.step_A)), np.log(300 if small else 800)))
            * np.exp(rng.uniform(-0.3, 0.3, 3))
            / scene.step_A
        )
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        offsets = [scene.z - centre[0], scene.y - centre[1], scene.x - centre[2]]
        square = sum((sum(np.float32(turn[a, b] / radii[a]) * offsets[b] for b in range(3))) ** 2 for a in range(3))
        q = np.sqrt(square, dtype=np.float32) + np.float32(rng.uniform(0, 0.08)) * warp
        distance = level_distance(q, 1.0) * np.float32(scene.step_A)
        yield distance
        if scene.chance(0.2):
            yield distance + np.float32(rng.uniform(110, 260))


def sheets(scene: Scene) -> Iterator[Field]:
    """Yield a wavy sheet or a stack of them."""
    rng = scene.rng
    normal = unit_vector(rng)
    middle = scene.side / 2
    distance = (scene.z - middle) * normal[0] + (scene.y - middle) * normal[1] + (scene.x - middle) * normal[2]
    waves = scene.field(rng.uniform(180, 450)) * np.float32(rng.uniform(0, 9))
    first = np.float32(rng.uniform(-0.45, 0.45) * scene.side)
    distance = surface_distance(distance + waves, first) * np.float32(scene.step_A)
    spacing = rng.uniform(95, 300)
    for level in range(rng.integers(1, 7)):
        yield distance - np.float32(level * spacing * rng.uniform(0.95, 1.05))


def tubes(scene: Scene) -> Iterator[Field]:
    """Yield bent tubes, wider than microtubules."""
    rng = scene.rng
    for _ in range(rng.integers(1, 4)):
        q = axis_distance(scene, bend=rng.uniform(0, 0.004))[0]
        q = q + scene.field(150) * np.float32(rng.uniform(0, 25) / scene.step_A)
        yield level_distance(q, rng.uniform(max(140, 4 * scene.step_A), 350) / scene.step_A) * np.float32(scene.step_A)


def cristae(scene: Scene) -> Iterator[Field]:
    """Yield an envelope of two membranes and folded sheets inside it."""
    rng = scene.rng
    outer = next(cells(scene))
    gap = np.float32(rng.uniform(110, 180))
    yield outer
    yield outer + gap
    for sheet in sheets(scene):
        # Beyond the inner membrane a fold ends.
        yield np.where(outer < -gap - np.float32(70), sheet, np.float32(FAR))


SURFACES: tuple[Callable[[Scene], Iterator[Field]], ...] = (cells, labyrinth, ellipsoids, sheets, tubes, cristae)
SURFACE_SHARES = (0.24, 0.08, 0.24, 0.18, 0.12, 0.14)
