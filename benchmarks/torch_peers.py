"""Memory and time of one network in nnU-Net, MONAI and here, on the same volume, weights and overlap.

Each runs in a process of its own that prints what it needed: anonymous memory of the process and its children before
the volume is opened (imports) and at most, sampled every 10 ms, and the seconds from the volume to the labels. nnU-Net
and MONAI compute in as many threads as there are cores, the engines here in as many processes. Windows are not
mirrored. The network is nnU-Net's U-Net with 3 levels and 4 channels on the finest, for 2 labels, and is not trained;
`onnx` runs it converted. The targets are a quarter of the memory of the others, and no more time.

It needs the environment of ``make test-models``:
``.venv-models/bin/python -m benchmarks.torch_peers --sides 256 512``
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
from benchmarks.runner_memory import watching

from cryomamba.volumes import write_volume

PATCH = 64
VOXEL_A = 10.0
LABELS = 2


def prepare(folder: Path) -> None:
    from tests.models.networks import architecture, nnunet_folder, plans

    from cryomamba_inference.conversion.convert import convert_model

    contents = plans(spacing=(VOXEL_A,) * 3, patch=(PATCH,) * 3, architecture=architecture(features=4))
    nnunet_folder(folder / "nnunet", contents)
    convert_model(folder / "nnunet", folder / "onnx")


def write_file(path: Path, depth: int, side: int) -> None:
    random = np.random.default_rng(7)
    slabs = (random.normal(size=(32, side, side)).astype(np.float32) for _ in range(depth // 32))
    write_volume(path, slabs, VOXEL_A, shape=(depth, side, side))


def by_nnunet(folder: Path, path: Path) -> Callable[[], None]:
    import mrcfile
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=False)
    predictor.initialize_from_trained_model_folder(str(folder / "nnunet"), (0,))
    return lambda: predictor.predict_single_npy_array(mrcfile.read(path)[None], {"spacing": [VOXEL_A] * 3})


def by_monai(folder: Path, path: Path) -> Callable[[], None]:
    import mrcfile
    import torch
    from monai.inferers import sliding_window_inference

    from cryomamba.trained_models.model import read_model
    from cryomamba_inference.torch_networks.loaders import LOADERS

    (network,) = LOADERS["nnunet"](read_model(folder / "nnunet"))

    def run() -> None:
        volume = torch.from_numpy(mrcfile.read(path))[None, None]
        volume = (volume - volume.mean()) / volume.std()
        with torch.inference_mode():
            sliding_window_inference(volume, (PATCH,) * 3, 1, network, overlap=0.5, mode="gaussian").argmax(1)

    return run


def by_engine(name: str) -> Callable[[Path, Path], Callable[[], None]]:
    def prepared(folder: Path, path: Path) -> Callable[[], None]:
        from cryomamba.engines.registry import Registry
        from cryomamba.volumes import open_volume
        from cryomamba_inference.executor import open_executor
        from cryomamba_inference.runner import Control, Task, run_task

        engine = Registry.discover().create(name, {"model": str(folder / name), "mirroring": False})

        def run() -> None:
            executor = open_executor(len(os.sched_getaffinity(0)))
            try:
                with open_volume(path) as volume:
                    run_task(Task(engine, volume), folder, executor, Control(), Ignored())
            finally:
                executor.close()

        return run

    return prepared


class Ignored:
    """Receives what nobody looks at."""

    def on_progress(self, progress: object) -> None:
        """Do nothing."""

    def on_preview(self, frame: object) -> None:
        """Do nothing."""


WAYS: Mapping[str, Callable[[Path, Path], Callable[[], None]]] = {
    "nnU-Net": by_nnunet,
    "MONAI": by_monai,
    "here, nnunet": by_engine("nnunet"),
    "here, onnx": by_engine("onnx"),
}


def child(way: str, folder: Path, path: Path) -> None:
    run = WAYS[way](folder, path)
    before = psutil.Process().memory_full_info().uss
    with watching(os.getpid()) as peaks:
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
    print("figures", before, peaks.together, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="*", type=int, default=[256, 512], help="along y and x (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=128, help="along z, a multiple of 32 (default: %(default)s)")
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS), help="all if not given")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), Path(given.child[2]))
        return
    print(f"{'':14}{'voxels':<20}{'imports MB':>12}{'peak MB':>10}{'B/voxel':>9}{'s':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for side in given.sides:
            shape, path = (given.depth, side, side), folder / "volume.mrc"
            write_file(path, given.depth, side)
            for way in given.ways:
                command = [sys.executable, "-m", "benchmarks.torch_peers", "--child", way, name, str(path)]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                _, *numbers = output.strip().splitlines()[-1].split()
                before, peak, seconds = map(float, numbers)
                each = (peak - before) / np.prod(shape)
                text = f"{way:14}{' × '.join(map(str, shape)):<20}"
                print(f"{text}{before / 1e6:>12.0f}{peak / 1e6:>10.0f}{each:>9.1f}{seconds:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
