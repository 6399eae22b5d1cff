"""Microtubules and actin filaments."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.network.model import Structure
from training.fields import gauss
from training.specimen import Scene, axis_distance


def draw_filament(scene: Scene) -> None:
    """Draw a microtubule, an actin filament or a bundle of them."""
    rng = scene.rng
    hollow = scene.chance(0.5)
    radius = rng.uniform(115, 130) if hollow else rng.uniform(30, 50)
    q, along = axis_distance(scene, bend=rng.uniform(0, 0.0015))
    q, along = q * np.float32(scene.step_A), along * np.float32(scene.step_A)
    blur = np.hypot(10.0, 0.4 * scene.step_A)
    if hollow:
        density = gauss(q - (radius - 22), np.hypot(blur, 14))
        density += np.float32(rng.uniform(0, 0.25)) * (q < radius - 40)
    else:
        density = gauss(q, np.hypot(blur, radius * 0.55)) * (1 + np.float32(rng.uniform(0, 0.4)) * np.cos(along / 29))
    free = scene.gap_A > radius + 40
    if scene.chance(0.3):
        ends = np.sort(rng.uniform(-0.6, 0.6, 2)) * scene.side * scene.step_A
        free &= (along > ends[0]) & (along < ends[1])
    density *= np.float32(rng.uniform(0.4, 1.1))
    np.maximum(scene.density, np.where(free & (q < radius + 30), density, 0), out=scene.density)
    scene.classes[(q < max(radius, 0.6 * scene.step_A)) & free] = Structure.FILAMENT
