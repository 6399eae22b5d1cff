"""The membrane engine: finds membranes of either contrast, nothing in noise, and the same whatever the tiles."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba.engine import Scene, Slices, Tile
from cryomamba.masks.hysteresis import cut_scores
from cryomamba.synth import PhantomSpec, score_mask, synthesize
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters

Density = npt.NDArray[np.float32]
SHAPE = (72, 128, 128)


def prepared(data: Density, voxel_size_A: float = 10.0, **parameters: Any) -> MembraneEngine:
    engine = MembraneEngine(MembraneParameters(**parameters))

    def read(where: Slices) -> Density:
        return np.ascontiguousarray(data[where])

    engine.prepare(Scene(data.shape, (voxel_size_A,) * 3, None, read))
    return engine


def scores_of(engine: MembraneEngine, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    nothing = np.empty((0, 0, 0), np.float32)
    scores = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (0, 0, 0), shape))
    assert scores.dtype == np.uint8
    return scores.astype(np.uint8)


def mask_of(engine: MembraneEngine, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    return cut_scores(scores_of(engine, shape), engine.cut())


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_membranes_are_found_in_either_contrast(contrast: str) -> None:
    """A phantom with gold, crowding, noise and a missing wedge scores well, with the contrast left to the engine."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=4, noise=1.0, contrast=contrast)
    phantom = synthesize(spec)
    score = score_mask(mask_of(prepared(phantom.density), SHAPE), phantom.truth)
    assert score.f1 > 0.8, score


def test_noise_gives_almost_nothing() -> None:
    """In noise alone hardly a voxel in a thousand is called membrane."""
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    assert mask_of(prepared(noise), SHAPE).mean() < 1e-3


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_constant_volume_has_no_membranes(value: float) -> None:
    """Nothing is found where nothing is, and nothing is divided by it."""
    data = np.full((24, 40, 40), value, np.float32)
    assert not mask_of(prepared(data), (24, 40, 40)).any()


def test_tiles_equal_the_whole() -> None:
    """Scores of tiles are those of the whole volume, within one step of rounding."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=6, noise=1.0))
    engine = prepared(phantom.density)
    whole = scores_of(engine, SHAPE).astype(int)
    nothing = np.empty((0, 0, 0), np.float32)
    different = 0
    for start in itertools.product(*(range(0, size, 44) for size in SHAPE)):
        z, y, x = (slice(at, min(at + 44, size)) for at, size in zip(start, SHAPE, strict=True))
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        tile = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (z.start, y.start, x.start), shape))
        different += int((np.abs(tile.astype(int) - whole[z, y, x]) > 1).sum())
    assert different < 1e-3 * whole.size


def test_the_same_phantom_at_another_voxel_size_gives_the_same_volume() -> None:
    """What is found is physical: at 7 and 14 Å the volumes of membrane differ by little."""
    volumes = []
    for size, shape in ((7.0, (96, 160, 160)), (14.0, (48, 80, 80))):
        phantom = synthesize(PhantomSpec(shape=shape, voxel_size_A=size, seed=7, noise=0.5))
        volumes.append(mask_of(prepared(phantom.density, size), shape).sum() * size**3)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.2)


def test_a_prepared_engine_goes_to_another_process() -> None:
    """Pickled and read back, it gives the same scores."""
    phantom = synthesize(PhantomSpec(shape=(40, 64, 64), voxel_size_A=10.0, seed=8))
    engine = prepared(phantom.density)
    again = pickle.loads(pickle.dumps(engine))
    np.testing.assert_array_equal(scores_of(again, (40, 64, 64)), scores_of(engine, (40, 64, 64)))
