"""Tile plans: every voxel exactly once, halos where they belong, and an order that people can steer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cryomamba.geometry import Shape
from cryomamba_inference.tiling import TileOrder, TilePlan, TileSpec, plan_tiles

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
HALOS = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


@given(shape=SIDES, halo=HALOS, align=GRIDS, tile_bytes=st.integers(0, 100_000))
@example(shape=(1, 1, 1), halo=(0, 0, 0), align=(1, 1, 1), tile_bytes=0)
def test_every_voxel_is_in_one_core(shape: Shape, halo: Shape, align: Shape, tile_bytes: int) -> None:
    """Whatever the shape, halo, grid and budget: cores cover the volume once and their number is the plan's length."""
    plan = plan_tiles(shape, halo=halo, align=align, tile_bytes=tile_bytes)
    seen = np.zeros(shape, np.int32)
    for piece in plan:
        seen[piece.target] += 1
    assert (seen == 1).all()
    assert [piece.index for piece in plan] == list(range(len(plan)))


@given(shape=SIDES, halo=HALOS, align=GRIDS, tile_bytes=st.integers(0, 100_000))
def test_cores_and_halos_lie_on_the_grid(shape: Shape, halo: Shape, align: Shape, tile_bytes: int) -> None:
    """A tile starts on the engine's grid, has its whole halo wherever the volume has it, and its core lies inside."""
    plan = plan_tiles(shape, halo=halo, align=align, tile_bytes=tile_bytes)
    volume = np.arange(math.prod(shape)).reshape(shape)
    for piece in plan:
        read = volume[piece.read]
        assert np.array_equal(read[piece.core], volume[piece.target])
        assert read.size <= plan.tile_voxels
        assert math.prod(piece.shape) <= plan.core_voxels
        for axis in range(3):
            assert piece.start[axis] % align[axis] == 0
            assert piece.read_start[axis] % align[axis] == 0
            assert piece.read_start[axis] <= max(piece.start[axis] - halo[axis], 0)
            assert piece.read_stop[axis] >= min(piece.start[axis] + piece.shape[axis] + halo[axis], shape[axis])


@given(shape=SIDES, halo=HALOS, tile_bytes=st.integers(0, 100_000))
def test_tiles_keep_to_the_budget(shape: Shape, halo: Shape, tile_bytes: int) -> None:
    """No tile has more bytes than allowed, unless a single voxel with its halo has."""
    plan = plan_tiles(shape, halo=halo, tile_bytes=tile_bytes)
    assert plan.tile_voxels * 4 <= tile_bytes or plan.core == (1, 1, 1)


@pytest.mark.parametrize("shape", [(512, 512, 512), (2048, 512, 512), (200, 4096, 4096)])
def test_large_volumes_are_cut_into_few_whole_rows(shape: Shape) -> None:
    """Tiles of a large volume read at most a third more than the volume has and span whole rows where they can."""
    plan = plan_tiles(shape, halo=(4, 4, 4), tile_bytes=16 << 20)
    read = sum(math.prod(b - a for a, b in zip(p.read_start, p.read_stop, strict=True)) for p in plan)
    assert read < 1.34 * math.prod(shape)
    assert plan.core[2] == shape[2] or shape[2] > 1024


def drain(order: TileOrder[TileSpec]) -> list[int]:
    return [order.next().index for _ in range(len(order))]


def test_without_focus_the_middle_of_z_comes_first() -> None:
    """Tiles come from the middle of z outward, ties by number."""
    plan = TilePlan((50, 20, 10), (10, 10, 10), (0, 0, 0))
    assert drain(TileOrder(plan)) == [4, 5, 2, 3, 6, 7, 0, 1, 8, 9]


@given(shape=SIDES, focus=st.tuples(*[st.floats(-10, 50)] * 3), later=st.tuples(*[st.floats(-10, 50)] * 3))
def test_a_focus_orders_what_is_left(
    shape: Shape, focus: tuple[float, float, float], later: tuple[float, float, float]
) -> None:
    """Tiles come by distance from the focus; a new focus reorders the rest; none is lost or repeated."""
    plan = TilePlan(shape, (7, 6, 5), (0, 0, 0))
    order = TileOrder(plan, focus)
    first = [order.next().index for _ in range(len(plan) // 2)]
    order.set_focus(later)
    rest = drain(order)
    assert sorted(first + rest) == list(range(len(plan)))
    for indices, place in ((first, focus), (rest, later)):
        distances = [math.dist(plan[index].centre, place) for index in indices]
        assert distances == sorted(distances)
    again = TileOrder(plan, focus)
    assert [again.next().index for _ in first] == first


def test_an_empty_order_says_so() -> None:
    """Asking for more tiles than there are is an error, and so is a piece that the plan does not have."""
    plan = TilePlan((2, 2, 2), (2, 2, 2), (0, 0, 0))
    order = TileOrder(plan)
    order.next()
    with pytest.raises(IndexError):
        order.next()
    with pytest.raises(IndexError):
        plan[1]
