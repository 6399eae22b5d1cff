"""Other thresholds of a score map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.volumes import open_volume
from napari_cryomamba.models.thresholds import (
    LiveThreshold,
    ScoreMap,
    block_maximum,
    count_in_blocks,
    kept_blocks,
    with_thresholds,
    write_thresholded,
)

SIZE = (10.0, 10.0, 10.0)


def score_map(scores: Any, factor: int) -> ScoreMap:
    return ScoreMap(scores, block_maximum(scores, factor), factor, HysteresisThreshold(100, 100), SIZE)


def random_scores(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def blobs() -> ScoreMap:
    """Two strong blobs, a large and a small one, and a weak one, far from each other."""
    scores = np.zeros((20, 31, 42), np.uint8)
    scores[2:8, 2:8, 2:12] = 120
    scores[4, 4, 4] = 220
    scores[14:16, 20:22, 30:32] = 210
    scores[2:8, 20:28, 2:12] = 120
    return score_map(scores, 3)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_blocks_hold_the_maximum_and_the_count(shape: tuple[int, int, int], factor: int, seed: int) -> None:
    """Also where the last blocks are smaller than the others."""
    scores = random_scores(shape, seed)
    largest = block_maximum(scores, factor)
    counts = count_in_blocks(scores, 128, factor, np.argwhere(np.ones_like(largest)))
    for count, at in zip(counts, np.ndindex(largest.shape), strict=True):
        block = scores[tuple(slice(i * factor, (i + 1) * factor) for i in at)]
        assert largest[at] == block.max()
        assert count == np.count_nonzero(block >= 128)


@given(st.integers(1, 255), st.integers(1, 255), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_the_preview_shows_all_of_the_exact_mask(high: int, low: int, least: int, seed: int) -> None:
    """It lacks no voxel of the exact mask, and shows none below the lower threshold."""
    scores = random_scores((7, 8, 9), seed)
    found = score_map(scores, 2)
    threshold = with_thresholds(found.threshold, high=high, low=low, min_voxels=least)
    live = LiveThreshold(found, threshold)
    live.set(threshold, kept_blocks(found, threshold))
    shown, exact = np.asarray(live), apply_thresholds(scores, threshold)
    assert np.all(shown[exact > 0] == 1)
    assert np.all(scores[shown > 0] >= threshold.low)


def test_components_far_apart_are_exact(blobs: ScoreMap) -> None:
    """Components without a voxel above the upper threshold are dropped, and components below the minimum volume."""
    threshold = HysteresisThreshold(200, 100, 20)
    live = LiveThreshold(blobs, threshold)
    live.set(threshold, kept_blocks(blobs, threshold))
    np.testing.assert_array_equal(np.asarray(live), apply_thresholds(blobs.scores, threshold))
    assert np.count_nonzero(np.asarray(live)) == 6 * 6 * 10
    live.set(HysteresisThreshold(200, 100), kept_blocks(blobs, HysteresisThreshold(200, 100)))
    assert np.count_nonzero(np.asarray(live)) == 6 * 6 * 10 + 8
    assert live.coarse.max() == 1


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("index", [3, (3,), (slice(None), 5), (2, slice(1, 9, 2), slice(None)), (..., 7), (-1, 2, 3)])
def test_it_is_sliced_like_an_array(blobs: ScoreMap, index: Any, kept: bool) -> None:
    """Any slice that napari asks for equals that of the whole mask."""
    live = LiveThreshold(blobs, HysteresisThreshold(110, 110))
    if kept:
        live.set(live.threshold, kept_blocks(blobs, live.threshold))
    np.testing.assert_array_equal(live[index], np.asarray(live)[index])


def test_the_whole_mask_is_exact(blobs: ScoreMap, tmp_path: Path) -> None:
    """Applying writes the same mask as the server."""
    threshold, fractions = HysteresisThreshold(200, 100, 20), list[float]()
    write_thresholded(blobs, threshold, tmp_path / "mask.mrc", progress=fractions.append)
    with open_volume(tmp_path / "mask.mrc") as volume:
        np.testing.assert_array_equal(np.asarray(volume.array), apply_thresholds(blobs.scores, threshold))
        assert volume.meta.voxel_size_A == pytest.approx(SIZE)
    assert fractions[-1] == 1.0


def test_the_lower_threshold_is_never_above_the_upper_one() -> None:
    """An upper threshold below the lower one lowers that too."""
    assert with_thresholds(HysteresisThreshold(200, 100), high=50, low=100, min_voxels=3) == HysteresisThreshold(
        50, 50, 3
    )
