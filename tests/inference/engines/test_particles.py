"""The particles engine: finds particles of either contrast, nothing in noise, and the same whatever the tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
from tests.inference.engines.picking import agreement, picked

from cryomamba.errors import InvalidRequestError
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.picks import read_csv
from cryomamba.synth import Phantom, PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.particles import ParticlesEngine, ParticlesParameters
from cryomamba_inference.local import LocalRunner

SHAPE = (48, 96, 96)
A12 = (12.5, 12.5, 12.5)
QUIET: dict[str, Any] = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0, "noise": 0.3}


def engine(**parameters: Any) -> ParticlesEngine:
    return ParticlesEngine(ParticlesParameters(**parameters))


def phantom(**spec: Any) -> Phantom:
    made = {"shape": SHAPE, "voxel_size_A": 12.5, "seed": 31, "particles": 12, "particle_diameter_A": 250.0, **QUIET}
    return synthesize(PhantomSpec(**{**made, **spec}))


@pytest.fixture(scope="module")
def clean() -> Phantom:
    """Dark particles in little noise."""
    return phantom()


@pytest.mark.parametrize("sign", [1, -1])
def test_particles_are_found_in_either_contrast(clean: Phantom, sign: int) -> None:
    """What is picked in little noise is a particle, and many of them are picked."""
    _, picks = picked(engine(contrast="dark" if sign > 0 else "bright"), sign * clean.density, A12)
    precision, recall = agreement(picks.positions * 12.5, clean.particles_A, 80)
    assert precision > 0.7
    assert recall > 0.5


def test_noise_gives_almost_nothing() -> None:
    """Pure noise gives at most two picks."""
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    scores, picks = picked(engine(), noise, A12)
    assert len(picks) <= 2
    assert (scores >= 128).mean() < 2e-3


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_volume_has_no_particles(value: float) -> None:
    """A constant volume has no picks."""
    scores, picks = picked(engine(), np.full((20, 40, 40), value, np.float32))
    assert not scores.any()
    assert not len(picks)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 40), (3, 2, 60)])
def test_the_smallest_volumes_are_no_error(shape: tuple[int, int, int]) -> None:
    """Picks of a volume of a few nodes are inside of it."""
    _, picks = picked(engine(threshold=1), np.random.default_rng(6).normal(size=shape).astype(np.float32))
    assert (np.abs(picks.positions - (np.array(shape) - 1) / 2) <= np.array(shape) / 2).all()


def test_seams_of_tiles_lose_and_repeat_no_particle(clean: Phantom) -> None:
    """Cut into tiles, a volume has the same picks, at nearly the same positions."""
    _, whole = picked(engine(contrast="dark"), clean.density, A12)
    _, tiled = picked(engine(contrast="dark"), clean.density, A12, tile=37)
    sure = whole.scores > whole.scores.min() + 8
    assert agreement(tiled.positions, whole.positions[sure], 1.5)[1] == 1
    assert abs(len(tiled) - len(whole)) <= 2


def test_a_particle_on_a_seam_is_found_once() -> None:
    """Where two tiles disagree on which of them holds a particle, both report it and one pick remains."""
    made = engine(contrast="dark")
    picked(made, np.random.default_rng(1).normal(size=(16, 32, 32)).astype(np.float32), A12)
    seen = np.array([[8.0, 16.0, 15.7, 200.0], [8.0, 16.0, 15.2, 201.0], [8.0, 16.0, 2.0, 150.0]])
    np.testing.assert_array_equal(made.finalize_picks(seen).positions, [[8, 16, 15.2], [8, 16, 2]])


def test_large_particles_lie_within_the_halo() -> None:
    """For large particles the grid is coarser, so that the halo holds the shell around them."""
    for diameter_A in (90.0, 250.0, 700.0):
        made = engine(diameter_A=diameter_A)
        halo_A = np.array(made.halo((10.0, 10.0, 10.0))) * 10
        assert (halo_A >= 1.7 * diameter_A / 2).all()


def test_voxel_sizes_and_axes_do_not_matter(clean: Phantom) -> None:
    """The particles of a turned volume are the turned ones, and voxels may differ along the axes."""
    _, here = picked(engine(contrast="dark"), clean.density, A12)
    _, turned = picked(engine(contrast="dark"), clean.density[:, ::-1, ::-1].copy(), A12)
    back = (turned.positions - [0, 95, 95]) * [1, -1, -1]
    sure = here.scores > here.scores.min() + 20
    assert agreement(back, here.positions[sure], 4)[1] > 0.8
    made = phantom(shape=(40, 120, 100), voxel_size_A=(15.0, 10.0, 12.0))
    _, picks = picked(engine(contrast="dark"), made.density, made.voxel_size_A)
    precision, recall = agreement(picks.positions * made.voxel_size_A, made.particles_A, 80)
    assert precision > 0.6
    assert recall > 0.4


def test_the_minimum_distance_is_kept(clean: Phantom) -> None:
    """No two picks are closer than a minimum distance of two diameters."""
    _, picks = picked(engine(contrast="dark", min_distance_A=500.0, threshold=20), clean.density, A12)
    apart = np.linalg.norm((picks.positions[:, None] - picks.positions) * 12.5, axis=2)
    assert len(picks) > 3
    assert apart[~np.eye(len(picks), dtype=bool)].min() >= 500


def test_a_higher_threshold_keeps_the_best(clean: Phantom) -> None:
    """Picks are ordered by score, and those above a threshold are the first of the candidates."""
    made = engine(contrast="dark", threshold=20)
    _, picks = picked(made, clean.density, A12)
    assert (np.diff(picks.scores) <= 0).all()
    assert picks.scores.min() >= 20
    _, fewer = picked(engine(contrast="dark", threshold=150), clean.density, A12)
    np.testing.assert_array_equal(fewer.positions, picks.positions[picks.scores >= 150])


def test_a_voxel_size_too_coarse_is_refused() -> None:
    """The message gives the minimum diameter."""
    with pytest.raises(InvalidRequestError, match="100 Å"):
        picked(engine(diameter_A=90.0), np.zeros((8, 8, 8), np.float32), (40.0, 40.0, 40.0))


def test_a_run_writes_mask_and_tables_that_agree(clean: Phantom, tmp_path: Path) -> None:
    """The mask is the score map above the threshold, most picks are in it, and the tables have the same coordinates."""
    write_volume(tmp_path / "t.mrc", clean.density, 12.5)
    request = SubmitRequest(
        volume=VolumeSource(path=str(tmp_path / "t.mrc")), engine="particles", params={"contrast": "dark"}
    )
    result = LocalRunner().run(
        tmp_path / "t.mrc",
        request,
        output=tmp_path / "m.mrc",
        on_event=lambda _: None,
        cancelled=lambda: False,
        formats=("csv", "star", "tbl", "scores"),
    )
    picks = read_csv(tmp_path / "m.csv")
    assert result.statistics["picks"] == {"kind": "particles", "points": len(picks), "objects": len(picks)}
    assert len(starfile.read(tmp_path / "m.star")) == len(picks) > 3
    with open_volume(tmp_path / "m.mrc") as volume, open_volume(tmp_path / "m_scores.mrc") as scores:
        z, y, x = (slice(0, size) for size in SHAPE)
        mask, graded = volume.read(z, y, x), scores.read(z, y, x)
    nearest = np.floor(picks.positions + 0.5).astype(int)
    assert np.mean(mask[tuple(nearest.T)] > 0) > 0.8
    high = result.statistics["threshold"]["high"]
    assert mask.any()
    assert (graded[mask > 0] >= high).all()
    np.testing.assert_array_less(mask[graded < high], 1)
