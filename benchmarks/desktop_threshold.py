"""The desktop's live threshold: one section, the components, and the whole volume.

Scores of 512³ voxels with shells in noise. While a slider moves, a section is thresholded at once with the components
known last, and the components are found anew on a coarse copy; applying thresholds the whole volume exactly. The peer
is a plain comparison of one section.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.volumes import MaskWriter, blank_header
from napari_cryomamba.models.thresholds import LiveThreshold, ScoreMap, kept_blocks, load_scores, write_thresholded

SIDE = 512
THRESHOLD = HysteresisThreshold(150, 100, 500)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "scores.mrc"
        write_scores(path)
        started = time.perf_counter()
        found = load_scores(path, THRESHOLD)
        print(f"open the scores of {SIDE}³ and make the coarse copy: {time.perf_counter() - started:.2f} s")
        sections(found)
        components(found)
        started = time.perf_counter()
        write_thresholded(found, THRESHOLD, Path(folder) / "mask.mrc", progress=lambda _fraction: None)
        print(f"threshold the whole volume exactly: {time.perf_counter() - started:.2f} s")


def write_scores(path: Path) -> None:
    rng = np.random.default_rng(0)
    with MaskWriter(path, blank_header((SIDE,) * 3, (10.0,) * 3), labels=255, engine="bench") as writer:
        y, x = np.ogrid[:SIDE, :SIDE]
        for z in range(SIDE):
            plane = rng.integers(0, 110, (1, SIDE, SIDE), np.uint8)
            for at in (128, 384):
                radius = np.sqrt((z - at) ** 2 + (y - at) ** 2 + (x - at) ** 2)
                plane[0][np.abs(radius - 90) < 3] = 200
            writer.write(z, 0, 0, plane.astype(writer.dtype))


def sections(found: ScoreMap) -> None:
    live = LiveThreshold(found, THRESHOLD)
    live.set(THRESHOLD, kept_blocks(found, THRESHOLD))
    plain = timed(lambda z: (found.scores[z] >= THRESHOLD.low).astype(np.uint8))
    print("threshold one section, median")
    print(f"  a comparison                    {plain * 1e3:7.2f} ms")
    for name, part in (("z", lambda z: live[z]), ("y", lambda z: live[:, z]), ("x", lambda z: live[:, :, z])):
        took = timed(part)
        print(f"  with components, axis  {name}       {took * 1e3:7.2f} ms  ×{took / plain:.1f}")


def components(found: ScoreMap) -> None:
    print("decide which components stay, median of 5")
    for name, chosen in (("thresholds alone", HysteresisThreshold(150, 100)), ("with a minimum volume", THRESHOLD)):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            kept_blocks(found, chosen)
            times.append(time.perf_counter() - started)
        print(f"  {name:<32}{statistics.median(times) * 1e3:7.0f} ms")


def timed(part: Callable[[int], Any]) -> float:
    times = []
    for z in range(100, 400, 10):
        started = time.perf_counter()
        part(z)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
