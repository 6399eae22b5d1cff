"""Quality of the engine 'membrane' on volumes that were padded, smoothed, rescaled or have gradients.

What other programs do to a tomogram before it is segmented, done to phantoms of `cryomamba synth` (96×200×200 voxels,
seeds 8101 to 8103, used here alone). F1 with one voxel of tolerance, with no parameter given; the plain SciPy script
sees the same volumes. A frame is 10 voxels wide along z and 20 along y and x, and has no truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from benchmarks.membrane_quality import Density, Truth
from benchmarks.peers import baseline_plate_filter
from scipy import ndimage

from cryomamba.engines.api import Tile, VolumeContext
from cryomamba.geometry import Spacing
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.synth import PhantomSpec, score_mask, synthesize
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters

SHAPE, VOXEL_A, SEEDS, NOISES = (96, 200, 200), 10.0, (8101, 8102, 8103), (1.0, 2.0)
Change = Callable[[Density], npt.NDArray[Any]]


def framed(volume: npt.NDArray[Any], value: float) -> npt.NDArray[Any]:
    """Return a copy in a constant frame."""
    copy = np.full_like(volume, value)
    inside = np.s_[10:-10, 20:-20, 20:-20]
    copy[inside] = volume[inside]
    return copy


def turned(volume: npt.NDArray[Any], order: Literal[0, 1]) -> npt.NDArray[Any]:
    """Return a volume turned by 25° about z, with zeros in the corners."""
    return np.asarray(ndimage.rotate(volume, 25, axes=(1, 2), reshape=False, order=order))


def smoothed(*sigma: float) -> Change:
    return lambda volume: np.asarray(ndimage.gaussian_filter(volume, sigma))


def axis(which: int) -> Density:
    """Return places from 0 to 1 along an axis."""
    return np.linspace(0, 1, SHAPE[which], dtype=np.float32).reshape([-1 if a == which else 1 for a in range(3)])


CHANGES: dict[str, Change] = {
    "as it is": lambda volume: volume,
    "other contrast": lambda volume: -volume,
    "8 bits": lambda volume: np.clip(volume * (30 / volume.std()), -127, 127).astype(np.int8).astype(np.float32),
    "in a frame of the mean": lambda volume: framed(volume, float(volume.mean())),
    "in a frame 20 deviations off": lambda volume: framed(volume, float(volume.mean() + 20 * volume.std())),
    "turned by 25°, zeros in the corners": lambda volume: turned(volume - volume.mean(), 1),
    "slope of 5 deviations along z": lambda volume: volume + 5 * volume.std() * axis(0),
    "bowl of 4 deviations": lambda volume: volume - 4 * volume.std() * ((axis(1) - 0.5) ** 2 + (axis(2) - 0.5) ** 2),
    "contrast from 0.5 to 1.5 along x": lambda volume: (volume - volume.mean()) * (0.5 + axis(2)),
    "high-passed at 200 Å": lambda volume: volume - ndimage.gaussian_filter(volume, 20),
    "smoothed, 10 Å": smoothed(1, 1, 1),
    "smoothed, 20 Å": smoothed(2, 2, 2),
    "smoothed, 20 Å along z": smoothed(2, 0, 0),
    "every other section": lambda volume: volume[::2],
}


def truth_of(name: str, truth: Truth) -> Truth:
    """Return the truth of a changed volume."""
    if "frame" in name:
        return framed(truth, 0)
    if "turned" in name:
        return turned(truth, 0)
    return truth[::2] if "section" in name else truth


def found(density: Density, voxel_A: Spacing, truth: Truth) -> float:
    """Return F1 of the engine's mask."""
    engine = MembraneEngine(MembraneParameters())
    engine.prepare(VolumeContext(density.shape, voxel_A, None, lambda where: np.ascontiguousarray(density[where])))
    whole = Tile(np.empty((0, 0, 0), np.float32), (slice(0, 0),) * 3, (0, 0, 0), density.shape)
    return score_mask(apply_thresholds(engine.predict(whole).astype(np.uint8), engine.thresholds()), truth).f1


def main() -> None:
    print(f"{'':<38}" + "".join(f"{f'noise {noise:g}':>12}{'base':>9}" for noise in NOISES))
    phantoms = [
        [synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=VOXEL_A, seed=seed, noise=noise)) for seed in SEEDS]
        for noise in NOISES
    ]
    for name, change in CHANGES.items():
        line = f"{name:<38}"
        voxel_A = (2 * VOXEL_A if "section" in name else VOXEL_A, VOXEL_A, VOXEL_A)
        for made in phantoms:
            ours, plain = [], []
            for phantom in made:
                density, truth = np.ascontiguousarray(change(phantom.density)), truth_of(name, phantom.ground_truth)
                ours.append(found(density, voxel_A, truth))
                if voxel_A[0] == VOXEL_A:
                    plain.append(score_mask(baseline_plate_filter.segment(density, VOXEL_A), truth).f1)
            line += f"{np.mean(ours):>12.3f}" + (f"{np.mean(plain):>9.3f}" if plain else f"{'-':>9}")
        print(line, flush=True)


if __name__ == "__main__":
    main()
