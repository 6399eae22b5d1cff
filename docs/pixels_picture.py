"""Make the picture of the page 'Segmentation from strokes': a section of a phantom, strokes, mask and ground truth.

``python -m docs.pixels_picture``, or ``PYTHONPATH=. python docs/pixels_picture.py``
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from benchmarks.pixels_accuracy import SHAPE, VOXEL_A, carbon, paint, segment
from numpy.typing import NDArray
from PIL import Image

from cryomamba.volumes import write_volume

IMAGE = Path(__file__).parent / "images" / "pixels.png"
SEED = 101
SCALE, GAP = 2, 6
STRUCTURE, BACKGROUND, TRUTH = (230, 159, 0), (90, 90, 255), (0, 158, 115)

Picture = NDArray[np.uint8]


def tinted(grey: Picture, where: NDArray[np.bool_], color: tuple[int, int, int], strength: float) -> Picture:
    """Return a picture with a colour where a mask is."""
    out = grey.astype(float)
    out[where] = (1 - strength) * out[where] + strength * np.array(color)
    return out.astype(np.uint8)


def main() -> None:
    """Write the picture."""
    phantom, truth = carbon(SEED)
    strokes = paint(phantom.density, truth, SEED)
    voxels, labels = strokes.painted()
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        path = Path(folder) / "t.mrc"
        write_volume(path, phantom.density, VOXEL_A)
        mask = segment(path, "pixels", {"strokes": strokes.model_dump(mode="json")})
    # The section with the most strokes on the structure.
    z = int(np.bincount(voxels[labels == 1, 0], minlength=SHAPE[0]).argmax())
    low, high = np.percentile(phantom.density[z], (0.5, 99.5))
    plane = np.clip((phantom.density[z] - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    grey = np.repeat(plane[:, :, None], 3, axis=2)
    painted = grey
    for label, color in ((0, BACKGROUND), (1, STRUCTURE)):
        drawn = np.zeros(plane.shape, np.bool_)
        own = voxels[(labels == label) & (voxels[:, 0] == z)]
        drawn[own[:, 1], own[:, 2]] = True
        painted = tinted(painted, drawn, color, 1.0)
    gap = np.full((plane.shape[0], GAP // SCALE, 3), 255, np.uint8)
    parts = [painted, gap, tinted(grey, mask[z], STRUCTURE, 0.5), gap, tinted(grey, truth[z], TRUTH, 0.5)]
    row = np.concatenate(parts, axis=1)
    image = Image.fromarray(row).resize((row.shape[1] * SCALE, row.shape[0] * SCALE), Image.Resampling.NEAREST)
    image.save(IMAGE, optimize=True)


if __name__ == "__main__":
    main()
