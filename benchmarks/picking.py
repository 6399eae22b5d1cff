"""Quality, speed and memory of the engines 'particles' and 'filaments', on held-out seeds.

Volumes with a missing wedge of ±60°, at 14 Å if nothing else is said, everything else left open. *clean* holds nothing
but what is looked for; *crowded* has membranes, gold, macromolecules and vacuum above and below, *few* and *many*
likewise with other numbers; *organelles* are phantoms of that family, with spheres of 240 Å, half of them on membranes.
Noise is the deviation in a voxel of 10 Å in units of a leaflet's density. Seeds from 6001 and from 7001 on were looked
at while the engines were made, those here were not.

*particles* (210 Å; ribosomes 240 Å): a pick within half a diameter of a particle that no other pick has is right; F1 of
the picks at the automatic and at the best threshold, beside scikit-image's `blob_log`, with the contrast told to it, at
its best threshold, which a person does not know. *none* is *crowded* without particles, and without filaments; in the
table of the latter are numbers of traced filaments a volume.
*filaments* (microtubules of 250 Å; *actin* of 70 Å in voxels of 7 Å): share of the traced points within half a diameter
of a true centre line (precision), and share of the true centre lines within 0.6 diameters of a traced point (recall);
F1 of the mask with one voxel of tolerance at the automatic and at the best threshold, beside scikit-image's Sato and
Frangi at two scales that suit the radius, with the contrast told to them, at their best threshold. Seconds are those of
one process. *Memory*: the most anonymous memory of all inference processes together, two of them computing; the limit
is 1 GB at any depth.

`python -m benchmarks.picking particles` (or filaments, memory) prints one table of it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers import ridge_filters
from benchmarks.peers.best_threshold import best_f1
from benchmarks.runner_memory import MIB, measure_engine
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import blob_log

from cryomamba.engines.api import Engine, Tile, TileResult, VolumeContext
from cryomamba.geometry import Spacing
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.picks import Picks
from cryomamba.synth import LABELS, Phantom, PhantomSpec, score_mask, score_thresholds, synthesize
from cryomamba.volumes import write_volume
from cryomamba_inference.engines.filaments import FilamentsEngine, FilamentsParameters
from cryomamba_inference.engines.particles import ParticlesEngine, ParticlesParameters

SHAPE = (64, 160, 160)
VOXEL_A = 14.0
SEEDS = (5201, 5202, 5203)
NOISES = (1.0, 2.5, 4.0)
CLEAN: dict[str, Any] = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0}
PARTICLE_SCENES: dict[str, dict[str, Any]] = {
    "clean": {**CLEAN, "particles": 40},
    "crowded": {"particles": 40},
    "few": {"particles": 8},
}
FILAMENT_SCENES: dict[str, dict[str, Any]] = {
    "clean": {**CLEAN, "filaments": 3},
    "crowded": {"filaments": 3},
    "many": {"filaments": 8},
}
PARTICLE_A, RIBOSOME_A = 210.0, 240.0
MICROTUBULE, ACTIN = (250.0, VOXEL_A), (70.0, 7.0)
FILAMENTS = {scene: (MICROTUBULE, spec) for scene, spec in FILAMENT_SCENES.items()} | {
    f"actin, {scene}": (ACTIN, FILAMENT_SCENES[scene]) for scene in ("clean", "crowded")
}
ORGANELLES = "organelles"
NOTHING = ("none", "nothing but noise")
FILAMENT = next(value for value, name in LABELS.items() if name == "filament")
MEMORY_SIDE, MEMORY_VOXEL_A = 1024, 10.0
MEMORY_DEPTHS = (64, 192)
Places = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A volume and the places (n, 3) in Å of the particles in it."""

    density: NDArray[np.float32]
    places_A: Places
    diameter_A: float


def segmented(
    engine: Engine[Any], density: NDArray[np.float32], voxel_size_A: Spacing = (VOXEL_A,) * 3
) -> tuple[NDArray[np.uint8], Picks, float]:
    """Return scores, picks and seconds of a whole volume."""
    shape = (density.shape[0], density.shape[1], density.shape[2])
    started = time.perf_counter()
    engine.prepare(VolumeContext(shape, voxel_size_A, None, lambda where: np.ascontiguousarray(density[where])))
    found = engine.predict(Tile(np.empty((0, 0, 0), np.float32), (slice(0, 0),) * 3, (0, 0, 0), shape))
    assert isinstance(found, TileResult)
    assert found.points is not None
    picks = engine.finalize_picks(found.points)
    return found.labels.astype(np.uint8), picks, time.perf_counter() - started


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def picks_f1(found_A: Places, seen: Seen) -> float:
    """Return F1 of places, each of which may stand for one particle and each particle for one place."""
    if not len(found_A):
        return 0.0
    pairs = cKDTree(found_A).sparse_distance_matrix(cKDTree(seen.places_A), seen.diameter_A / 2, output_type="ndarray")
    used: tuple[set[int], set[int]] = (set(), set())
    for pair in np.sort(pairs, order="v"):
        if pair["i"] not in used[0] and pair["j"] not in used[1]:
            used[0].add(pair["i"])
            used[1].add(pair["j"])
    return 2 * len(used[0]) / (len(found_A) + len(seen.places_A))


def best_picks_f1(ranked_A: Places, seen: Seen) -> float:
    """Return the best F1 of the first of ranked places."""
    return max((picks_f1(ranked_A[:count], seen) for count in range(1, min(len(ranked_A), 200) + 1)), default=0.0)


def inside(places_A: Places, phantom: Phantom, label: int) -> Places:
    """Return the places that the truth has: what lies outside or in vacuum cannot be found."""
    voxels = np.floor(places_A / phantom.voxel_size_A + 0.5).astype(int)
    there = ((voxels >= 0) & (voxels < phantom.ground_truth.shape)).all(axis=1)
    places_A, voxels = places_A[there], voxels[there]
    labels = phantom.ground_truth[tuple(voxels.T)]
    return np.asarray(places_A[labels == label])


def seen_particles(scene: str, seed: int, noise: float) -> Seen:
    """Make a scene with particles."""
    parameters = {"particle_diameter_A": PARTICLE_A, **PARTICLE_SCENES.get(scene, {})}
    if scene == ORGANELLES:
        parameters = {"family": ORGANELLES, "particle_diameter_A": RIBOSOME_A}
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=VOXEL_A, seed=seed, noise=noise, **parameters))
    label = next(value for value, name in LABELS.items() if name == "particle")
    places_A = inside(np.asarray(phantom.particles_A, np.float64), phantom, label)
    return Seen(phantom.density, places_A, parameters["particle_diameter_A"])


def seen_lines(phantom: Phantom) -> Places:
    """Return points every few ångström along the centre lines."""
    parts = [
        start + np.linspace(0, 1, 8, endpoint=False)[:, None] * (end - start)
        for line in phantom.filaments_A
        for start, end in itertools.pairwise(line.astype(np.float64))
    ]
    return inside(np.concatenate(parts), phantom, FILAMENT)


def peer(seen: Seen) -> tuple[float, float]:
    """Return the best F1 of `blob_log` over its thresholds, and the seconds of the lowest."""
    density = -seen.density / seen.density.std()
    sigma = seen.diameter_A / 2 / VOXEL_A / np.sqrt(3)
    started = time.perf_counter()
    found = blob_log(  # type: ignore[no-untyped-call]
        density, min_sigma=0.9 * sigma, max_sigma=1.1 * sigma, num_sigma=3, threshold=0.05, exclude_border=False
    )
    seconds = time.perf_counter() - started
    # It gives no heights: those of its own filter at the places that it found.
    answer = -(sigma**2) * ndimage.gaussian_laplace(density, sigma)
    places = found[:, :3]
    order = np.argsort(-answer[tuple(places.astype(int).T)])
    return best_picks_f1(places[order] * VOXEL_A, seen), seconds


def particles(scene: str, seed: int, noise: float) -> list[float]:
    seen = seen_particles(scene, seed, noise)
    _, picks, seconds = segmented(ParticlesEngine(ParticlesParameters(diameter_A=seen.diameter_A)), seen.density)
    _, ranked, _ = segmented(
        ParticlesEngine(ParticlesParameters(diameter_A=seen.diameter_A, threshold=1)), seen.density
    )
    best, peers_seconds = peer(seen)
    own = picks_f1(picks.positions * VOXEL_A, seen)
    own_best = best_picks_f1(ranked.positions * VOXEL_A, seen)
    return [own, own_best, best, *(s / seen.density.size * 1e6 for s in (seconds, peers_seconds))]


def filaments(scene: str, seed: int, noise: float) -> list[float]:
    (diameter_A, voxel_A), given = FILAMENTS[scene]
    parameters = {"filament_diameter_A": diameter_A, **given}
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=voxel_A, seed=seed, noise=noise, **parameters))
    engine = FilamentsEngine(FilamentsParameters(diameter_A=diameter_A))
    scores, picks, seconds = segmented(engine, phantom.density, (voxel_A,) * 3)
    cut, true_A, found_A = engine.thresholds(), seen_lines(phantom), picks.positions * voxel_A
    precision, recall = 1.0, 0.0
    if len(found_A):
        precision = float(np.mean(cKDTree(true_A).query(found_A)[0] < 0.5 * diameter_A))
        recall = float(np.mean(cKDTree(found_A).query(true_A)[0] < 0.6 * diameter_A))
    automatic = score_mask(apply_thresholds(scores, cut), phantom.ground_truth, FILAMENT).f1
    best = max(score.f1 for score in score_thresholds(scores, phantom.ground_truth, FILAMENT)[1:])
    peers = [
        best_f1(answer, phantom.ground_truth, FILAMENT)
        for answer in ridge_filters.lines(phantom.density, voxel_A, diameter_A)
    ]
    quality = [precision, recall, f1(precision, recall), automatic, max(automatic, best)]
    return [*quality, *peers, seconds / phantom.density.size * 1e6]


def table(
    title: str, columns: tuple[str, ...], scenes: tuple[str, ...], measure: Callable[[str, int, float], list[float]]
) -> None:
    print(f"{title:<24}" + "".join(f"{column:>12}" for column in columns))
    for scene, noise in itertools.product(scenes, NOISES):
        means = np.mean([measure(scene, seed, noise) for seed in SEEDS], axis=0)
        print(f"{f'{scene}, noise {noise:g}':<24}" + "".join(f"{value:>12.2f}" for value in means), flush=True)
    print()


def nothing_to_pick(scene: str, seed: int, noise: float, voxel_A: float) -> NDArray[np.float32]:
    """Return a volume without particles and filaments: *crowded*, or nothing but noise."""
    if scene != "none":
        return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    return synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=voxel_A, seed=seed, noise=noise)).density


def no_particles(scene: str, seed: int, noise: float) -> list[float]:
    density = nothing_to_pick(scene, seed, noise, VOXEL_A)
    return [float(len(segmented(ParticlesEngine(ParticlesParameters(diameter_A=PARTICLE_A)), density)[1]))]


def no_filaments(scene: str, seed: int, noise: float) -> list[float]:
    """Return how many filaments of each kind are traced where there are none."""
    counts = []
    for diameter_A, voxel_A in (MICROTUBULE, ACTIN):
        density = nothing_to_pick(scene, seed, noise, voxel_A)
        engine = FilamentsEngine(FilamentsParameters(diameter_A=diameter_A))
        counts.append(float(segmented(engine, density, (voxel_A,) * 3)[1].objects))
    return counts


def particles_table() -> None:
    columns = ("F1", "best", "blob_log", "s / Mvoxel", "blob_log s")
    table("particles", columns, (*PARTICLE_SCENES, ORGANELLES), particles)
    table("no particles", ("picks",), NOTHING, no_particles)


def filaments_table() -> None:
    columns = ("precision", "recall", "lines F1", "mask auto", "mask best", "Sato", "Frangi", "s / Mvoxel")
    table("filaments", columns, tuple(FILAMENTS), filaments)
    table("no filaments", ("microtubules", "actin"), NOTHING, no_filaments)


def memory() -> None:
    print(f"{'memory':<24}{'voxels':>17}{'all anonymous, MiB':>20}{'s':>8}{'s / Mvoxel':>12}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        slab = np.random.default_rng(7).normal(size=(16, MEMORY_SIDE, MEMORY_SIDE)).astype(np.float32)
        for depth in MEMORY_DEPTHS:
            path = home / f"{depth}.mrc"
            shape = (depth, MEMORY_SIDE, MEMORY_SIDE)
            write_volume(path, (slab for _ in range(depth // len(slab))), MEMORY_VOXEL_A, shape=shape)
            for engine in ("particles", "filaments"):
                peaks, seconds = asyncio.run(measure_engine(home, path, shape, 2, engine, {}))
                print(
                    f"{engine:<24}{'×'.join(map(str, shape)):>17}{round(peaks.together / MIB):>20}{seconds:>8.1f}"
                    f"{seconds / np.prod(shape) * 1e6:>12.3f}",
                    flush=True,
                )
            path.unlink()
    print("limit: 954 MiB (1 GB)")


def main() -> None:
    tables = {"particles": particles_table, "filaments": filaments_table, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="*", choices=[[], *tables])
    for name in parser.parse_args().table or tables:
        tables[name]()


if __name__ == "__main__":
    main()
