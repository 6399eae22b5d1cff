"""The engines that pick give the same for every unit of density: tiny numbers, huge ones, a large offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.inference.engines.picking import picked

from cryomamba.engines.api import Engine
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.engines.filaments import FilamentsEngine, FilamentsParameters
from cryomamba_inference.engines.particles import ParticlesEngine, ParticlesParameters

SHAPE = (40, 64, 64)
LARGEST = float(np.finfo(np.float32).max)
ENGINES: dict[str, Callable[[], Engine[Any]]] = {
    "particles": lambda: ParticlesEngine(ParticlesParameters(diameter_A=150.0)),
    "filaments": lambda: FilamentsEngine(FilamentsParameters(diameter_A=150.0)),
}


@pytest.fixture(scope="module")
def density() -> npt.NDArray[np.float64]:
    """A clean phantom with particles, of standard deviation 1 around 0."""
    spec = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0, "noise": 0.5, "particles": 8}
    made = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=31, **spec)).density.astype(np.float64)
    return np.asarray((made - made.mean()) / made.std())


@pytest.mark.parametrize("name", ENGINES)
def test_the_unit_of_the_densities_does_not_matter(name: str, density: npt.NDArray[np.float64]) -> None:
    """Scores and points are those of densities around 1, and nothing overflows."""

    def result(values: npt.NDArray[np.float64]) -> tuple[Any, Any]:
        scores, picks = picked(ENGINES[name](), values.astype(np.float32))
        return scores, picks.positions

    scores, positions = result(density)
    assert name == "filaments" or len(positions)
    units = {"tiny": density * 1e-36, "huge": density * 1e30, "largest": density * (LARGEST / np.abs(density).max())}
    for unit, values in {**units, "offset": density + 5000}.items():
        other_scores, other_positions = result(values)
        assert other_positions.shape == positions.shape, unit
        np.testing.assert_allclose(other_positions, positions, atol=0.05, err_msg=unit)
        assert np.mean(np.abs(other_scores.astype(int) - scores) > 2) < 0.01, unit
