"""Quality of the engine 'membrane' on wide folds, where a baseline plate filter does well.

The scenes of `membrane_quality` are hard for every filter. Here are large smooth membranes (two level sets of random
waves of 1800 to 4000 Å) with crowding, gold and a wedge of ±60°, 128×256×256 voxels of 10 Å: the plain SciPy script
gets what it gets on tomograms of real membrane geometry. Noise is white, in units of a leaflet's density. Seeds 9001
and 9002 are used here alone. F1 with one voxel of tolerance, with no parameter given and at the best threshold.
"""

from __future__ import annotations

import numpy as np
from benchmarks.membrane_quality import Density, Truth, best_f1, membrane
from benchmarks.peers import baseline_plate_filter
from benchmarks.scenes import organelles

from cryomamba.synth import score_mask
from cryomamba.synth.placement import Membrane, unit_vectors
from cryomamba.synth.render import Canvas, draw_membrane, draw_spheres
from cryomamba.synth.spec import FIDUCIAL
from cryomamba.synth.wedge import apply_wedge

SHAPE, VOXEL_A, TILT_DEG = (128, 256, 256), 10.0, 60.0
SEEDS, NOISES = (9001, 9002), (1.0, 2.0, 4.0)
WAVES, LEVELS_A = 24, (-250.0, 150.0)


def scene(seed: int) -> tuple[Density, Truth]:
    """Return densities without noise, membranes bright, and truth."""
    rng = np.random.default_rng(seed)
    extent = np.asarray(SHAPE, np.float32) * np.float32(VOXEL_A)
    canvas = Canvas(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8), (VOXEL_A,) * 3)
    vectors = unit_vectors(rng, WAVES) * (2 * np.pi / rng.uniform(1800, 4000, WAVES)).astype(np.float32)[:, None]
    phases = rng.uniform(0, 2 * np.pi, WAVES).astype(np.float32)
    for level in LEVELS_A:
        folds = Membrane(organelles.Waves(vectors, phases, level), 45.0, np.float32(0.5) * extent, np.inf)
        draw_membrane(canvas, folds, TILT_DEG)
    draw_spheres(canvas, organelles.crowd(extent, rng), label=None)
    draw_spheres(canvas, organelles.gold(extent, rng), FIDUCIAL)
    return canvas.density, canvas.ground_truth


def taken(density: Density, noise: float, seed: int) -> Density:
    """Return a noisy copy with a missing wedge, membranes dark."""
    image = density + np.float32(noise) * np.random.default_rng(seed).standard_normal(SHAPE, np.float32)
    apply_wedge(image, (VOXEL_A,) * 3, TILT_DEG)
    return np.asarray(image.mean() - image, np.float32)


def main() -> None:
    print(f"{'seed':>6}{'noise':>8}{'default':>12}{'oracle':>12}{'baseline':>12}{'base oracle':>12}")
    for seed in SEEDS:
        density, truth = scene(seed)
        for noise in NOISES:
            image = taken(density, noise, seed + 1)
            z_scores = baseline_plate_filter.z_scores(image, VOXEL_A)
            plain = best_f1(baseline_plate_filter.upsampled(z_scores, SHAPE).astype(np.float32), truth)
            values = (
                *membrane(image, VOXEL_A, truth),
                score_mask(baseline_plate_filter.segment(image, VOXEL_A), truth).f1,
                plain,
            )
            print(f"{seed:>6}{noise:>8g}" + "".join(f"{value:>12.3f}" for value in values), flush=True)
    print("target where the baseline has 0.72–0.88 and 0.87–0.91: default 0.93, oracle 0.96")


if __name__ == "__main__":
    main()
