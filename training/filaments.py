"""Microtubules and actin filaments."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.network.model import Structure
from training.fields import Field, gauss
from training.specimen import Scene, axis_distance

MONOMER_A = 40.0  # of tubulin along a protofilament


def draw_filament(scene: Scene) -> None:
    """Draw a microtubule, an actin filament or a bundle of them."""
    rng = scene.rng
    hollow = scene.chance(0.6)
    radius = rng.uniform(112, 135) if hollow else rng.uniform(30, 50)
    q, along, around = axis_distance(scene, bend=rng.uniform(0, 0.0015))
    q, along = q * np.float32(scene.step_A), along * np.float32(scene.step_A)
    blur = np.hypot(10.0, 0.4 * scene.step_A)
    if hollow:
        density = gauss(q - (radius - 22), np.hypot(blur, rng.uniform(8, 16))) * _protofilaments(scene, along, around)
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


def _protofilaments(scene: Scene, along: Field, around: Field) -> Field:
    """Return how a microtubule's wall varies around it, by 11 to 15 protofilaments, and along it, by their monomers."""
    rng = scene.rng
    twist = rng.uniform(-1, 1) * 2 * np.pi / 4000  # a turn of a supertwist takes 4,000 Å or more
    count = rng.integers(11, 16)
    gap, ripple = (rng.uniform(0, 0.9), rng.uniform(0, 0.4)) if scene.chance(0.8) else (0.0, 0.0)
    wall = 1 + np.float32(gap) * np.cos(count * (around + np.float32(twist) * along))
    return wall * (1 + np.float32(ripple) * np.cos(along * np.float32(2 * np.pi / MONOMER_A)))
