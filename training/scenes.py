"""Scenes: the density and the classes of a random box of specimen, before imaging."""

from __future__ import annotations

import numpy as np

from training.filaments import draw_filament
from training.membranes import draw_membranes
from training.particles import draw_crowding, draw_particles
from training.specimen import Scene
from training.surfaces import SURFACE_SHARES, SURFACES
from training.surroundings import cut_to_slab, draw_carbon, draw_contamination, draw_gold, slab


def make_scene(rng: np.random.Generator, side: int) -> Scene:
    """Return a random scene; 85 % have nodes 11 to 14 Å apart, the others wider, as in a coarse preview."""
    step = rng.uniform(11.0, 14.0) if rng.random() < 0.85 else np.exp(rng.uniform(np.log(14.0), np.log(36.0)))
    scene = Scene(rng, side, float(step))
    if scene.chance(0.82):
        for _ in range(rng.integers(1, 4)):
            kind = rng.choice(len(SURFACES), p=SURFACE_SHARES)
            draw_membranes(scene, list(SURFACES[kind](scene)))
    lamella = slab(scene) if scene.chance(0.3) else None
    if scene.chance(0.55):
        for _ in range(rng.integers(1, 7)):
            draw_filament(scene)
    draw_particles(scene)
    draw_crowding(scene)
    if lamella is not None:
        cut_to_slab(scene, lamella)
    if scene.chance(0.25):
        draw_contamination(scene)
    if scene.chance(0.06):
        draw_carbon(scene)
    if scene.chance(0.4):
        for _ in range(rng.integers(1, 5)):
            draw_gold(scene)
    return scene
