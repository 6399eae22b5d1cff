"""Memory of the engine 'membrane': 1024 × 1024 voxels, at two depths.

The service's computing child and two processes of its own segment float32 files that are full of membranes (a phantom
repeated in all directions). Every 10 ms the kernel is asked for the anonymous memory of all of them; the table shows
the peaks in MB. The limit is 1000 MB for all together at any depth. The bytes of the file stand beside.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.runner_memory import measure_engine

from cryomamba.records import Shape
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume

SIDE = 1024
DEPTHS = (128, 512)
LIMIT_MB = 1000
BLOCK = (64, 256, 256)


def write_file(path: Path, shape: Shape) -> None:
    density = synthesize(PhantomSpec(shape=BLOCK, voxel_size_A=10.0, seed=7, noise=1.0)).density
    slab = np.tile(density, (1, shape[1] // BLOCK[1], shape[2] // BLOCK[2]))
    write_volume(path, (slab for _ in range(shape[0] // BLOCK[0])), 10.0, shape=shape)


def main() -> None:
    print(f"{'voxels':<18}{'file':>8}{'child':>8}{'worker':>8}{'all':>8}{'s':>7}   (limit for all {LIMIT_MB} MB)")
    with tempfile.TemporaryDirectory() as folder:
        for depth in DEPTHS:
            shape = (depth, SIDE, SIDE)
            path = Path(folder) / f"{depth}.mrc"
            write_file(path, shape)
            peaks, seconds = asyncio.run(measure_engine(Path(folder), path, shape, 2, "membrane", {}))
            numbers = (path.stat().st_size, peaks.child.anonymous, peaks.worker.anonymous, peaks.together)
            print(
                f"{f'{depth} × {SIDE} × {SIDE}':<18}"
                + "".join(f"{n / 1e6:>8.0f}" for n in numbers)
                + f"{seconds:>7.0f}",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main()
