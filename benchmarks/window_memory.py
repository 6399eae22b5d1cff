"""Memory of networks that see windows: volumes of several depths, widths, labels and voxel sizes.

A process and two of its own run a small U-Net in ONNX by the engine `onnx`, from the file of the volume to the file of
the mask. Every 10 ms the kernel is asked for the anonymous memory of all of them; the table shows the peaks in MB. The
target is 1000 MB for all together at any depth. Beside them stand the bytes of the file, what scores and weights of the
whole volume take in float32, as tools that add windows up in arrays hold them, and the windows.

``python -m benchmarks.window_memory 1 256 128`` measures one row: labels, side, depth.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from benchmarks.runner_memory import watching
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

from cryomamba.geometry import Shape
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Progress
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.onnx import OnnxEngine, OnnxParameters
from cryomamba_inference.executor import open_executor
from cryomamba_inference.runner import Control, Task, run_task
from cryomamba_inference.windows.grid import NetworkGrid

CASES: tuple[tuple[int, int, int, float], ...] = (
    (1, 256, 128, 10.0),
    (1, 256, 512, 10.0),
    (3, 256, 128, 10.0),
    (3, 256, 512, 10.0),
    (1, 256, 512, 7.0),
    (1, 256, 512, 3.0),
    (1, 1024, 64, 10.0),
)
"""Labels, voxels along y and x, voxels along z, and voxel size in Å; the network's is 10 Å."""
WINDOW = 64
TARGET_MB = 1000


def write_network(folder: Path, labels: int) -> None:
    """Write a model whose weights are random: what it finds does not matter here."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    nodes = []

    def conv(before: str, after: str, channels: tuple[int, int], *, stride: int = 1, size: int = 3) -> None:
        weights[f"w{after}"] = rng.normal(
            0, (2 / channels[0] / size**3) ** 0.5, (channels[1], channels[0], *[size] * 3)
        )
        made = f"{after}_linear"
        pads = [size // 2] * 6
        nodes.append(helper.make_node("Conv", [before, f"w{after}"], [made], pads=pads, strides=[stride] * 3))
        nodes.append(helper.make_node("Relu", [made], [after]))

    conv("in", "a", (1, 8), stride=2)
    conv("a", "b", (8, 8))
    conv("b", "c", (8, 16), stride=2)
    conv("c", "d", (16, 16))
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2, 2], np.float32), "twice")
    nodes.append(helper.make_node("Resize", ["d", "", "twice"], ["e"], mode="nearest"))
    nodes.append(helper.make_node("Concat", ["b", "e"], ["f"], axis=1))
    conv("f", "g", (24, 8))
    weights["wlast"] = rng.normal(0, 0.25, (labels + 1, 8, 1, 1, 1))
    nodes.append(helper.make_node("Conv", ["g", "wlast"], ["h"]))
    nodes.append(helper.make_node("Resize", ["h", "", "twice"], ["out"], mode="linear"))
    sides = [WINDOW] * 3
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 1, *sides])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, labels + 1, *sides])],
        [scales, *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items())],
    )
    folder.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    named = ", ".join(f'{n} = "label {n}"' for n in range(1, labels + 1))
    (folder / "model.toml").write_text(
        f'kind = "onnx"\nweights = "net.onnx"\nwindow = {WINDOW}\nvoxel_size_A = 10\n'
        f'normalization = "zero_mean_unit_variance"\nlabels = {{{named}}}\n'
    )


def write_file(path: Path, shape: Shape, voxel_size_A: float) -> None:
    # Smooth, as a mask of single voxels would need more memory to be measured than to be made.
    noise = np.random.default_rng(7).normal(size=(32, *shape[1:])).astype(np.float32)
    slab = ndimage.gaussian_filter(noise, 6, mode="wrap")
    write_volume(path, (slab for _ in range(shape[0] // len(slab))), voxel_size_A, shape=shape)


class Ignored:
    """Receives what nobody looks at."""

    def on_progress(self, progress: Progress) -> None:
        """Do nothing."""

    def on_preview(self, frame: PreviewFrame) -> None:
        """Do nothing."""


def child(path: Path, model: str) -> None:
    executor = open_executor(2)
    try:
        with open_volume(path) as volume, watching(os.getpid()) as peaks:
            task = Task(OnnxEngine(OnnxParameters(model=model)), volume)
            windows = len(task.windows or ())
            began = time.perf_counter()
            run_task(task, path.parent, executor, Control(), Ignored())
            seconds = time.perf_counter() - began
    finally:
        executor.close()
    print(peaks.child.anonymous, peaks.worker.anonymous, peaks.together, windows, f"{seconds:.0f}")


def row(folder: Path, labels: int, shape: Shape, voxel_size_A: float) -> str:
    path, model = folder / "volume.mrc", folder / f"labels-{labels}"
    if not model.exists():
        write_network(model, labels)
    write_file(path, shape, voxel_size_A)
    command = [sys.executable, "-m", "benchmarks.window_memory", "--child", str(path), str(model)]
    *peaks, windows, seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    nodes = NetworkGrid.of(shape, (voxel_size_A,) * 3, (10.0,) * 3, 0.05).nodes
    numbers = (path.stat().st_size, 4 * (labels + 2) * int(np.prod(nodes)), *map(int, peaks))
    what = f"{labels:>6}  {' × '.join(map(str, shape)):<18}{voxel_size_A:>5g}"
    return what + "".join(f"{n / 1e6:>8.0f}" for n in numbers) + f"{windows:>8}{seconds:>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, help="labels, side (y, x) and depth (multiple of 32)")
    parser.add_argument("--child", nargs=2, metavar=("VOLUME", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("--voxel-size", type=float, default=10.0, help="of the volume, in Å (default: %(default)s)")
    given = parser.parse_args()
    if given.child:
        child(Path(given.child[0]), given.child[1])
        return
    cases = [(*given.numbers, given.voxel_size)] if given.numbers else CASES
    heads = "".join(f"{head:>8}" for head in ("file", "arrays", "parent", "worker", "all", "windows")) + f"{'s':>7}"
    print(f"{'labels':>6}  {'voxels':<18}{'Å':>5}{heads}   (target for all {TARGET_MB} MB)")
    with tempfile.TemporaryDirectory() as folder:
        for labels, side, depth, size in cases:
            print(row(Path(folder), int(labels), (int(depth), int(side), int(side)), size), flush=True)


if __name__ == "__main__":
    main()
