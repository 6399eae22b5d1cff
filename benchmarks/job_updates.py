"""Updates while a job runs: the longest time without anything new, and the duration of its stages.

A job of the membrane network, or of the engines that are given, runs on this machine, on 128³ and on 512³ voxels (or
the sides that are given): ``job_updates.py 128 filaments``. On a busy machine, ``--stop-after 500`` cancels each job
after so many seconds, and the table says so. From two seconds after the start until the end, a change is
another sentence about what is done, another tenth of a percent, another number of seconds left, or another preview.
Also shown is for how long on end the time left rose.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.ndimage

from cryomamba.engines.artifacts import ExportFormat
from cryomamba.engines.registry import Registry
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume
from cryomamba_inference.local import LocalRunner

SIDES = (128, 512)
ENGINE = "membrane"
VOXEL_SIZE_A = (10.0, 10.0, 10.0)
FIRST_S = 2.0
"""From when on something is expected every second."""
GAP_LIMIT_S = 1.0


@dataclass
class Watcher:
    """Takes a run's events, with the time of each change.

    Attributes
    ----------
    changes : list of (float, str)
        When, and the stage.
    left : list of (float, float)
        When, and the time left in seconds that was shown.
    """

    started: float = field(default_factory=time.perf_counter)
    changes: list[tuple[float, str]] = field(default_factory=list)
    left: list[tuple[float, float]] = field(default_factory=list)
    previews: list[float] = field(default_factory=list)
    _shown: tuple[str, int, int] = ("", -1, -1)

    def __call__(self, event: ProgressEvent | PreviewEvent) -> None:
        now = time.perf_counter() - self.started
        if isinstance(event, PreviewEvent):
            self.previews.append(now)
            self.changes.append((now, self._shown[0]))
            return
        progress = event.progress
        shown = (progress.stage, int(1000 * progress.fraction), round(progress.eta_s or 0))
        if shown != self._shown:
            self.changes.append((now, progress.stage))
            self._shown = shown
        if progress.eta_s is not None:
            self.left.append((now, progress.eta_s))

    def gaps(self) -> Iterator[tuple[float, float, str]]:
        """Yield the length of each time without a change, when it began, and the stage."""
        times = [(FIRST_S, "start"), *((when, stage) for when, stage in self.changes if when > FIRST_S)]
        for (before, stage), (after, _) in itertools.pairwise(times):
            yield after - before, before, stage

    def stages(self) -> dict[str, float]:
        """Return how many seconds each stage took."""
        found: dict[str, float] = {}
        for (before, stage), (after, _) in itertools.pairwise(self.changes):
            found[stage] = found.get(stage, 0.0) + after - before
        return found

    def longest_rise(self) -> float:
        """Return for how many seconds on end the time left rose."""
        since, longest, before = 0.0, 0.0, float("inf")
        for when, left in self.left:
            if left < before:
                since = when
            longest, before = max(longest, when - since), left
        return longest


def write_phantom(path: Path, side: int) -> None:
    """Write a phantom, at most 128³ computed and the rest its mirror images with noise of their own."""
    small = min(side, 128)
    density = synthesize(PhantomSpec(shape=(small,) * 3, voxel_size_A=VOXEL_SIZE_A, seed=3, noise=1.0)).density
    rng = np.random.default_rng(5)

    def slabs() -> Iterator[np.ndarray]:
        for start in range(0, side, small):
            mirrored = density[:: -1 if start // small % 2 else 1]
            plane = np.pad(mirrored, [(0, 0), (0, side - small), (0, side - small)], mode="symmetric")
            noise = rng.normal(0, density.std() / 4, plane.shape)
            yield scipy.ndimage.gaussian_filter1d(plane + noise, 0.3, axis=0).astype(np.float32)

    write_volume(path, slabs(), VOXEL_SIZE_A, shape=(side,) * 3)


def follow(path: Path, folder: Path, engine: str, *, processes: int, stop_after_s: float) -> tuple[Watcher, bool]:
    """Run a job; return what was seen, and whether it was complete before it was to be stopped."""
    request = SubmitRequest(volume=VolumeSource(path=str(path)), engine=engine)
    registry = Registry.discover()
    formats: tuple[ExportFormat, ...] = ("scores",) if registry.engines[engine].keeps_scores else ()
    watcher = Watcher()
    cancelled: Callable[[], bool] = lambda: time.perf_counter() - watcher.started > stop_after_s  # noqa: E731
    try:
        LocalRunner(processes).run(
            path, request, output=folder / "mask.mrc", on_event=watcher, cancelled=cancelled, formats=formats
        )
    except JobFailedError as error:
        if error.code is not ErrorCode.CANCELLED:
            raise
        return watcher, False
    return watcher, True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="sides in voxels and names of engines")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS", help="cancel each job then")
    arguments = parser.parse_args()
    sides = [int(text) for text in arguments.what if text.isdigit()] or list(SIDES)
    engines = [text for text in arguments.what if not text.isdigit()] or [ENGINE]
    print(f"{'':<18}{'job':>8}{'previews':>10}{'longest gap':>13}{'limit':>8}{'time left rose for':>20}  in stage")
    for engine, side in itertools.product(engines, sides):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "phantom.mrc"
            write_phantom(path, side)
            watcher, complete = follow(path, Path(folder), engine, processes=2, stop_after_s=arguments.stop_after)
        took = time.perf_counter() - watcher.started
        longest, at, stage = max(watcher.gaps(), default=(0.0, 0.0, "none"))
        rise = watcher.longest_rise()
        print(
            f"{f'{engine} {side}³':<18}{took:>6.1f} s{len(watcher.previews):>10}{longest:>11.2f} s{GAP_LIMIT_S:>6.0f} s"
            f"{rise:>18.1f} s  {stage}, {at:.1f} s after the start"
        )
        if not complete:
            print(f"        stopped after {arguments.stop_after:.0f} s, as asked for")
        shares = ", ".join(
            f"{name} {seconds:.2f} s ({seconds / took:.0%})" for name, seconds in watcher.stages().items()
        )
        print(f"        {shares}")
        for length, at, stage in sorted(watcher.gaps(), reverse=True)[1:6]:
            if length > GAP_LIMIT_S:
                print(f"        also {length:.2f} s: {stage}, {at:.1f} s after the start")


if __name__ == "__main__":
    main()
