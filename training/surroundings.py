"""What a specimen lies in and what lies on it: ice or a lamella, contamination, carbon, gold."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.network.model import Structure
from training.fields import FAR, Field, gauss, unit_vector
from training.specimen import Scene


def slab(scene: Scene) -> tuple[Field, float]:
    """Return the signed depth in Å inside a lamella or ice layer and how dense it is."""
    rng = scene.rng
    tilt = rng.uniform(-0.12, 0.12, 2)
    rough = scene.field(rng.uniform(150, 400)) * np.float32(rng.uniform(0, 20))
    thickness = rng.uniform(0.35, 0.95) * scene.side
    middle = rng.uniform(0.3, 0.7) * scene.side
    half = scene.side / 2
    height = scene.z - middle + np.float32(tilt[0]) * (scene.y - half) + np.float32(tilt[1]) * (scene.x - half)
    return (thickness / 2 - np.abs(height)) * np.float32(scene.step_A) + rough, rng.uniform(0.0, 0.9)


def cut_to_slab(scene: Scene, lamella: tuple[Field, float]) -> None:
    """Remove what is outside the layer, and draw what lies on its surfaces."""
    depth, ice = lamella
    inside = np.clip(depth / np.float32(1.5 * scene.step_A) + 0.5, 0, 1)
    scene.density = (scene.density + np.float32(ice)) * inside
    scene.classes[depth < 0] = Structure.BACKGROUND
    if scene.chance(0.4):  # damaged or contaminated surface
        layer = gauss(depth, scene.rng.uniform(20, 90)) * (0.6 + 0.5 * scene.field(60))
        scene.density += np.float32(scene.rng.uniform(0, 0.8)) * layer


def draw_contamination(scene: Scene) -> None:
    """Draw ice crystals: large dense pieces, rounded or with facets, with sharp or soft edges."""
    rng = scene.rng
    if scene.chance(0.5):
        blob = scene.field(rng.uniform(150, 350)) + np.float32(0.15) * scene.field(40)
        soft = np.float32(rng.uniform(0.02, 0.3))
        piece = np.clip((blob - np.float32(rng.uniform(1.5, 2.4))) / soft, 0, 1)
    else:
        piece = np.clip(_facets(scene) / np.float32(rng.uniform(1, 4)) + 0.5, 0, 1)
    scene.density += np.float32(rng.uniform(-1.0, 6.0)) * piece
    scene.classes[piece > 0.5] = Structure.BACKGROUND


def _facets(scene: Scene) -> Field:
    """Return the depth in nodes below the nearest facet of a random convex body."""
    rng = scene.rng
    centre = rng.uniform(0, scene.side, 3).astype(np.float32)
    offsets = [scene.z - centre[0], scene.y - centre[1], scene.x - centre[2]]
    depth = np.full((scene.side,) * 3, FAR, np.float32)
    for _ in range(rng.integers(5, 12)):
        normal = unit_vector(rng)
        height = np.float32(rng.uniform(0.08, 0.3) * scene.side)
        np.minimum(depth, height - sum(o * n for o, n in zip(offsets, normal, strict=True)), out=depth)
    if scene.chance(0.3):  # a plate, thicker than a membrane
        normal = unit_vector(rng)
        height = np.float32(rng.uniform(60, 200) / scene.step_A)
        np.minimum(depth, height - np.abs(sum(o * n for o, n in zip(offsets, normal, strict=True))), out=depth)
    return depth


def draw_carbon(scene: Scene) -> None:
    """Draw the edge of a carbon film."""
    rng = scene.rng
    angle = rng.uniform(0, 2 * np.pi)
    edge = (scene.y - scene.side / 2) * np.float32(np.sin(angle)) + (scene.x - scene.side / 2) * np.float32(
        np.cos(angle)
    )
    edge = edge + scene.field(200) * np.float32(3) - np.float32(rng.uniform(-0.3, 0.5) * scene.side)
    height = np.abs(scene.z - np.float32(rng.uniform(0.1, 0.9) * scene.side)) * np.float32(scene.step_A)
    film = np.clip(edge / 2, 0, 1) * (height < rng.uniform(50, 130))
    scene.density = np.where(film > 0.5, np.float32(1.2) + np.float32(0.5) * scene.field(20), scene.density)
    scene.classes[film > 0.5] = Structure.BACKGROUND


def draw_gold(scene: Scene) -> None:
    """Draw a gold bead."""
    rng = scene.rng
    radius = rng.uniform(25, 80)
    c = rng.uniform(0, scene.side, 3).astype(np.float32)
    q = np.sqrt((scene.z - c[0]) ** 2 + (scene.y - c[1]) ** 2 + (scene.x - c[2]) ** 2) * np.float32(scene.step_A)
    scene.density += np.float32(rng.uniform(4, 18)) * np.clip((radius - q) / np.float32(scene.step_A) + 0.5, 0, 1)
    scene.classes[q < radius] = Structure.FIDUCIAL
