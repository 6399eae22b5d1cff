"""Where a specimen ends: found where it has faces, and not made up where it goes on to the volume's borders."""

import numpy as np
import pytest

from cryomamba.engines.api import Slices, VolumeContext
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.synth.placement import place_objects
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.filters.common.grid import Corner
from cryomamba_inference.filters.membrane.lamella_surfaces import LamellaSurfaces, find_lamella_surfaces

SHAPE = (72, 144, 144)


def surfaces_of(spec: PhantomSpec) -> tuple[LamellaSurfaces, float]:
    """Return the lamella surfaces of a phantom as the engine estimates them, and the distance between nodes in Å."""
    density = synthesize(spec).density
    engine = MembraneEngine(MembraneParameters())

    def read(where: Slices) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.ascontiguousarray(density[where])

    engine.prepare(VolumeContext(SHAPE, spec.voxel_size_A, None, read))
    assert engine.calibration is not None
    model = engine.calibration.model
    return model.surfaces, model.step_A


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_surfaces_of_a_lamella_are_found(noise: float) -> None:
    """Both surfaces are within one and a half nodes of the truth on average."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=22, noise=noise, lamella=0.75)
    found, step = surfaces_of(spec)
    faces = place_objects(spec).lamella_surfaces
    assert faces is not None
    side = np.linspace(100, 1300, 7)
    flat = np.stack([np.zeros(49), np.repeat(side, 7), np.tile(side, 7)], 1).astype(np.float32)
    for limit, face in zip(found.limits(side / step, side / step), faces, strict=True):
        true = (-face.implicit(flat)[0] / face.normal[0]).reshape(7, 7)
        assert np.abs(limit * step - true).mean() < 1.5 * step


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_a_volume_without_vacuum_has_no_surfaces(noise: float) -> None:
    """Where the specimen extends beyond the volume, nothing is cut off."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=12, noise=noise, lamella=1.0)
    found, _ = surfaces_of(spec)
    assert found.lower is None
    assert found.upper is None


def test_without_membranes_there_are_no_surfaces() -> None:
    """No ridge points, or a few, give no surfaces."""
    shape: Corner = (30, 50, 50)
    few = np.random.default_rng(1).uniform(0, 30, (20, 3)).astype(np.float32)
    for positions in (few[:0], few):
        found = find_lamella_surfaces(
            positions, np.zeros(len(positions), np.float32), np.ones(len(positions), np.float32), shape
        )
        first, last = found.limits(np.arange(50.0), np.arange(50.0))
        assert np.isneginf(first).all()
        assert np.isposinf(last).all()
