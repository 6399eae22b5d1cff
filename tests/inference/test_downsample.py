"""Previews: no label lost, every voxel exactly placed, whatever order the blocks come in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.geometry import Shape
from cryomamba.wire.buffers import packed_nbytes
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES
from cryomamba_inference.downsample import PreviewCanvas, fold, magnify, preview_factor, preview_shape
from cryomamba_inference.tiling import plan_tiles

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
SCALES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))


def labels_of(shape: Shape, seed: int, *, highest: int = 3) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return (rng.integers(1, highest + 1, shape) * (rng.random(shape) < 0.1)).astype(np.uint8)


def reference(labels: npt.NDArray[Any], scale: Shape, rank: list[int] | None = None) -> npt.NDArray[Any]:
    """The definition, voxel by voxel: the winning label among i·f … i·f + f − 1."""
    small = np.zeros([-(-n // f) for n, f in zip(labels.shape, scale, strict=True)], labels.dtype)
    order = rank or list(range(1, 256))
    for at in np.ndindex(*small.shape):
        block = labels[tuple(slice(i * f, i * f + f) for i, f in zip(at, scale, strict=True))]
        present = [label for label in order if (block == label).any()]
        small[at] = present[-1] if present else 0
    return small


@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 99))
def test_folding_follows_the_definition(shape: Shape, scale: Shape, seed: int) -> None:
    """Each preview voxel is the highest label of exactly the voxels that it covers, also where these are few."""
    labels = labels_of(shape, seed)
    assert np.array_equal(fold(labels, (0, 0, 0), scale), reference(labels, scale))


@given(
    shape=SHAPES,
    scale=SCALES,
    seed=st.integers(0, 99),
    tile_bytes=st.integers(4, 4000),
    rank=st.permutations([1, 2, 3]),
)
def test_blocks_in_any_order_give_the_whole(
    shape: Shape, scale: Shape, seed: int, tile_bytes: int, rank: list[int]
) -> None:
    """Blocks off the preview's grid, in any order and with any priority, add up to the preview of the whole mask."""
    labels = labels_of(shape, seed)
    canvas = PreviewCanvas(shape, scale, priority=rank)
    pieces = list(plan_tiles(shape, tile_bytes=tile_bytes))
    for number in np.random.default_rng(seed).permutation(len(pieces)):
        canvas.put(pieces[number].start, labels[pieces[number].target])
    assert np.array_equal(canvas.over(canvas.layer()), reference(labels, scale, rank))


@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 99))
def test_no_label_is_lost(shape: Shape, scale: Shape, seed: int) -> None:
    """A label in one voxel is in the preview at that voxel's place."""
    labels = labels_of(shape, seed, highest=1)
    small = fold(labels, (0, 0, 0), scale)
    for place in np.argwhere(labels):
        assert small[tuple(place // np.array(scale))] == 1


def test_a_new_layer_hides_only_what_it_has_reached() -> None:
    """What is below stays visible until a block of the new layer covers it, background included."""
    canvas = PreviewCanvas((4, 4, 4), (2, 2, 2))
    canvas.new_layer(np.full((2, 2, 2), 7, np.uint8))
    canvas.put((0, 0, 0), np.zeros((2, 4, 4), np.uint8))
    shown = canvas.over(canvas.layer())
    assert (shown[0] == 0).all()
    assert (shown[1] == 7).all()
    shown[...] = 9
    assert (canvas.over(canvas.layer())[1] == 7).all()


@given(
    shape=st.tuples(*[st.integers(1, 5000)] * 3),
    max_voxels=st.integers(64, 256**3),
    bits=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_the_factor_is_the_smallest_that_fits(shape: Shape, max_voxels: int, bits: int) -> None:
    """A preview keeps to its voxels and to 1 MiB uncompressed, and one factor less would not."""

    def fits(scale: Shape) -> bool:
        small = preview_shape(shape, scale)
        return math.prod(small) <= max_voxels and packed_nbytes(small, bits) <= PREVIEW_WIRE_MAX_BYTES

    scale = preview_factor(shape, max_voxels=max_voxels, bits=bits)
    assert fits(scale)
    less = max(scale) - 1
    assert less == 0 or not fits(tuple(min(less, n) for n in shape))  # type: ignore[arg-type]
    assert all(f == max(scale) or f == n for f, n in zip(scale, shape, strict=True))


def test_the_usual_volume_gets_the_usual_factor() -> None:
    """512³ with one label is shown at 128³."""
    assert preview_factor((512, 512, 512), max_voxels=128**3, bits=1) == (4, 4, 4)


def test_a_binned_look_lands_where_it_belongs() -> None:
    """A binned voxel appears at the preview voxels whose centres it covers, whatever the two factors."""
    coarse = np.zeros((3, 3, 3), np.uint8)
    coarse[1, 1, 1] = 1
    shown = magnify(coarse, (24, 24, 24), 8, (2, 4, 8))
    assert shown.shape == (12, 6, 3)
    expected = np.zeros_like(shown)
    expected[4:8, 2:4, 1:2] = 1
    assert np.array_equal(shown, expected)


def test_a_priority_names_labels_once() -> None:
    """Repeated labels and the background in a priority are refused."""
    for wrong in ([2, 2, 1], [1, 0]):
        with pytest.raises(ValueError, match="priority"):
            PreviewCanvas((4, 4, 4), (2, 2, 2), priority=wrong)
