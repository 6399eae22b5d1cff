"""Make the picture of the page 'Uncertainty': a section of a phantom with its mask, the ground truth, the uncertainty.

``python -m docs.uncertainty_picture``, or ``PYTHONPATH=. python docs/uncertainty_picture.py``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.pixels_accuracy import VOXEL_A
from benchmarks.scenes.imaged import SMALL, Case, imaged
from benchmarks.uncertainty import run
from docs.pixels_picture import GAP, SCALE, STRUCTURE, TRUTH, Picture, tinted
from numpy.typing import NDArray
from PIL import Image

from cryomamba.synth import clean_phantom
from cryomamba.synth.spec import MEMBRANE

IMAGE = Path(__file__).parent / "images" / "uncertainty.png"
SEED = 102
RAMP = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])
"""Colours from 0 to 100 %, as of matplotlib's 'inferno'."""


def coloured(percent: NDArray[np.uint8]) -> Picture:
    """Return percentages as colours."""
    at = np.linspace(0, 100, len(RAMP))
    return np.stack([np.interp(percent, at, channel) for channel in RAMP.T], axis=-1).astype(np.uint8)


def main() -> None:
    """Write the picture."""
    case = Case("random_field", VOXEL_A, "high", "back-projection", SEED, SMALL)
    volume = imaged(case, clean_phantom(case.phantom_spec))
    mask, percent = run(volume.density, "membrane", {}, "uncertainty")
    z = SMALL[0] // 2
    low, high = np.percentile(volume.density[z], (0.5, 99.5))
    plane = np.clip((volume.density[z] - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    grey = np.repeat(plane[:, :, None], 3, axis=2)
    gap = np.full((plane.shape[0], GAP // SCALE, 3), 255, np.uint8)
    parts = [
        tinted(grey, mask[z] == 1, STRUCTURE, 0.5),
        gap,
        tinted(grey, volume.truth[z] == MEMBRANE, TRUTH, 0.5),
        gap,
        coloured(percent[z]),
    ]
    row = np.concatenate(parts, axis=1)
    image = Image.fromarray(row).resize((row.shape[1] * SCALE, row.shape[0] * SCALE), Image.Resampling.NEAREST)
    image.save(IMAGE, optimize=True)


if __name__ == "__main__":
    main()
