"""An engine that is a function on an array gives the same in tiles as on the whole volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.engines import ArrayEngine, EngineParameters, Found, Slices, Spacing, Tile, VolumeContext, Voxels
from cryomamba.errors import JobFailedError
from cryomamba.volumes.statistics import Statistics
from cryomamba_inference.runner.binned_copy import array_statistics

SIZE_A: Spacing = (20.0, 10.0, 10.0)


class Smooth(ArrayEngine[EngineParameters]):
    name = "smooth"
    summary = "An engine for tests."
    labels: Mapping[int, str] = {1: "bright", 3: "brighter"}
    answer: ClassVar[Found | None] = None

    def reach_A(self) -> float:
        return 45.0

    def segment(self, data: Voxels, voxel_size_A: Spacing) -> Found:
        if self.answer is not None:
            return self.answer
        sigma = [15.0 / size for size in voxel_size_A]
        return np.asarray(ndimage.gaussian_filter(data, sigma, truncate=3.0, mode="nearest") > 0.2)


class Scored(Smooth):
    name = "scored"
    output = "scores"


@pytest.fixture
def density() -> Voxels:
    return np.random.default_rng(1).normal(50, 7, (18, 20, 22)).astype(np.float32)


def prepared(engine: Smooth, density: Voxels) -> Smooth:
    statistics: Statistics = array_statistics(density)
    engine.prepare(VolumeContext(density.shape, SIZE_A, statistics, density.__getitem__))
    return engine


def whole(density: Voxels) -> Tile:
    z, y, x = (slice(0, size) for size in density.shape)
    return Tile(density, (z, y, x), (0, 0, 0), density.shape)


def test_the_reach_becomes_a_halo_along_each_axis() -> None:
    """It is rounded up to whole voxels, which need not be cubes."""
    assert Smooth(EngineParameters()).halo(SIZE_A) == (3, 5, 5)


def test_a_tile_with_its_halo_gives_what_the_whole_volume_gives(density: Voxels) -> None:
    """Cores of any position are cut out of the same result, with densities standardized by the whole volume."""
    engine = prepared(Smooth(EngineParameters()), density)
    every = engine.predict(whole(density))
    assert every.dtype == np.uint8
    assert 0 < every.sum() < every.size
    box: Slices = (slice(3, 17), slice(2, 16), slice(4, 20))
    core: Slices = (slice(3, 10), slice(5, 9), slice(5, 11))
    tile = Tile(density[box], core, (6, 7, 9), (7, 4, 6))
    assert np.array_equal(engine.predict(tile), every[6:13, 7:11, 9:15])


def test_a_constant_volume_is_standardized_to_zero() -> None:
    """There is no division by zero."""
    flat = np.full((4, 4, 4), 3, np.float32)
    assert not prepared(Smooth(EngineParameters()), flat).predict(whole(flat)).any()


@pytest.mark.parametrize(
    ("found", "stored"),
    [
        (np.array([True, False]), [1, 0]),
        (np.array([3, 0], np.int64), [3, 0]),
        (np.array([3.0, 1.0], np.float32), [3, 1]),
    ],
)
def test_labels_of_any_type_are_stored_as_labels(found: Found, stored: list[int]) -> None:
    """Booleans are label 1; whole numbers of any type are labels."""
    engine = Smooth(EngineParameters())
    engine.answer = found.reshape(1, 1, 2)  # type: ignore[misc]
    assert engine.predict(whole(np.zeros((1, 1, 2), np.float32))).ravel().tolist() == stored


def test_scores_are_fractions() -> None:
    """From 0 to 1 become 0 to 255; the mask starts at one half, unless the engine has another threshold."""
    engine = Scored(EngineParameters())
    engine.answer = np.array([0, 0.5, 1], np.float64).reshape(1, 1, 3)  # type: ignore[misc]
    assert engine.predict(whole(np.zeros((1, 1, 3), np.float32))).ravel().tolist() == [0, 128, 255]
    assert (engine.thresholds().high, engine.thresholds().low) == (128, 128)


@pytest.mark.parametrize(
    ("kind", "found", "words"),
    [
        (Smooth, np.zeros((2, 2)), "shape"),
        (Smooth, np.array([4, 0]), "0 to 3"),
        (Smooth, np.array([-1, 0]), "-1 to 0"),
        (Smooth, np.array([0.5, 0]), "fractions"),
        (Smooth, np.array([np.nan, 0]), "nan"),
        (Smooth, np.array(["a", "b"]), "type"),
        (Scored, np.array([0, 1.5]), "from 0 to 1"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_reason(kind: type[Smooth], found: Found, words: str) -> None:
    """The job ends with a sentence on what the function gave."""
    engine = kind(EngineParameters())
    engine.answer = found if found.ndim > 1 else found.reshape(1, 1, 2)  # type: ignore[misc]
    with pytest.raises(JobFailedError, match=words):
        engine.predict(whole(np.zeros((1, 1, 2), np.float32)))
