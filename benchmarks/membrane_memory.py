"""Memory of the engines: 1024 × 1024 voxels, at several depths.

The service's computing child and two processes of its own segment float32 files that are full of membranes (a phantom
repeated in all directions), measure the mask and write all files of the job. Every 10 ms the kernel is asked for the
anonymous memory of all of them; the table shows the peaks in MB. The target is 1000 MB for all together at any depth.
The bytes of the file stand beside.

``python -m benchmarks.membrane_memory membrane 128`` measures one row; ``--side 256`` is a quick trial.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.runner_memory import measure_engine

from cryomamba.geometry import Shape
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume

CASES: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...] = (
    ("threshold", {}, (128, 512, 1024)),
    ("membrane", {}, (128, 512, 1024)),
    ("particles", {"diameter_A": 150.0}, (128, 512)),
    ("filaments", {"diameter_A": 250.0}, (128, 512)),
)
TARGET_MB = 1000
BLOCK = (64, 256, 256)


def write_file(path: Path, shape: Shape) -> None:
    density = synthesize(PhantomSpec(shape=BLOCK, voxel_size_A=10.0, seed=7, noise=1.0)).density
    slab = np.tile(density, (1, shape[1] // BLOCK[1], shape[2] // BLOCK[2]))
    write_volume(path, (slab for _ in range(shape[0] // BLOCK[0])), 10.0, shape=shape)


def row(folder: Path, engine: str, params: dict[str, Any], shape: Shape) -> str:
    depth = shape[0]
    path = folder / f"{depth}.mrc"
    write_file(path, shape)
    peaks, seconds = asyncio.run(measure_engine(folder, path, shape, 2, engine, params))
    numbers = (path.stat().st_size, peaks.child.anonymous, peaks.worker.anonymous, peaks.together)
    path.unlink()
    return (
        f"{engine:<12}{' × '.join(map(str, shape)):<18}"
        + "".join(f"{n / 1e6:>8.0f}" for n in numbers)
        + f"{seconds:>7.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", nargs="?", choices=[engine for engine, *_ in CASES], help="all if not given")
    parser.add_argument("depth", nargs="*", type=int, help="voxels along z, multiples of 64")
    parser.add_argument(
        "--side", type=int, default=1024, help="along y and x, a multiple of 256 (default: %(default)s)"
    )
    given = parser.parse_args()
    heads = "".join(f"{head:>8}" for head in ("file", "child", "worker", "all")) + f"{'s':>7}"
    print(f"{'engine':<12}{'voxels':<18}{heads}   (target for all {TARGET_MB} MB)")
    with tempfile.TemporaryDirectory() as folder:
        for engine, params, depths in CASES:
            if given.engine in (None, engine):
                for depth in given.depth or depths:
                    print(row(Path(folder), engine, params, (depth, given.side, given.side)), flush=True)


if __name__ == "__main__":
    main()
