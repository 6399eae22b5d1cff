"""Centrelines as ridges of the probability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.decoders.ridges import find_ridge

Field = npt.NDArray[np.float32]
SHAPE = (24, 40, 40)
MIDDLE = np.array([12.0, 20, 20])


def soft(away: npt.NDArray[np.float64], radius: float) -> Field:
    return (1 / (1 + np.exp(3 * (away - radius)))).astype(np.float32)


def tube(way: tuple[float, float, float], radius: float) -> tuple[Field, npt.NDArray[np.float64]]:
    """Return the probability of a tube through the middle, and its direction."""
    unit = np.array(way) / np.linalg.norm(way)
    offset = np.moveaxis(np.indices(SHAPE), 0, -1) - MIDDLE
    away = np.linalg.norm(offset - (offset @ unit)[..., None] * unit, axis=-1)
    return soft(away, radius), unit


@pytest.mark.parametrize("way", [(0.0, 0.0, 1.0), (0.0, 0.8, 0.6), (0.3, -0.6, 0.7)])
@pytest.mark.parametrize("radius", [2.8, 5.0])
def test_the_ridge_of_a_tube_is_its_axis(way: tuple[float, float, float], radius: float) -> None:
    """Its nodes are within a node of the axis, along all of it, and their directions are that of the tube."""
    probability, unit = tube(way, radius)
    nodes, directions, values = find_ridge(probability, radius)
    offset = nodes - MIDDLE
    along = offset @ unit
    inner = np.abs(along) < 12
    assert np.linalg.norm(offset - along[:, None] * unit, axis=1)[inner].max() < 1.3
    assert np.abs(directions @ unit)[inner].min() > 0.95
    assert values[inner].min() > 0.3
    assert np.diff(np.sort(along[inner])).max() < 2
    assert np.ptp(along[inner]) > 20


def test_a_sheet_and_a_thick_tube_have_no_ridge() -> None:
    """What has not ended two radii away is no filament of that diameter."""
    z = np.indices(SHAPE)[0]
    nodes, _, _ = find_ridge(soft(np.abs(z - 12.0), 2.8), 2.8)
    assert not len(nodes)
    thick, _ = tube((0.0, 0.8, 0.6), 8.0)
    nodes, _, _ = find_ridge(thick, 2.8)
    assert not len(nodes)


def test_nothing_has_no_ridge() -> None:
    """Where the probability is low everywhere there are no nodes."""
    nodes, directions, values = find_ridge(np.full(SHAPE, 0.1, np.float32), 3.0)
    assert nodes.shape == directions.shape == (0, 3)
    assert not len(values)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 30, 30), (30, 1, 2)])
def test_thin_fields_are_no_error(shape: tuple[int, int, int]) -> None:
    """A field of one node along an axis has finite directions."""
    probability = np.random.default_rng(1).uniform(0.5, 1, shape).astype(np.float32)
    nodes, directions, _ = find_ridge(probability, 2.8)
    assert nodes.shape == directions.shape
    assert np.isfinite(directions).all()
