"""How often a label is wrong where the engine is uncertain: `membrane` and `pixels` with ``uncertainty=true``.

For each volume the voxels are sorted by their uncertainty into five bins: their share of the volume, and the share of
them whose label is wrong. *AUROC* is the probability that a wrong voxel is more uncertain than a right one, 0.5 for
chance. *ECE* is the expected calibration error of the score map as a probability (Guo et al. 2017, ten bins): the mean
difference between what it promises and how many of its voxels are in the structure. No tolerance; all membranes count,
also those that the missing wedge hides, of which the network sees nothing.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.pixels_accuracy import VOXEL_A, carbon, microtubules, paint
from benchmarks.scenes.imaged import SMALL, Case, imaged
from numpy.typing import NDArray
from scipy import stats

from cryomamba.engines.artifacts import ExportFormat
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import clean_phantom
from cryomamba.synth.spec import MEMBRANE
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.local import LocalRunner

EDGES = (0, 20, 40, 60, 80, 101)
MEMBRANES = (
    ("gyroid", "middle", "4 µm"),
    ("random_field", "middle", "back-projection"),
    ("rims", "high", "plain"),
    ("lamella", "high", "8 µm, ±50°"),
)
Array = NDArray[Any]


def read(path: Path) -> Array:
    with open_volume(path) as volume:
        return np.array(volume.read_native(slice(None), slice(None), slice(None)))


def run(density: Array, engine: str, params: dict[str, Any], *formats: ExportFormat) -> list[Array]:
    """Return the mask, and the files of further formats."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.mrc"
        write_volume(path, density, VOXEL_A)
        request = SubmitRequest(
            volume=VolumeSource(path=str(path)), engine=engine, params={**params, "uncertainty": True}
        )
        result = LocalRunner(2).run(
            path,
            request,
            output=path.with_name("mask.mrc"),
            on_event=lambda _: None,
            cancelled=lambda: False,
            formats=formats,
        )
        return [read(each) for each in (result.mask, *result.exports)]


def calibration_error(probability: Array, truth: Array) -> float:
    """Return the expected calibration error, in ten bins."""
    bins = np.minimum((probability * 10).astype(int), 9).ravel()
    counts = np.bincount(bins, minlength=10)
    promised = np.bincount(bins, probability.ravel(), minlength=10)
    found = np.bincount(bins, truth.ravel(), minlength=10)
    return float(np.abs(promised - found).sum() / counts.sum())


def separation(percent: Array, wrong: Array) -> float:
    """Return the probability that a wrong voxel is more uncertain than a right one."""
    if wrong.all() or not wrong.any():
        return float("nan")
    ranks, count = stats.rankdata(percent.ravel()), int(wrong.sum())
    return float((ranks[wrong.ravel()].sum() - count * (count + 1) / 2) / (count * (wrong.size - count)))


def row(name: str, percent: Array, wrong: Array, error: str) -> str:
    cells = []
    for low, high in itertools.pairwise(EDGES):
        inside = (percent >= low) & (percent < high)
        rate = f"{100 * wrong[inside].mean():5.1f}" if inside.any() else "    –"
        cells.append(f"{100 * inside.mean():5.1f} {rate}")
    return f"{name:<28}{'  '.join(cells)}{separation(percent, wrong):>8.3f}{error:>8}"


def rows(seed: int) -> Iterator[str]:
    for family, noise, imaging in MEMBRANES:
        case = Case(family, VOXEL_A, noise, imaging, seed, SMALL)
        volume = imaged(case, clean_phantom(case.phantom_spec))
        truth = volume.truth == MEMBRANE
        mask, scores, percent = run(volume.density, "membrane", {}, "scores", "uncertainty")
        yield row(f"{family}, {noise}", percent, (mask == 1) != truth, f"{calibration_error(scores / 255, truth):.3f}")
    for name, make in (("pixels: carbon film", carbon), ("pixels: microtubules", microtubules)):
        phantom, painted = make(seed)
        strokes = paint(phantom.density, painted, seed).model_dump(mode="json")
        mask, percent = run(phantom.density, "pixels", {"strokes": strokes}, "uncertainty")
        yield row(name, percent, (mask == 1) != painted, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=8851)
    chosen = parser.parse_args()
    heads = [f"{low}–{min(high, 100)} %" for low, high in itertools.pairwise(EDGES)]
    print(f"{'':<28}{'  '.join(f'{head:>11}' for head in heads)}{'AUROC':>8}{'ECE':>8}")
    print(f"{'':<28}{'  '.join('share wrong' for _ in heads)}")
    for line in rows(chosen.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
