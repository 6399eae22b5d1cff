"""Make the pictures of the pages on membranes: a synthetic tomogram, score maps, masks, components, surfaces, points.

``python docs/membrane_pictures.py``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cryomamba.engines.api import Tile, VolumeContext
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.masks.instances import find_instances
from cryomamba.masks.medial_surface import medial_surface
from cryomamba.masks.sampling import SurfaceSampler
from cryomamba.masks.slabs import LabelSource
from cryomamba.synth import Phantom, PhantomSpec, synthesize
from cryomamba.synth.spec import MEMBRANE
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters

IMAGES = Path(__file__).parent / "images"
SHAPE = (96, 256, 256)
PLANE = 48
NOISES = (0.5, 2.0)
FOUND, MISSED, WRONG = (255, 130, 0), (0, 120, 255), (230, 0, 60)
GAP = 6
COLOURS = ((255, 130, 0), (0, 150, 255), (40, 190, 90), (220, 60, 160), (230, 200, 0), (130, 90, 230), (0, 190, 190))
NEAR = 3
ARROW = 14


def grey(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a plane as RGB between its extremes."""
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.repeat((np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def found(noise: float) -> tuple[Phantom, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a synthetic tomogram, its scores, and its mask."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=21, noise=noise, vesicles=12, sheets=2))
    engine = MembraneEngine(MembraneParameters())
    engine.prepare(VolumeContext(SHAPE, (10.0,) * 3, None, lambda where: phantom.density[where]))
    scores = engine.predict(Tile(np.empty((0, 0, 0), np.float32), (slice(0, 0),) * 3, (0, 0, 0), SHAPE))
    return phantom, scores.astype(np.uint8), apply_thresholds(scores.astype(np.uint8), engine.thresholds())


def panels(noise: float) -> list[NDArray[np.uint8]]:
    """Return the density (mean of five planes), the scores, and the mask against the truth."""
    phantom, scores, whole = found(noise)
    mask = whole[PLANE] > 0
    true = phantom.ground_truth[PLANE] == MEMBRANE
    density = grey(phantom.density[PLANE - 2 : PLANE + 3].mean(axis=0))
    shown = (density * 0.7).astype(np.uint8)
    for where, colour in ((mask & true, FOUND), (true & ~mask, MISSED), (mask & ~true, WRONG)):
        shown[where] = colour
    return [density, np.repeat(scores[PLANE][..., None], 3, axis=2), shown]


def surfaces() -> None:
    """Components in different colours; the medial surface; points near the plane with their normals."""
    phantom, _, mask = found(NOISES[0])
    source = LabelSource.of_array(mask, (10.0,) * 3)
    instances = find_instances(source)
    (ids,) = (ids for _, ids in instances.slabs())
    (part,) = medial_surface(source, 1, 45)
    sampler = SurfaceSampler(100.0, (10.0,) * 3)
    sampler.add(part, ids[tuple(part.voxels.T)])
    points = sampler.points()
    dim = (grey(phantom.density[PLANE - 2 : PLANE + 3].mean(axis=0)) * 0.6).astype(np.uint8)
    components, medial = dim.copy(), dim.copy()
    palette = np.array([COLOURS[number % len(COLOURS)] for number in range(len(instances))], np.uint8)
    inside = ids[PLANE] > 0
    components[inside] = palette[ids[PLANE][inside] - 1]
    medial[inside] = (0.5 * medial[inside] + 60).astype(np.uint8)
    for _, y, x in part.voxels[part.voxels[:, 0] == PLANE]:
        medial[y, x] = (255, 230, 0)
    arrows = Image.fromarray(dim)
    pen = ImageDraw.Draw(arrows)
    for (z, y, x), (_, dy, dx), piece in zip(points.positions_A / 10, points.normals, points.components, strict=True):
        if abs(z - PLANE) <= NEAR:
            colour = tuple(palette[piece - 1].tolist())
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=colour, width=2)
            pen.line((x, y, x + ARROW * dx, y + ARROW * dy), fill=colour, width=2)
    gap = np.full((SHAPE[1], GAP, 3), 255, np.uint8)
    row = np.concatenate([components, gap, medial, gap, np.asarray(arrows)], axis=1)
    Image.fromarray(row).save(IMAGES / "membrane-surfaces.png", optimize=True)
    print(f"{len(instances)} components, {len(points)} points, {part.areas_A2.sum() / 100:,.0f} nm²")


def main() -> None:
    """Write the pictures."""
    rows = []
    for noise in NOISES:
        parts = panels(noise)
        gap = np.full((SHAPE[1], GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([parts[0], gap, parts[1], gap, parts[2]], axis=1))
    picture = np.concatenate([rows[0], np.full((GAP, rows[0].shape[1], 3), 255, np.uint8), rows[1]])
    Image.fromarray(picture).save(IMAGES / "membrane.png", optimize=True)
    surfaces()


if __name__ == "__main__":
    main()
