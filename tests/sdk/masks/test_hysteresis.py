"""Hysteresis over slabs gives what labelling the whole volume gives."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cryomamba.masks.hysteresis import SlabHysteresis, apply_thresholds, write_mask
from cryomamba.masks.thresholds import HysteresisThreshold

Scores = npt.NDArray[np.uint8]


def whole_volume_answer(scores: Scores, cut: HysteresisThreshold) -> Scores:
    """Hysteresis and size on the whole volume, by scipy."""
    components, _ = ndimage.label(scores >= cut.low, np.ones((3, 3, 3)))
    sizes = np.bincount(components.reshape(-1))
    strong = np.unique(components[scores >= cut.high])
    keep = np.zeros(sizes.size, bool)
    keep[strong] = sizes[strong] >= cut.min_voxels
    keep[0] = False
    return keep[components].astype(np.uint8)


def slabbed(scores: Scores, cut: HysteresisThreshold, depth: int) -> Scores:
    mask = np.full_like(scores, 9)

    def write(z: int, block: Scores) -> None:
        mask[z : z + len(block)] = block

    steps: list[float] = []
    voxels = depth * scores.shape[1] * scores.shape[2]
    write_mask(scores.shape, lambda z: scores[z], write, cut, progress=steps.append, slab_voxels=voxels)
    assert steps == sorted(steps)
    assert steps[-1] == 1
    return mask


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scores, HysteresisThreshold]:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    share = draw(st.sampled_from([0.02, 0.1, 0.3, 0.9]))
    scores = (rng.integers(1, 256, shape) * (rng.random(shape) < share)).astype(np.uint8)
    low = draw(st.integers(1, 255))
    return scores, HysteresisThreshold(draw(st.integers(low, 255)), low, draw(st.sampled_from([0, 1, 2, 5, 20])))


@given(case=cases(), depth=st.integers(1, 15))
def test_slabs_give_the_whole_volumes_answer(case: tuple[Scores, HysteresisThreshold], depth: int) -> None:
    """Whatever the scores, thresholds, least size and slab depth: the mask is that of the whole volume by scipy."""
    scores, cut = case
    expected = whole_volume_answer(scores, cut)
    assert np.array_equal(slabbed(scores, cut, depth), expected)
    assert np.array_equal(apply_thresholds(scores, cut), expected)


def test_slabs_may_be_processed_in_parallel() -> None:
    """A parallel map can be used: all functions pickle, and the mask is the same."""
    rng = np.random.default_rng(7)
    scores = (rng.integers(1, 256, (12, 9, 9)) * (rng.random((12, 9, 9)) < 0.3)).astype(np.uint8)
    called = []

    def parallel_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        called.append(pickle.loads(pickle.dumps(function)))
        return map(called[-1], list(items))

    for cut in (HysteresisThreshold(200, 120, 3), HysteresisThreshold(150, 150, 0)):
        mask = np.full_like(scores, 9)
        write_mask(
            scores.shape,
            scores.__getitem__,
            lambda z, block, mask=mask: operator.setitem(mask, slice(z, z + len(block)), block),  # type: ignore[misc]
            cut,
            progress=lambda _: None,
            slab_voxels=200,
            parallel_map=parallel_map,
        )
        assert np.array_equal(mask, whole_volume_answer(scores, cut))
    assert len(called) == 3


def spiral(turns: int) -> Iterator[tuple[int, int, int]]:
    """A path that goes up and down through all slabs, touching by corners only."""
    for turn in range(turns):
        heights = range(30) if turn % 2 == 0 else range(29, -1, -1)
        for z in heights:
            yield z, 4 * turn + z % 2, z % 2
        for step in range(1, 4):
            yield heights[-1], 4 * turn + heights[-1] % 2 + step, heights[-1] % 2


def test_a_component_that_winds_through_all_slabs_is_one() -> None:
    """A thin component that crosses every seam many times, by corners, is kept for one strong voxel at its very end."""
    scores = np.zeros((30, 40, 4), np.uint8)
    path = [place for place in spiral(8) if place[1] < 40]
    for place in path:
        scores[place] = 10
    scores[path[-1]] = 200
    cut = HysteresisThreshold(200, 10, len(set(path)))
    for depth in (1, 2, 3, 7, 30):
        assert int(slabbed(scores, cut, depth).sum()) == len(set(path))
    assert not slabbed(scores, HysteresisThreshold(200, 10, len(set(path)) + 1), 3).any()


def test_an_empty_and_a_full_volume() -> None:
    """An empty volume gives an empty mask and a full one a full mask."""
    cut = HysteresisThreshold(5, 3, 2)
    assert not slabbed(np.zeros((5, 4, 3), np.uint8), cut, 2).any()
    assert slabbed(np.full((5, 4, 3), 9, np.uint8), cut, 2).all()


def test_added_slabs_are_not_kept() -> None:
    """After a slab has been added, its array may be reused."""
    rng = np.random.default_rng(3)
    scores = (rng.random((12, 10, 10)) * 255).astype(np.uint8)
    cut = HysteresisThreshold(200, 150, 3)
    labeller, buffer = SlabHysteresis(cut), np.empty((4, 10, 10), np.uint8)
    for z in range(0, 12, 4):
        buffer[...] = scores[z : z + 4]
        labeller.add(buffer)
    parts = [labeller.mask(number, scores[4 * number : 4 * number + 4]) for number in range(3)]
    assert np.array_equal(np.concatenate(parts), whole_volume_answer(scores, cut))
