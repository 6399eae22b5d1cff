"""The particles engine: picks what the network recognizes, whatever the tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import starfile
from tests.inference.engines.picking import agreement, picked

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.picks import read_csv
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.particles import ParticlesEngine, ParticlesParameters
from cryomamba_inference.local import LocalRunner

SHAPE = (40, 80, 80)
A12 = (12.5, 12.5, 12.5)
Density = npt.NDArray[np.float32]
QUIET: dict[str, Any] = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0, "particle_diameter_A": 240.0}
CENTRES_A = np.array([[250, 250, 225], [240, 450, 460], [300, 760, 250], [200, 700, 700], [260, 240, 790]])


def engine(**parameters: Any) -> ParticlesEngine:
    return ParticlesEngine(ParticlesParameters(**{"contrast": "dark", **parameters}))


def balls(shape: Shape = SHAPE, size_A: Spacing = A12, *, noise: float = 0.3) -> Density:
    """Dark balls of 250 Å in noise."""
    places = np.moveaxis(np.indices(shape), 0, -1) * np.array(size_A)
    away = np.linalg.norm(places[..., None, :] - CENTRES_A, axis=-1).min(axis=-1)
    deviation = noise * np.sqrt(12.5**3 / np.prod(size_A))
    return np.asarray(deviation * np.random.default_rng(3).standard_normal(shape) - (away <= 125), np.float32)


@pytest.mark.parametrize("sign", [1, -1])
def test_particles_are_picked_where_they_are(sign: int) -> None:
    """Dark or bright, each is picked once, within 15 Å of its centre."""
    _, picks = picked(engine(contrast="dark" if sign > 0 else "bright"), np.float32(sign) * balls(), A12)
    assert len(picks) == len(CENTRES_A)
    assert agreement(picks.positions * 12.5, CENTRES_A, 15) == (1, 1)


@pytest.mark.parametrize("side", [33, 36])
def test_seams_of_tiles_lose_and_repeat_no_particle(side: int) -> None:
    """Cut into tiles, some of them through particles, a volume has the same picks."""
    _, whole = picked(engine(), balls(), A12)
    _, tiled = picked(engine(), balls(), A12, tile=side)
    assert len(tiled) == len(whole)
    assert agreement(tiled.positions, whole.positions, 1) == (1, 1)


def test_a_particle_on_a_seam_is_found_once() -> None:
    """Where two tiles disagree on which of them holds a particle, both report it and one pick remains."""
    made = engine()
    picked(made, np.random.default_rng(1).normal(size=(16, 32, 32)).astype(np.float32), A12)
    seen = np.array([[8.0, 16.0, 15.7, 200.0], [8.0, 16.0, 15.2, 201.0], [8.0, 16.0, 2.0, 150.0]])
    np.testing.assert_array_equal(made.finalize_picks(seen).positions, [[8, 16, 15.2], [8, 16, 2]])


def test_a_particle_beside_a_tile_lies_within_its_halo() -> None:
    """For large particles the grid is coarser, so that tiles draw the same balls on either side of a seam."""
    for diameter_A in (90.0, 250.0, 700.0):
        made = engine(diameter_A=diameter_A)
        halo_A = np.array(made.halo((10.0, 10.0, 10.0))) * 10
        assert (halo_A >= diameter_A).all()


@pytest.mark.parametrize("size_A", [(8.0, 8.0, 8.0), (16.0, 10.0, 12.0), (25.0, 25.0, 25.0)])
def test_voxel_sizes_do_not_matter(size_A: tuple[float, float, float]) -> None:
    """At any voxel size, also if it differs along the axes, the same particles are picked."""
    z, y, x = (round(n * 12.5 / size) for n, size in zip(SHAPE, size_A, strict=True))
    _, picks = picked(engine(), balls((z, y, x), size_A), size_A)
    assert agreement(picks.positions * size_A, CENTRES_A, 30) == (1, 1)


def test_the_minimum_distance_is_kept() -> None:
    """Of two particles closer than the minimum distance only the better one is picked."""
    _, picks = picked(engine(min_distance_A=400.0), balls(), A12)
    apart = np.linalg.norm((picks.positions[:, None] - picks.positions) * 12.5, axis=2)
    assert 0 < len(picks) < len(CENTRES_A)
    assert apart[~np.eye(len(picks), dtype=bool)].min() >= 400


def test_a_higher_threshold_keeps_the_best() -> None:
    """Picks are ordered by score, and those above a threshold are the first of the candidates."""
    _, picks = picked(engine(threshold=1), balls(noise=1.0), A12)
    assert (np.diff(picks.scores) <= 0).all()
    assert picks.scores.min() >= 1
    middle = int(np.median(picks.scores))
    _, fewer = picked(engine(threshold=middle), balls(noise=1.0), A12)
    np.testing.assert_array_equal(fewer.positions, picks.positions[picks.scores >= middle])


def test_a_voxel_size_too_coarse_is_refused() -> None:
    """The message gives the minimum diameter."""
    with pytest.raises(InvalidRequestError, match="100 Å"):
        picked(engine(diameter_A=90.0), np.zeros((8, 8, 8), np.float32), (40.0, 40.0, 40.0))


def test_a_run_writes_mask_and_tables_that_agree(tmp_path: Path) -> None:
    """Each pick's ball is in the mask, and the tables have the same coordinates."""
    write_volume(tmp_path / "t.mrc", balls(), 12.5)
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
    assert len(starfile.read(tmp_path / "m.star")) == len(picks) == len(CENTRES_A)
    with open_volume(tmp_path / "m.mrc") as volume, open_volume(tmp_path / "m_scores.mrc") as scores:
        z, y, x = (slice(0, size) for size in SHAPE)
        mask, graded = volume.read(z, y, x), scores.read(z, y, x)
    nearest = np.floor(picks.positions + 0.5).astype(int)
    assert mask[tuple(nearest.T)].all()
    np.testing.assert_array_equal(mask > 0, graded >= result.statistics["threshold"]["high"])
    # A ball of 250 Å has 8181 nm³; some are cut by the border.
    assert 0.7 < result.statistics["labels"][0]["volume_nm3"] / (8181 * len(picks)) <= 1.05
    assert result.statistics["estimates"]["threshold"] == result.statistics["threshold"]["high"]


def test_the_network_recognizes_particles() -> None:
    """Precision and recall of ribosome-sized balls in a clean phantom are high with default settings."""
    spec = PhantomSpec(shape=(64, 112, 112), voxel_size_A=12.0, seed=31, noise=1.0, particles=10, **QUIET)
    made = synthesize(spec)
    _, picks = picked(engine(contrast="auto"), made.density, made.voxel_size_A)
    precision, recall = agreement(picks.positions * 12, made.particles_A, 80)
    assert precision > 0.8
    assert recall > 0.8


def test_noise_gives_almost_nothing() -> None:
    """Pure noise gives at most two picks."""
    noise = np.random.default_rng(5).normal(size=(64, 96, 96)).astype(np.float32)
    _, picks = picked(engine(contrast="auto"), noise)
    assert len(picks) <= 2
