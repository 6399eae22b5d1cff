"""What all engines that use the network do with any volume."""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import pytest
from tests.inference.counting import Counting
from tests.inference.network.prepared import prepared, scores_of

from cryomamba.engines.api import VolumeContext
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.network.durations import STEPS
from cryomamba_inference.network.engine import NetworkEngine
from cryomamba_inference.volume_preparation import node_map

SHAPE = (48, 96, 96)
ENGINES: list[NetworkEngine[Any]] = [MembraneEngine(MembraneParameters())]


@pytest.fixture(scope="module")
def membranes() -> MembraneEngine:
    """An engine that has seen membranes in little noise."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=12.5, seed=4, noise=0.3, crowding=0.0, fiducials=0)
    return prepared(synthesize(spec).density)


def test_seams_of_tiles_do_not_show(membranes: MembraneEngine) -> None:
    """Scores of tiles of any size are nearly those of the whole volume, at their seams as elsewhere."""
    whole = scores_of(membranes, SHAPE).astype(int)
    assert whole.max() > 150
    tiled = scores_of(membranes, SHAPE, 37).astype(int)
    assert np.abs(tiled - whole).mean() < 2
    assert (np.abs(tiled - whole) > 25).mean() < 0.01


def test_a_prepared_engine_goes_to_another_process(membranes: MembraneEngine) -> None:
    """Pickled and read back, it gives the same scores."""
    again = pickle.loads(pickle.dumps(membranes))
    np.testing.assert_array_equal(scores_of(again, SHAPE, 48), scores_of(membranes, SHAPE, 48))


def test_threads_do_not_show() -> None:
    """Prepared by one thread or by three, an engine gives the same scores, and the threads use the compute slot."""
    noise = np.random.default_rng(1).normal(size=(30, 40, 50)).astype(np.float32)
    one, three = (prepared(noise, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(scores_of(one, noise.shape), scores_of(three, noise.shape))
    slot = Counting()
    shape = (30, 40, 50)
    MembraneEngine(MembraneParameters()).prepare(
        VolumeContext(shape, (12.5,) * 3, None, noise.__getitem__, threads=2, compute_slot=slot)
    )
    assert slot.entered > 0
    assert slot.inside == 0


def test_the_preparation_reports_progress_and_can_be_stopped() -> None:
    """Fractions rise to at most one, each step is named, and an exception of the callback ends the preparation."""
    noise = np.random.default_rng(14).normal(size=(20, 40, 40))
    seen: list[float] = []
    steps: list[str] = []

    def report(fraction: float, doing: str = "", /) -> None:
        seen.append(fraction)
        steps.append(doing)

    prepared(noise, report_progress=report)
    assert list(dict.fromkeys(steps)) == list(STEPS)
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert 0 < seen[-1] <= 1

    def stop(_fraction: float, _doing: str = "", /) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        prepared(noise, report_progress=stop)


def test_an_unprepared_engine_is_an_error() -> None:
    """Without a volume there is nothing to predict."""
    with pytest.raises(RuntimeError, match="prepare"):
        scores_of(MembraneEngine(MembraneParameters()), (4, 4, 4))


@pytest.mark.parametrize("engine", ENGINES, ids=[engine.name for engine in ENGINES])
@pytest.mark.parametrize("size_A", [(10.0, 10.0, 10.0), (20.0, 20.0, 20.0), (40.0, 8.0, 8.0), (1.0, 1.0, 1.0)])
def test_tiles_are_of_one_size_for_the_network(engine: NetworkEngine[Any], size_A: tuple[float, float, float]) -> None:
    """At any voxel size a tile with its halo has about as many nodes, and the halo is less than half of it."""
    step_A = engine.step_A(size_A)
    nodes = engine.max_tile_bytes(size_A) / 4 * np.prod(size_A) / step_A**3
    assert 100**3 < nodes < 160**3
    halo = np.array(engine.halo(size_A)) * size_A / step_A
    assert (halo >= engine.halo_nodes).all()
    assert (halo < engine.halo_nodes + 6 + 2 * np.array(size_A) / step_A).all()


def test_a_preview_has_no_more_nodes_than_voxels() -> None:
    """The binned copy of a preview is not interpolated to the fine grid of the result."""
    noise = np.random.default_rng(2).normal(size=(12, 20, 20))
    assert prepared(noise, (25.0, 25.0, 25.0), coarse=True).grid.node_shape == noise.shape
    assert prepared(noise, (25.0, 25.0, 25.0)).grid.node_shape == (23, 39, 39)


@pytest.mark.parametrize("shape", [(20, 40, 41), (1, 60, 60), (7, 1, 9)])
@pytest.mark.parametrize("size_A", [8.0, 25.0, 40.0])
def test_the_announced_scratch_suffices(
    shape: tuple[int, int, int], size_A: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is written to disk than what the server was told, but for volumes of a few kilobytes."""
    reserved: list[int] = []

    def reserve(descriptor: int, nbytes: int) -> None:
        reserved.append(nbytes)
        os.ftruncate(descriptor, nbytes)

    monkeypatch.setattr(node_map, "_reserve", reserve)
    prepared(np.random.default_rng(3).normal(size=shape), (size_A,) * 3)
    grid = MembraneEngine.scratch_grid
    assert grid is not None
    assert 0 < sum(reserved) <= grid.nbytes(shape, (size_A,) * 3) + 8192
