"""A region limits statistics, samples and filtering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.inference.network.prepared import prepared, scores_of

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.network import sheets as sheets_module
from cryomamba_inference.network.contrast import DARK, sample_boxes
from cryomamba_inference.network.density import map_scales, node_scale
from cryomamba_inference.volume_preparation.grid import WorkingGrid
from cryomamba_inference.volume_preparation.region import NodeRegion

Mask = npt.NDArray[np.bool_]


def box_mask(shape: tuple[int, int, int], first: tuple[int, int, int], last: tuple[int, int, int]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = True
    return mask


@pytest.mark.parametrize("size_A", [(12.5, 12.5, 12.5), (5.0, 10.0, 25.0)])
def test_a_node_is_inside_where_its_voxel_is(size_A: tuple[float, float, float]) -> None:
    """Of any box, each node is as the voxel nearest to it."""
    mask = np.random.default_rng(1).random((20, 24, 15)) < 0.5
    grid = WorkingGrid((20, 24, 15), size_A, 12.5)
    region = NodeRegion(grid, mask.__getitem__)
    z, y, x = (slice(count // 3, count) for count in grid.node_shape)
    found = region.inside((z, y, x))
    for node in np.ndindex(found.shape):
        at = np.add(node, (z.start, y.start, x.start)) * 12.5 / size_A
        voxel = tuple(np.minimum(np.rint(at).astype(int), np.array(mask.shape) - 1))
        assert found[node] == mask[voxel]


def test_a_region_touches_what_is_near() -> None:
    """A box counts if the region is nearer than the margin."""
    grid = WorkingGrid((40, 40, 40), (12.5,) * 3, 12.5)
    region = NodeRegion(grid, box_mask((40, 40, 40), (20, 20, 20), (24, 24, 24)).__getitem__)
    corner = (slice(0, 10), slice(0, 10), slice(0, 10))
    assert not region.touches(corner, 10)
    assert region.touches(corner, 11)


def test_scales_are_those_of_the_region() -> None:
    """Level and deviation of densities and maps are measured inside, however small the region is."""
    rng = np.random.default_rng(2)
    nodes = rng.normal(size=(60, 40, 40)).astype(np.float32)
    mask = box_mask((60, 40, 40), (30, 10, 10), (34, 30, 30))
    nodes[~mask] = 5 + 10 * nodes[~mask]
    nothing = np.zeros(nodes.shape, np.bool_)
    scale = node_scale(nodes, nothing, mask.__getitem__)
    assert scale.level == pytest.approx(0, abs=0.15)
    assert scale.deviation == pytest.approx(1, abs=0.15)
    (map_scale,) = map_scales(nodes[None, ::2, ::2, ::2], nothing, mask.__getitem__)
    assert map_scale.deviation == pytest.approx(1, abs=0.3)


def test_a_region_between_the_nodes_is_no_error() -> None:
    """Where no node is inside, level and deviation are those of the whole volume."""
    noise = np.random.default_rng(4).normal(size=(16, 20, 24)).astype(np.float32)
    nothing = np.zeros(noise.shape, np.bool_)
    assert node_scale(noise, nothing, nothing.__getitem__) == node_scale(noise, nothing)
    maps = noise[None, ::2, ::2, ::2]
    assert map_scales(maps, nothing, nothing.__getitem__) == map_scales(maps, nothing)
    engine = prepared(noise, (2.0, 2.0, 2.0), within=box_mask((16, 20, 24), (3, 3, 3), (4, 4, 4)).__getitem__)
    assert scores_of(engine, (16, 20, 24)).shape == noise.shape
    assert engine.warnings() == ()


def test_samples_lie_in_the_region() -> None:
    """Of a large volume only boxes with much of the region are sampled."""
    mask = box_mask((100, 400, 400), (20, 100, 50), (80, 290, 340))
    boxes = sample_boxes((100, 400, 400), mask.__getitem__)
    assert 2 <= len(boxes) <= 8
    assert all(mask[box].mean() > 0.3 for box in boxes)
    (small,) = sample_boxes((100, 400, 400), box_mask((100, 400, 400), (5, 6, 7), (9, 9, 9)).__getitem__)
    assert small[0].start <= 5 < small[0].stop


def test_what_surrounds_a_region_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside inverted membranes of tenfold deviation, a region is dark as before and has nearly its scores."""
    shape = (48, 96, 96)
    spec = PhantomSpec(shape=shape, voxel_size_A=12.5, seed=4, noise=0.3, crowding=0.0, fiducials=0)
    clean = synthesize(spec).density
    wide = np.concatenate([clean, -10 * clean[:, :, ::-1]], axis=2)
    mask = box_mask((48, 96, 192), (0, 0, 0), (48, 96, 96))
    monkeypatch.setattr(sheets_module, "_BOX", 24)
    engine = prepared(wide, within=mask.__getitem__)
    assert engine.contrast is not None
    assert engine.contrast.sign == DARK
    alone = scores_of(prepared(clean), shape)[:, :, :64].astype(int)
    beside = scores_of(engine, (48, 96, 192))[:, :, :64].astype(int)
    assert np.corrcoef(alone.ravel(), beside.ravel())[0, 1] > 0.95


def test_filters_are_computed_near_the_region_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps far from the region stay empty, which saves their time."""
    monkeypatch.setattr(sheets_module, "_BOX", 16)
    noise = np.random.default_rng(3).normal(size=(16, 32, 224))
    engine = prepared(noise, contrast="dark", within=box_mask(noise.shape, (0, 0, 0), (16, 32, 20)).__getitem__)
    assert engine._inputs is not None
    maps = np.asarray(engine._inputs.sheets.array)
    assert maps[:, :, :, :20].any()
    assert not maps[:, :, :, 64:].any()
