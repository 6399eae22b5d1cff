"""Membranes around surfaces: thickness, profile, holes, and protein on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryomamba_inference.network.model import Structure
from training.fields import FAR, Field, Mask, gauss
from training.specimen import Scene


def draw_membranes(scene: Scene, distances: list[Field]) -> None:
    """Draw surfaces of one organelle: one window, one thickness, profiles of one kind."""
    rng = scene.rng
    thickness = rng.uniform(34, 62)
    window = None
    if scene.chance(0.5):
        window = scene.field(rng.uniform(150, 400)) > rng.uniform(-2.0, 0.4)
    if scene.chance(0.15):
        pores = scene.field(rng.uniform(60, 120)) < rng.uniform(1.2, 2.2)
        window = pores if window is None else window & pores
    free = scene.gap_A > np.float32(thickness + 25)
    profile = random_profile(scene, thickness)
    amplitude = np.float32(rng.uniform(0.6, 1.4))
    uneven = 1 + np.float32(rng.uniform(0, 0.3)) * scene.field(60) if scene.chance(0.5) else np.float32(1)
    half_A = max(thickness / 2, 0.55 * scene.step_A)
    step = rng.uniform(-0.4, 0.4) if scene.chance(0.3) else 0.0
    studded = scene.chance(0.25)
    placed: list[tuple[Field, Mask]] = []
    for distance in distances:
        region = free if window is None else free & window
        near = np.abs(distance)
        band = (near < 2 * thickness) & region
        values = amplitude * uneven * profile(distance)
        np.maximum(scene.density, np.where(band, values, 0), out=scene.density)
        scene.classes[(near < half_A) & region] = Structure.MEMBRANE
        if step:
            scene.density += np.float32(step) * np.clip(distance / 60, -1, 1) * region
        placed.append((distance, region))
    for distance, region in placed:
        if studded:
            stud(scene, distance, region, thickness)
        np.minimum(scene.gap_A, np.where(region, np.abs(distance), FAR), out=scene.gap_A)


def random_profile(scene: Scene, thickness_A: float) -> Callable[[Field], Field]:
    """Return the density by signed distance from the middle."""
    rng = scene.rng
    blur = np.hypot(6.0, 0.35 * scene.step_A)
    kind = rng.random()
    if kind < 0.6:  # two leaflets, often of unequal strength
        half = thickness_A / 2 - 7
        first, second = (1.0, rng.uniform(0.4, 1.0)) if scene.chance(0.3) else (1.0, 1.0)
        dip = rng.uniform(0, 0.4)
        return lambda s: np.asarray(
            first * gauss(s - half, blur) + second * gauss(s + half, blur) - dip * gauss(s, blur), np.float32
        )
    if kind < 0.85:  # one line
        width = thickness_A * rng.uniform(0.25, 0.42)
        return lambda s: gauss(s, np.hypot(width, 0.3 * scene.step_A))
    return lambda s: np.asarray(
        1 / (1 + np.exp(np.minimum((np.abs(s) - thickness_A / 2) / (0.5 * blur), 30))), np.float32
    )


def stud(scene: Scene, distance: Field, region: Mask, thickness_A: float) -> None:
    """Put protein on one side of a membrane or on both."""
    rng = scene.rng
    lumps = np.clip(scene.field(rng.uniform(18, 35)) - np.float32(rng.uniform(0.3, 1.3)), 0, 1.5)
    lumps *= np.float32(rng.uniform(0.3, 1.0))
    reach = thickness_A / 2 + rng.uniform(30, 90)
    side = rng.integers(0, 3)
    s = distance if side == 0 else -distance if side == 1 else np.abs(distance)
    where = (s > thickness_A / 2) & (s < reach) & region
    scene.density += lumps * where
