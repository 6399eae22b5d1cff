"""The filaments engine: traces what the network recognizes, whatever the tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.inference.engines.picking import agreement, dense, picked

from cryomamba.engines.api import Tile
from cryomamba.errors import InvalidRequestError
from cryomamba_inference.engines.filaments import FilamentsEngine, FilamentsParameters
from cryomamba_inference.network import engine as network_engine

SHAPE = (40, 80, 80)
A12 = (12.5, 12.5, 12.5)
WAY = np.array([0, 0.8, 0.6])


def engine(**parameters: Any) -> FilamentsEngine:
    return FilamentsEngine(FilamentsParameters(**{"contrast": "dark", **parameters}))


def rod(*, noise: float = 0.3, size_A: float = 12.5, end_A: float = 1e9) -> npt.NDArray[np.float32]:
    """A dark rod of 250 Å through the middle, in noise; it ends at a distance from the middle."""
    shape = tuple(round(n * 12.5 / size_A) for n in SHAPE)
    grid = np.stack(np.meshgrid(*(np.arange(n) * size_A for n in shape), indexing="ij"), -1)
    offset = grid - np.array(SHAPE) * 6.25
    along = offset @ WAY
    away = np.linalg.norm(offset - along[..., None] * WAY, axis=-1)
    inside = (away <= 125) & (along < end_A)
    deviation = noise * (12.5 / size_A) ** 1.5
    return np.asarray(deviation * np.random.default_rng(8).standard_normal(shape) - inside, np.float32)


def off_axis(positions_A: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the distance of points along the axis of the tube, and away from it."""
    offset = positions_A - np.array(SHAPE) * 6.25
    along = offset @ WAY
    return along, np.linalg.norm(offset - along[:, None] * WAY, axis=1)


@pytest.fixture(autouse=True)
def _recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dense is recognized, whatever the network has learned."""
    monkeypatch.setattr(network_engine, "probabilities", dense)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_filament_is_found_and_traced(sign: int) -> None:
    """Dark or bright, it is one filament, traced near its axis, with equidistant points."""
    contrast = "dark" if sign > 0 else "bright"
    _, picks = picked(engine(contrast=contrast), sign * rod(), A12)
    assert picks.objects == 1
    along, away = off_axis(picks.positions[picks.labels == 1] * 12.5)
    assert np.median(away) < 15
    assert away[2:-2].max() < 40
    assert np.ptp(along) > 700
    np.testing.assert_allclose(np.abs(np.diff(along))[1:-1], 125, atol=25)


def test_padding_is_no_filament() -> None:
    """A constant frame far from the densities has no filaments."""
    frame = 12
    _, picks = picked(engine(), np.pad(rod(), frame, constant_values=300.0), A12)
    _, away = off_axis((picks.positions - frame) * 12.5)
    assert (away < 200).all()


def test_seams_of_tiles_do_not_cut_filaments() -> None:
    """Cut into tiles, a filament is traced across the seams, as in the whole volume."""
    data = rod()
    _, whole = picked(engine(), data, A12)
    _, tiled = picked(engine(), data, A12, tile=37)
    assert tiled.objects == whole.objects
    lengths = [one.track_lengths_A(A12).max() for one in (whole, tiled)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.1)
    assert agreement(tiled.positions * 12.5, whole.positions * 12.5, 70)[1] > 0.9


def test_points_are_in_voxels() -> None:
    """The first columns of a tile's points are the voxel, by which the runner knows where they are."""
    made = engine()
    data = rod(size_A=10.0)
    picked(made, data, (10.0, 10.0, 10.0))
    shape = (data.shape[0], data.shape[1], data.shape[2])
    found = made.predict(Tile(np.empty((0, 0, 0), np.float32), (slice(0, 0),) * 3, (0, 0, 0), shape))
    assert len(found.points)
    assert (found.points[:, :3] >= 0).all()
    assert (found.points[:, :3] <= np.array(shape) - 1 + 0.5).all()
    _, away = off_axis(found.points[found.points[:, 6] > 128, :3] * 10)
    assert np.median(away) < 20


def test_a_filament_ends_where_it_ends() -> None:
    """A rod that stops in the middle of the volume is not traced much further."""
    _, picks = picked(engine(min_length_A=200.0), rod(end_A=0.0), A12)
    along, _ = off_axis(picks.positions * 12.5)
    assert len(along)
    assert along.max() < 130


def test_spacing_and_length_are_kept() -> None:
    """Points have the spacing asked for, and no filament is shorter than the minimum."""
    _, picks = picked(engine(spacing_A=82.0), rod(), A12)
    along, _ = off_axis(picks.positions[picks.labels == 1] * 12.5)
    np.testing.assert_allclose(np.abs(np.diff(along))[1:-1], 82, atol=16)
    assert picks.track_lengths_A(A12).max() > 500
    _, none = picked(engine(min_length_A=1e5), rod(), A12)
    assert none.objects == 0


def test_a_voxel_size_too_coarse_is_refused() -> None:
    """The message gives the minimum diameter."""
    with pytest.raises(InvalidRequestError, match="80 Å"):
        picked(engine(diameter_A=70.0), np.zeros((8, 8, 8), np.float32), (40.0, 40.0, 40.0))
