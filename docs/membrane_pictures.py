"""Make the pictures of the membrane engine's page: a synthetic tomogram, its scores, and masks at two levels of noise.

``python docs/membrane_pictures.py``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryomamba.engine import Scene, Tile
from cryomamba.masks.hysteresis import cut_scores
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.synth.spec import MEMBRANE, MEMBRANE_UNSEEN
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters

IMAGES = Path(__file__).parent / "images"
SHAPE = (96, 256, 256)
PLANE = 48
NOISES = (0.5, 2.0)
FOUND, MISSED, WRONG = (255, 130, 0), (0, 120, 255), (230, 0, 60)
GAP = 6


def grey(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a plane as RGB between its extremes."""
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.repeat((np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def panels(noise: float) -> list[NDArray[np.uint8]]:
    """Return the density (mean of five planes), the scores, and the mask against the truth."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=21, noise=noise, vesicles=12, sheets=2))
    engine = MembraneEngine(MembraneParameters())
    engine.prepare(Scene(SHAPE, (10.0,) * 3, None, lambda where: phantom.density[where]))
    scores = engine.predict(Tile(np.empty((0, 0, 0), np.float32), (slice(0, 0),) * 3, (0, 0, 0), SHAPE))
    mask = cut_scores(scores.astype(np.uint8), engine.cut())[PLANE] > 0
    wanted, there = phantom.truth[PLANE] == MEMBRANE, np.isin(phantom.truth[PLANE], (MEMBRANE, MEMBRANE_UNSEEN))
    density = grey(phantom.density[PLANE - 2 : PLANE + 3].mean(axis=0))
    shown = (density * 0.7).astype(np.uint8)
    for where, colour in ((mask & there, FOUND), (wanted & ~mask, MISSED), (mask & ~there, WRONG)):
        shown[where] = colour
    return [density, np.repeat(scores[PLANE].astype(np.uint8)[..., None], 3, axis=2), shown]


def main() -> None:
    """Write the picture."""
    rows = []
    for noise in NOISES:
        parts = panels(noise)
        gap = np.full((SHAPE[1], GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([parts[0], gap, parts[1], gap, parts[2]], axis=1))
    picture = np.concatenate([rows[0], np.full((GAP, rows[0].shape[1], 3), 255, np.uint8), rows[1]])
    Image.fromarray(picture).save(IMAGES / "membrane.png", optimize=True)


if __name__ == "__main__":
    main()
