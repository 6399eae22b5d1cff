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

SHAPE = (64, 128, 128)
QUIET: dict[str, Any] = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0, "noise": 1.0, "particles": 20}


def engine(**parameters: Any) -> ParticlesEngine:
    return ParticlesEngine(ParticlesParameters(**{"diameter_A": 150.0, **parameters}))


def phantom(**spec: Any) -> Phantom:
    return synthesize(PhantomSpec(**{"shape": SHAPE, "voxel_size_A": 10.0, "seed": 31, **QUIET, **spec}))


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_particles_are_found_in_either_contrast(contrast: str) -> None:
    """Precision and recall are high at a third of the diameter, with automatic contrast."""
    made = phantom(contrast=contrast)
    _, picks = picked(engine(), made.density)
    precision, recall = agreement(picks.positions * 10, made.particles_A, 50)
    assert precision > 0.9
    assert recall > 0.8


def test_a_gradient_and_padding_hide_few() -> None:
    """A steep gradient and a constant frame far from the density range do not hide particles."""
    made = phantom(shape=(72, 144, 144), particles=30)
    slope = np.linspace(0, 5 * made.density.std(), 72, dtype=np.float32)
    frame = 16
    framed = np.pad(made.density + slope[:, None, None], frame, constant_values=-1000.0)
    _, picks = picked(engine(), framed)
    precision, recall = agreement((picks.positions - frame) * 10, made.particles_A, 50)
    assert precision > 0.9
    assert recall > 0.8


def test_noise_gives_almost_nothing() -> None:
    """Pure noise gives at most two picks."""
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    scores, picks = picked(engine(), noise)
    assert len(picks) <= 2
    assert (scores >= 255).mean() < 1e-3


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_constant_volume_has_no_particles(value: float) -> None:
    """A constant volume gives no picks and no division by zero."""
    scores, picks = picked(engine(), np.full((24, 40, 40), value, np.float32))
    assert not scores.any()
    assert not len(picks)


def test_tiles_equal_the_whole() -> None:
    """Scores and picks are bit-identical for any tiling."""
    made = phantom(noise=2.0)
    whole, picks = picked(engine(), made.density)
    tiled, again = picked(engine(), made.density, tile=47)
    np.testing.assert_array_equal(tiled, whole)
    np.testing.assert_array_equal(again.positions, picks.positions)
    np.testing.assert_array_equal(again.scores, picks.scores)


def test_voxel_sizes_and_axes_do_not_matter() -> None:
    """The same phantom at 7 and 14 Å, at 8 × 10 × 12 Å, and turned in the plane has the same particles in Å."""
    found = []
    for shape, size in (((90, 180, 180), 7.0), ((45, 90, 90), 14.0), ((79, 126, 105), (8.0, 10.0, 12.0))):
        made = phantom(shape=shape, voxel_size_A=size, max_tilt_deg=None, noise=0.5)
        _, picks = picked(engine(), made.density, made.voxel_size_A)
        found.append(picks.positions * made.voxel_size_A)
    for other in found[1:]:
        assert min(agreement(other, found[0], 25)) > 0.85
    turned = made.density.swapaxes(1, 2)[:, ::-1].copy()
    _, picks = picked(engine(), turned, (8.0, 12.0, 10.0))
    back = picks.positions[:, [0, 2, 1]]
    back[:, 2] = made.density.shape[2] - 1 - back[:, 2]
    assert min(agreement(back * made.voxel_size_A, found[2], 20)) > 0.9


def test_the_minimum_distance_is_kept() -> None:
    """No two picks are closer than a minimum distance of two diameters."""
    _, picks = picked(engine(min_distance_A=300.0), phantom().density)
    apart = np.linalg.norm((picks.positions[:, None] - picks.positions) * 10, axis=2)
    assert len(picks) > 3
    assert apart[~np.eye(len(picks), dtype=bool)].min() >= 300


def test_particles_are_found_in_a_crowded_volume() -> None:
    """Among membranes, gold and smaller densities, precision and recall are high with default settings."""
    made = synthesize(
        PhantomSpec(
            shape=SHAPE, voxel_size_A=14.0, seed=33, noise=2.5, particles=25, particle_diameter_A=210.0, lamella=1
        )
    )
    _, picks = picked(engine(diameter_A=210.0), made.density, made.voxel_size_A)
    precision, recall = agreement(picks.positions * 14, made.particles_A, 105)
    assert precision > 0.85
    assert recall > 0.85


def test_crowding_gives_few_picks() -> None:
    """A crowded volume without particles gives few picks, because its densities have many heights."""
    made = phantom(shape=(48, 112, 112), voxel_size_A=14.0, vesicles=2, sheets=1, crowding=0.12, particles=0)
    _, picks = picked(engine(diameter_A=210.0), made.density, (14.0,) * 3)
    assert len(picks) <= 10


def test_gold_is_left_out() -> None:
    """Gold beads are not picked, and their fringes do not hide particles."""
    made = phantom(fiducials=3, crowding=0.03, noise=2.0)
    _, picks = picked(engine(), made.density)
    assert agreement(picks.positions * 10, made.particles_A, 75)[1] > 0.6


def test_a_voxel_size_too_coarse_is_refused() -> None:
    """The message gives the minimum diameter."""
    with pytest.raises(InvalidRequestError, match="50 Å"):
        picked(engine(diameter_A=50.0), np.zeros((8, 8, 8), np.float32), (30.0, 30.0, 30.0))


def test_a_run_writes_mask_and_tables_that_agree(tmp_path: Path) -> None:
    """Each pick's ball is in the mask, and the tables have the same coordinates."""
    made = phantom()
    write_volume(tmp_path / "t.mrc", made.density, 10.0)
    request = SubmitRequest(
        volume=VolumeSource(path=str(tmp_path / "t.mrc")), engine="particles", params={"diameter_A": 150}
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
    assert len(starfile.read(tmp_path / "m.star")) == len(picks) > 10
    with open_volume(tmp_path / "m.mrc") as volume, open_volume(tmp_path / "m_scores.mrc") as scores:
        z, y, x = (slice(0, size) for size in SHAPE)
        mask, graded = volume.read(z, y, x), scores.read(z, y, x)
    nearest = np.floor(picks.positions + 0.5).astype(int)
    assert mask[tuple(nearest.T)].all()
    np.testing.assert_array_equal(mask > 0, graded >= result.statistics["threshold"]["high"])
    # A ball of 150 Å has 1767 nm³; some are cut by the border.
    assert 0.7 < result.statistics["labels"][0]["volume_nm3"] / (1767 * len(picks)) <= 1.05
