"""Makes training boxes: normalized tomograms with the class of every node, as files in a folder."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryomamba_inference.network.density import map_scales
from cryomamba_inference.network.model import Structure
from cryomamba_inference.network.sheets import BANKS, half, normalized_sheets
from training.fields import Field, Mask
from training.imaging import Camera
from training.scenes import make_scene

SIDE = 128  # nodes of a scene
CROP = 96  # nodes of a box: the middle of a scene, away from what the Fourier transform wraps around
IMAGES = 4  # of each scene
WAITING = 16  # files that the fit has not read yet, from which this process waits
INVERTED = 0.07  # share of boxes of the wrong contrast, in which there is nothing to find


@dataclass(frozen=True, slots=True)
class Box:
    """A training box.

    Attributes
    ----------
    density : array of shape (z, y, x), float16
        Normalized, dense matter positive.
    classes : array of shape (z, y, x), uint8
    sheets : array of shape (maps, z / 2, y / 2, x / 2), float16
        Plate maps.
    """

    density: npt.NDArray[np.float16]
    classes: npt.NDArray[np.uint8]
    sheets: npt.NDArray[np.float16]

    def save(self, path: Path) -> None:
        """Write the box; under its name it is complete."""
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, density=self.density, classes=self.classes, sheets=self.sheets)
        part.rename(path)

    @classmethod
    def load(cls, path: Path) -> Box:
        """Read a box."""
        with np.load(path) as file:
            return cls(file["density"], file["classes"], file["sheets"])


def make_boxes(seed: int, camera: Camera) -> Iterator[Box]:
    """Yield the boxes of the scene of a seed."""
    rng = np.random.default_rng(seed)
    scene = make_scene(rng, camera.side)
    first = (camera.side - CROP) // 2
    middle = (slice(first, first + CROP),) * 3
    small = (slice(None), *(slice(first // 2, (first + CROP) // 2),) * 3)
    for _ in range(IMAGES):
        image, padding = camera.image(rng, scene.density, scene.step_A)
        padding = np.zeros(image.shape, np.bool_) if padding is None else padding
        classes = np.where(padding, Structure.BACKGROUND, scene.classes)
        if rng.random() < INVERTED:
            image, classes = -image, np.full_like(classes, Structure.BACKGROUND)
        density = image[middle].astype(np.float16)
        yield Box(density, classes[middle].astype(np.uint8), _sheets(image, padding)[small].astype(np.float16))


def _sheets(image: Field, padding: Mask) -> Field:
    """Return the normalized plate maps of a scene, which is periodic."""
    field = half(image)
    whole = (slice(None),) * 3
    maps = np.stack([found for bank in BANKS for found in bank.extremes(field, whole)])
    return normalized_sheets(maps, map_scales(maps, padding))


def main() -> None:
    """Write boxes until the parent process has gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    parent, camera, seed = os.getppid(), Camera(SIDE), arguments.first_seed
    while os.getppid() == parent:
        for index, box in enumerate(make_boxes(seed, camera)):
            box.save(arguments.folder / f"{seed:07d}-{index}.npz")
            while sum(1 for _ in arguments.folder.glob("*.npz")) >= WAITING and os.getppid() == parent:
                time.sleep(0.5)
        seed += 1


if __name__ == "__main__":
    main()
