"""The filaments engine: traces hollow and solid filaments, not noise, independently of the tiling."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from tests.inference.engines.picking import agreement, picked

from cryomamba.errors import InvalidRequestError
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.engines.filaments import FilamentsEngine, FilamentsParameters

SHAPE = (64, 128, 128)


def engine(**parameters: Any) -> FilamentsEngine:
    return FilamentsEngine(FilamentsParameters(**{"diameter_A": 250.0, **parameters}))


def tube(*, hollow: bool = True, sign: float = -1.0, noise: float = 1.0, size: float = 10.0) -> npt.NDArray[np.float32]:
    """A straight tube of 250 Å through the middle, along (z, y, x) = (0, 0.8, 0.6), in noise of 10 Å voxels."""
    shape = tuple(round(n * 10 / size) for n in SHAPE)
    grid = np.stack(np.meshgrid(*(np.arange(n) * size for n in shape), indexing="ij"), -1)
    offset = grid - (np.array(SHAPE) * 5)
    way = np.array([0, 0.8, 0.6])
    away = np.linalg.norm(offset - (offset @ way)[..., None] * way, axis=-1)
    inside = (away <= 125) & ((away >= 75) | (not hollow))
    deviation = noise * (10 / size) ** 1.5
    density = sign * inside + deviation * np.random.default_rng(8).standard_normal(shape)
    return np.asarray(density, np.float32)


@pytest.mark.parametrize(("hollow", "sign"), [(True, -1.0), (False, 1.0)])
def test_a_filament_is_found_and_traced(hollow: bool, sign: float) -> None:
    """Hollow or solid, dark or bright, it is one filament whose centre line is found within a tenth of the diameter.

    At the border, where half of it is outside, its last point may be off by a quarter.
    """
    _, picks = picked(engine(), tube(hollow=hollow, sign=sign))
    assert picks.objects == 1
    offset = picks.positions * 10 - np.array(SHAPE) * 5
    way = np.array([0, 0.8, 0.6])
    along = offset @ way
    lateral = np.linalg.norm(offset - along[:, None] * way, axis=1)
    assert lateral[2:-2].max() < 25
    assert lateral.max() < 63
    assert np.ptp(along) > 1300
    np.testing.assert_allclose(np.abs(np.diff(along))[1:-1], 125, atol=10)


def test_padding_is_no_filament() -> None:
    """In a constant frame far from the densities one filament is found, within its radius, and none along the frame."""
    frame = 20
    _, picks = picked(engine(), np.pad(tube(), frame, constant_values=300.0))
    assert picks.objects == 1
    offset = (picks.positions - frame) * 10 - np.array(SHAPE) * 5
    way = np.array([0, 0.8, 0.6])
    away = np.linalg.norm(offset - (offset @ way)[:, None] * way, axis=1)
    assert away.max() < 150
    assert np.median(away) < 30
    assert np.ptp(offset @ way) > 600


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_filament_far_above_the_noise_keeps_its_contrast(sign: float) -> None:
    """The missing-wedge fringes of strong filaments, longer and of opposite contrast, are not traced."""
    spec = PhantomSpec(
        shape=(48, 112, 112),
        voxel_size_A=20.0,
        seed=711,
        noise=1.0,
        filaments=3,
        vesicles=0,
        sheets=0,
        fiducials=0,
        crowding=0.0,
        contrast="dark" if sign < 0 else "bright",
    )
    made = synthesize(spec)
    _, picks = picked(engine(), made.density, made.voxel_size_A)
    precision, recall = agreement(picks.positions * 20, np.concatenate(made.filaments_A), 150)
    assert precision > 0.7
    assert recall > 0.5


def test_voxel_size_does_not_matter() -> None:
    """At 14 Å the filament has the same length and number of points as at 10 Å."""
    lengths = []
    for size in (10.0, 14.0):
        _, picks = picked(engine(contrast="dark"), tube(size=size), (size, size, size))
        assert picks.objects == 1
        lengths.append(picks.track_lengths_A((size, size, size)).max())
    assert lengths[0] == pytest.approx(lengths[1], abs=260)


def test_noise_gives_nothing() -> None:
    """Pure noise has no filaments."""
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    _, picks = picked(engine(), noise)
    assert picks.objects == 0


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_volume_has_no_filaments(value: float) -> None:
    """A constant volume has no filaments."""
    scores, picks = picked(engine(), np.full((30, 60, 60), value, np.float32))
    assert not scores.any()
    assert not len(picks)


def test_tiles_equal_the_whole() -> None:
    """Scores and picks are bit-identical for any tiling."""
    data = tube()
    whole, picks = picked(engine(), data)
    tiled, again = picked(engine(), data, tile=50)
    np.testing.assert_array_equal(tiled, whole)
    np.testing.assert_array_equal(again.positions, picks.positions)
    np.testing.assert_array_equal(again.scores, picks.scores)


@pytest.mark.slow
def test_threads_do_not_matter() -> None:
    """Boxes that several threads work on at once give the same bytes as one thread."""
    data = tube(size=5.0, noise=0.5)
    (whole, _), (again, _) = (picked(engine(diameter_A=125.0), data, (5.0,) * 3, threads=n) for n in (1, 3))
    assert whole.any()
    np.testing.assert_array_equal(again, whole)


def test_the_mask_is_as_thick_as_the_filament() -> None:
    """Points are moved onto the centreline before tubes are rasterized, so the mask has about the tube's volume."""
    made = engine(contrast="dark")
    scores, _ = picked(made, tube())
    true = math.pi / 4 * 25**2 * 128 / 0.8
    assert 0.85 * true < (scores >= made.thresholds().low).sum() < 1.2 * true


def test_a_filament_along_the_border_is_found() -> None:
    """With its axis a quarter of the diameter inside the volume, it is traced from end to end, near its axis."""
    z, x = np.indices((64, 96)) * 10.0
    inside = np.hypot(z - 320, x - 62) <= 125
    noise = np.random.default_rng(12).standard_normal((64, 128, 96))
    _, picks = picked(engine(contrast="dark"), (noise - inside[:, None, :]).astype(np.float32))
    assert picks.objects == 1
    assert np.ptp(picks.positions[:, 1]) > 100
    assert np.abs(picks.positions[:, 0] - 32).max() < 5
    assert picks.positions[:, 2].max() < 13


def test_membranes_are_no_filaments() -> None:
    """A volume with vesicles and sheets but no filaments gives at most one."""
    made = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=14.0, seed=32, crowding=0.0, fiducials=0, noise=1.0))
    _, picks = picked(engine(contrast="dark"), made.density, made.voxel_size_A)
    assert picks.objects <= 1


def test_a_filament_ends_where_it_ends() -> None:
    """A tube that stops in the middle of the volume is traced to its end, and not much further."""
    data = tube(noise=0.5)
    data[:, 64:] = np.random.default_rng(9).normal(size=data[:, 64:].shape).astype(np.float32) * 0.5
    _, picks = picked(engine(contrast="dark", min_length_A=300.0), data)
    assert picks.objects == 1
    # The axis leaves the volume at y = 0 and is cut at y = 64.
    assert abs(picks.positions[:, 1].max() - 64) < 13


def test_a_voxel_size_too_coarse_is_refused() -> None:
    """The message gives the minimum diameter."""
    with pytest.raises(InvalidRequestError, match="40 Å"):
        picked(engine(diameter_A=35.0), np.zeros((8, 8, 8), np.float32), (20.0, 20.0, 20.0))


@pytest.mark.parametrize("contrast", ["bright", "auto"])
def test_a_real_microtubule_is_found(shared_data: Path, contrast: str) -> None:
    """The microtubule of a real tomogram is one filament that runs along its length, in the middle of the crop."""
    data = tifffile.imread(shared_data / "13pf_MT.tif").astype(np.float32)
    _, picks = picked(engine(contrast=contrast), data, (10.52,) * 3)
    assert picks.objects == 1
    z, y, x = picks.positions.T
    assert np.ptp(y) > 120
    assert np.abs(z - 18).max() < 6
    # It leans to the left as y grows, as one sees in the slices.
    assert np.corrcoef(x, y)[0, 1] < -0.98
