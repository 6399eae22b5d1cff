"""Volumes in which there is nothing to find, by the engines that pick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.inference.engines.picking import picked

from cryomamba.engines.api import Engine
from cryomamba_inference.engines.filaments import FilamentsEngine, FilamentsParameters
from cryomamba_inference.engines.particles import ParticlesEngine, ParticlesParameters

SHAPE = (40, 64, 64)


def engine(name: str, **parameters: Any) -> Engine[Any]:
    if name == "particles":
        return ParticlesEngine(ParticlesParameters(**parameters))
    return FilamentsEngine(FilamentsParameters(**parameters))


@pytest.mark.parametrize("name", ["particles", "filaments"])
@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_a_constant_volume_has_no_picks(name: str, value: float) -> None:
    """A constant volume has no picks and no scores."""
    scores, picks = picked(engine(name), np.full((20, 30, 30), value, np.float32))
    assert not scores.any()
    assert not len(picks)


@pytest.mark.parametrize("name", ["particles", "filaments"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 40), (40, 2, 1)])
def test_the_smallest_volumes_are_no_error(name: str, shape: tuple[int, int, int]) -> None:
    """Picks of a volume of a few nodes are inside of it, at the lowest thresholds too."""
    lowest = {"threshold": 1} if name == "particles" else {"high": 1, "low": 1, "min_length_A": 0.0}
    noise = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    scores, picks = picked(engine(name, **lowest), noise, (10.0,) * 3)
    assert scores.shape == shape
    assert (np.abs(picks.positions - (np.array(shape) - 1) / 2) <= np.array(shape) / 2).all()
