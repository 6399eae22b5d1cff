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


def faces_of(spec: PhantomSpec) -> tuple[LamellaSurfaces, float]:
    """Return the faces that the engine found in a phantom, and the distance of its nodes in Å."""
    density = synthesize(spec).density
    engine = MembraneEngine(MembraneParameters())

    def read(where: Slices) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.ascontiguousarray(density[where])

    engine.prepare(VolumeContext(SHAPE, spec.voxel_size_A, None, read))
    model = engine._prepared[2].model
    return model.surfaces, model.step_A


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_faces_of_a_lamella_are_found(noise: float) -> None:
    """Both faces are found where they are, within one and a half nodes on the mean."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=22, noise=noise, lamella=0.75)
    found, step = faces_of(spec)
    faces = place_objects(spec).lamella_surfaces
    assert faces is not None
    side = np.linspace(100, 1300, 7)
    flat = np.stack([np.zeros(49), np.repeat(side, 7), np.tile(side, 7)], 1).astype(np.float32)
    for limit, face in zip(found.limits(side / step, side / step), faces, strict=True):
        true = (-face.implicit(flat)[0] / face.normal[0]).reshape(7, 7)
        assert np.abs(limit * step - true).mean() < 1.5 * step


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_no_face_is_made_up(noise: float) -> None:
    """Where the specimen goes on beyond the volume, nothing is cut off."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=12, noise=noise, lamella=1.0)
    found, _ = faces_of(spec)
    assert found.lower is None
    assert found.upper is None


def test_faces_are_not_sought_without_membranes() -> None:
    """No crests, or a few, give no faces."""
    shape: Corner = (30, 50, 50)
    few = np.random.default_rng(1).uniform(0, 30, (20, 3)).astype(np.float32)
    for places in (few[:0], few):
        found = find_lamella_surfaces(
            places, np.zeros(len(places), np.float32), np.ones(len(places), np.float32), shape
        )
        first, last = found.limits(np.arange(50.0), np.arange(50.0))
        assert np.isneginf(first).all()
        assert np.isposinf(last).all()
