"""Accuracy of the engine 'membrane' on families of phantoms that it was not fitted on, against common filters.

Every volume is written to a file and segmented as a job is, with no parameter given. F1, precision and recall have
one voxel of tolerance and count all membranes of the truth, also those that the missing wedge hides; *seen* is F1 where
the tilt range lets membranes be seen. *best* is the highest F1 of all thresholds on the score map. Noise: standard
deviation in units of a membrane's contrast, both in a voxel of 12 Å: low 0.5, middle 1, high 2, extreme 4. Peers: a
plate filter of 90 lines of SciPy (*script*) at its own and at its best threshold, the Hessian's largest eigenvalue, and
scikit-image's Sato, Meijering and Frangi at their best threshold; all are told the contrast.

`--quick` takes small volumes of 12 Å, `--seeds` chooses others, `--out` keeps the figures and the pictures of
the worst volumes, `--collect` makes the tables of such folders, so that families can be measured in several processes,
and `--page` writes tables and pictures into `docs/accuracy.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.peers import baseline_plate_filter, ridge_filters
from benchmarks.peers.best_threshold import best_f1
from benchmarks.report import page, sections, tables
from benchmarks.report.measured import Measured
from benchmarks.scenes.imaged import Case, Volume, cases, has_membranes, imaged
from numpy.typing import NDArray
from scipy import ndimage

from cryomamba.engines.registry import Registry
from cryomamba.synth import score_mask, score_thresholds
from cryomamba.synth.families import FAMILIES
from cryomamba.synth.phantom import clean_phantom
from cryomamba.synth.spec import MEMBRANE
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import TileExecutor, open_executor
from cryomamba_inference.runner import Control, Task, run_task

SEEDS = (7301,)


class _Unwatched:
    """Receives the events of a run."""

    def on_progress(self, progress: object) -> None:
        """Take progress."""

    def on_preview(self, frame: object) -> None:
        """Take a preview."""


@dataclasses.dataclass(frozen=True)
class Segmented:
    """What a job made of a volume: mask, score map, contrast and seconds."""

    mask: NDArray[np.bool_]
    scores: NDArray[np.uint8]
    contrast: str | None
    seconds: float


def segmented(density: NDArray[np.float32], voxel_A: float, executor: TileExecutor) -> Segmented:
    """Segment a volume from a file to files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tomogram.mrc"
        write_volume(path, density, (voxel_A,) * 3)
        started = time.perf_counter()
        engine = Registry.discover().create("membrane", {})
        with open_volume(path, scratch=Path(folder)) as volume:
            task = Task(engine=engine, volume=volume, keep_scores=True)
            outcome = run_task(task, Path(folder), executor, Control(lambda: False), _Unwatched())
        seconds = time.perf_counter() - started
        mask = _read(outcome.mask) != 0
        scores = _read(outcome.scores) if outcome.scores is not None else mask.astype(np.uint8)
    return Segmented(mask, scores, judged_contrast(engine, density, mask), seconds)


def _read(path: Path) -> NDArray[np.uint8]:
    with open_volume(path) as volume:
        return np.asarray(volume.read_native(slice(None), slice(None), slice(None))).astype(np.uint8)


def judged_contrast(engine: object, density: NDArray[np.float32], mask: NDArray[np.bool_]) -> str | None:
    """Return the contrast that the engine decided on; if it does not tell, that of the mask to its surroundings."""
    sign = getattr(getattr(engine, "contrast", None), "sign", None)
    if sign is None:
        shell = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_dilation(mask)
        if not mask.any() or not shell.any():
            return None
        sign = density[mask].mean() - density[shell].mean()
    return "dark" if sign < 0 else "bright"


def peers(volume: Volume, voxel_A: float, *, inverted: bool) -> dict[str, float]:
    """Return F1 of the peers on a volume, turned dark for them."""
    density = -volume.density if inverted else volume.density
    small = baseline_plate_filter.z_scores(density, voxel_A)
    wide = baseline_plate_filter.upsampled(small, density.shape).astype(np.float32)
    found = {
        "script": score_mask(baseline_plate_filter.segment(density, voxel_A), volume.truth).f1,
        "script, best": best_f1(wide, volume.truth),
    }
    return found | {
        name: best_f1(ridge_filters.response(name, density, voxel_A), volume.truth) for name in ridge_filters.FILTERS
    }


def measured(case: Case, volume: Volume, result: Segmented, *, with_peers: bool) -> Measured:
    score = score_mask(result.mask, volume.truth)
    membranes = has_membranes(case.family)
    return Measured(
        family=case.family,
        voxel_A=case.voxel_A,
        noise=case.noise,
        imaging=case.imaging,
        seed=case.seed,
        crowding=case.crowding,
        membranes=membranes,
        f1=score.f1,
        precision=score.precision,
        recall=score.recall,
        seen=score_mask(result.mask, volume.truth, ignore=volume.hidden).f1,
        best=max(each.f1 for each in score_thresholds(result.scores, volume.truth)[1:]) if membranes else 1.0,
        taken=float(result.mask.mean()),
        contrast=result.contrast,
        seconds=result.seconds,
        peers=peers(volume, case.voxel_A, inverted=case.imaging == "inverted") if membranes and with_peers else {},
    )


def measure(chosen: list[Case], folder: Path, *, with_peers: bool) -> Iterator[Measured]:
    """Yield the figures of all volumes; the picture of the worst of each family is in `folder`."""
    worst: dict[str, float] = {}
    executor = open_executor(1)
    phantom, of = None, None
    for case in chosen:
        if phantom is None or case.phantom_spec != of:
            phantom, of = clean_phantom(case.phantom_spec), case.phantom_spec
        volume = imaged(case, phantom)
        result = segmented(volume.density, case.voxel_A, executor)
        figures = measured(case, volume, result, with_peers=with_peers)
        if figures.badness > worst.get(case.family, -1.0):
            worst[case.family] = figures.badness
            sections.save(folder / f"accuracy-{case.family}.png", volume.density, result.mask, volume.truth == MEMBRANE)
        print(f"{figures.name}: {figures.summary}", file=sys.stderr, flush=True)
        yield figures
    executor.close()


def collect(folders: list[Path], folder: Path) -> list[Measured]:
    """Return the figures of earlier runs, and copy their pictures; of two of a family the later one counts."""
    rows = []
    for one in folders:
        lines = (one / "figures.jsonl").read_text(encoding="utf-8").splitlines()
        rows += [Measured(**json.loads(line)) for line in lines]
        for picture in one.glob("accuracy-*.png"):
            shutil.copyfile(picture, folder / picture.name)
    return rows


def run(chosen: list[Case], folder: Path, *, with_peers: bool) -> list[Measured]:
    """Measure volumes, and write the figures of each as soon as they are known."""
    rows = []
    with (folder / "figures.jsonl").open("w", encoding="utf-8") as file:
        for figures in measure(chosen, folder, with_peers=with_peers):
            rows.append(figures)
            file.write(json.dumps(dataclasses.asdict(figures)) + "\n")
            file.flush()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small volumes, at 12 Å alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds of geometry and noise")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--no-peers", action="store_true", help="leave the other filters out")
    parser.add_argument("--out", type=Path, help="folder for figures.jsonl and the pictures of the worst volumes")
    parser.add_argument("--collect", type=Path, nargs="+", metavar="FOLDER", help="tables of earlier runs' folders")
    parser.add_argument("--page", action="store_true", help="write the tables and pictures into docs/accuracy.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if options.collect:
            rows = collect(options.collect, folder)
        else:
            chosen = list(cases(options.families, options.seeds, quick=options.quick))
            rows = run(chosen, folder, with_peers=not options.no_peers)
        text = tables.text(rows)
        print(text)
        if options.page:
            page.write(text, rows, sorted(folder.glob("accuracy-*.png")), arguments=sys.argv[1:])


if __name__ == "__main__":
    main()
