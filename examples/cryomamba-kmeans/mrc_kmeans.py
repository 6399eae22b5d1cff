"""Sort the voxels of an MRC file into classes of density. It knows nothing of CryoMamba."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy as np
from scipy import ndimage

ITERATIONS = 50
SAMPLE = 1_000_000
SLAB_VOXELS = 2_000_000
TRUNCATE = 3.0


def smoothed(volume: np.ndarray, sigma: list[float]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first section, and the smoothed sections, of one slab after the other."""
    depth, height, width = volume.shape
    planes, margin = max(1, SLAB_VOXELS // (height * width)), int(TRUNCATE * sigma[0] + 0.5)
    for z in range(0, depth, planes):
        first, last = max(0, z - margin), min(depth, z + planes + margin)
        slab = ndimage.gaussian_filter(volume[first:last].astype(np.float32), sigma, truncate=TRUNCATE)
        yield z, slab[z - first : z - first + min(planes, depth - z)]


def centres_of(sample: np.ndarray, classes: int) -> np.ndarray:
    """Return the means of the classes, from dark to bright, by Lloyd's algorithm."""
    centres = np.quantile(sample, (np.arange(classes) + 0.5) / classes)
    for _ in range(ITERATIONS):
        nearest = np.abs(sample[:, None] - centres).argmin(axis=1)
        moved = np.array(
            [sample[nearest == each].mean() if (nearest == each).any() else centres[each] for each in range(classes)]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return np.sort(centres)


def segment(source: Path, target: Path, classes: int, smooth_A: float) -> None:
    """Write a mask in which the brightest class is 0 and the darkest 1."""
    with mrcfile.mmap(source, mode="r") as tomogram:
        size = [float(tomogram.voxel_size[axis]) for axis in "zyx"]
        sigma = [smooth_A / each for each in size]
        middle = tomogram.data[tomogram.data.shape[0] // 2].astype(np.float32)
        sample = ndimage.gaussian_filter(middle, sigma[1:], truncate=TRUNCATE).reshape(-1)[:SAMPLE]
        if sample.min() == sample.max():
            raise ValueError("the density is constant")
        centres = centres_of(sample, classes)
        bounds = (centres[1:] + centres[:-1]) / 2
        with mrcfile.new_mmap(target, tomogram.data.shape, mrc_mode=0, overwrite=True) as mask:
            mask.voxel_size = tuple(reversed(size))
            for z, slab in smoothed(tomogram.data, sigma):
                mask.data[z : z + len(slab)] = (np.digitize(slab, bounds) + 1) % classes
                print(f"classified {100 * (z + len(slab)) / len(mask.data):.0f} %", flush=True)


def main() -> int:
    """Read the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tomogram", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--smooth", type=float, default=20.0, metavar="ANGSTROM")
    options = parser.parse_args()
    try:
        segment(options.tomogram, options.mask, options.classes, options.smooth)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
