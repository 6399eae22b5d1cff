"""Measuring masks: surface and thickness against known shapes and scikit-image, time and memory.

Surface: voxel faces weighted by the normals of the smoothed mask, next to what counting faces and scikit-image's
marching cubes (Lewiner) give, as a share of the true surface. Thickness: mean over the middle, in voxels of 10 Å. Then
a mask of 40 vesicles (membranes of 5 voxels): whole statistics here, against marching_cubes with mesh_surface_area,
label and regionprops there; each in a process of its own. Anonymous memory is what the process holds besides files.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource
from cryomamba.volumes import MaskWriter, blank_header, open_volume

VOXEL = 10.0
VESICLES = 40


def shell(outer: float, inner: float, size: tuple[float, float, float]) -> np.ndarray:
    axes = [(np.arange(int(2 * outer / step) + 12) - (int(2 * outer / step) + 11) / 2) * step for step in size]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    square = z * z + y * y + x * x
    inside: np.ndarray = (square < outer**2) & (square >= inner**2)
    return inside


def marching_cubes(mask: np.ndarray, size: tuple[float, float, float]) -> float:
    from skimage import measure as peer

    vertices, faces, _, _ = peer.marching_cubes(mask.astype(np.float32), 0.5, spacing=size)  # type: ignore[no-untyped-call]
    return float(peer.mesh_surface_area(vertices, faces))  # type: ignore[no-untyped-call]


def accuracy() -> None:
    print(
        f"{'shape':34s} {'faces':>7s} {'marching cubes':>15s} {'here':>7s}   {'thickness':>9s} {'here':>6s} {'sd':>5s}"
    )
    for size in ((10.0, 10.0, 10.0), (15.0, 10.0, 10.0)):
        for outer, inner in ((50, 0), (100, 0), (200, 0), (140, 100), (225, 175), (265, 235)):
            mask = shell(outer, inner, size)
            true = 4 * math.pi * (outer**2 + inner**2)
            found = measure(LabelSource.of_array(mask, size), {}).labels[0]
            faces = sum(np.count_nonzero(np.diff(mask, axis=axis)) * math.prod(size) / size[axis] for axis in range(3))
            name = f"{'shell' if inner else 'ball'} {outer}{f' to {inner}' if inner else ''} Å, z {size[0]:g} Å"
            here = (found.surface_nm2 or 0) * 100 / true
            print(
                f"{name:34s} {faces / true:7.3f} {marching_cubes(mask, size) / true:15.3f} {here:7.3f}   "
                f"{(outer - inner) / 10 if inner else 2 * outer / 10:9.1f} {(found.thickness_A or 0) / 10:6.2f} "
                f"{(found.thickness_sd_A or 0) / 10:5.2f}"
            )


def write_vesicles(path: Path, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    centres = rng.random((VESICLES, 3)) * shape
    radii = rng.uniform(20, 70, VESICLES)
    y, x = np.ogrid[: shape[1], : shape[2]]
    with MaskWriter(path, blank_header(shape, VOXEL), labels=1, engine="bench") as mask:
        for z in range(shape[0]):
            plane = np.zeros(shape[1:], np.bool_)
            for (cz, cy, cx), radius in zip(centres, radii, strict=True):
                if abs(z - cz) < radius + 3:
                    distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
                    plane |= np.abs(distance - radius) < 2.5
            mask.write(z, 0, 0, plane[None].astype(np.uint8))


def measure_here(path: Path) -> None:
    with open_volume(path) as mask:
        measure(LabelSource.of_volume(mask), {})


def sizes_here(path: Path) -> None:
    with open_volume(path) as mask:
        measure(LabelSource.of_volume(mask), {}, shape=False)


def measure_skimage(path: Path) -> None:
    from skimage.measure import label, regionprops

    with open_volume(path) as volume:
        mask = np.greater(volume.read_native(slice(None), slice(None), slice(None)).view(np.uint8), 0)
    regions: Any = regionprops(label(mask, connectivity=3))  # type: ignore[no-untyped-call]
    places = [(region.area, region.centroid, region.bbox) for region in regions]
    surface_A2 = marching_cubes(mask, (VOXEL, VOXEL, VOXEL))
    if not (places and surface_A2):
        raise RuntimeError("nothing was measured")


WAYS: dict[str, Callable[[Path], None]] = {
    "here": measure_here,
    "here, sizes and places alone": sizes_here,
    "scikit-image, surface of all together": measure_skimage,
}


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def child(way: str, path: Path) -> None:
    peak, done = anonymous_bytes(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    WAYS[way](path)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    print(f"{seconds:.2f} {peak / 1e6:.0f}")


def cost(folder: Path, shape: tuple[int, int, int], ways: list[str]) -> None:
    path = folder / "mask.mrc"
    write_vesicles(path, shape)
    for way in ways:
        command = [sys.executable, "-m", "benchmarks.measure", "child", way, str(path)]
        seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"{' × '.join(map(str, shape)):18s} {way:40s} {seconds:>8s} s {peak:>6s} MB anonymous")


def main() -> None:
    accuracy()
    print()
    with tempfile.TemporaryDirectory() as folder:
        cost(Path(folder), (512, 512, 512), list(WAYS))
        cost(Path(folder), (256, 1024, 1024), ["here"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
