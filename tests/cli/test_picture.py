"""The picture of a demo."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_cli.picture import MASK_COLOUR, TRUTH_COLOUR, draw, grey_levels, overlay, scale_bar, views


@pytest.mark.parametrize(
    ("width_A", "length_A"), [(3200.0, 500.0), (10_000.0, 2000.0), (4000.0, 1000.0), (130.0, 20.0)]
)
def test_a_scale_bar_is_a_round_number(width_A: float, length_A: float) -> None:
    """Its length is 1, 2 or 5 times a power of ten nm, and its pixels match it."""
    found, pixels = scale_bar(width_A)
    assert found == pytest.approx(length_A)
    assert pixels == pytest.approx(360 * length_A / width_A, abs=0.5)


def test_grey_levels_span_the_range() -> None:
    """The scaling ends at the outer percentiles; a constant slice is no error."""
    levels = grey_levels(np.linspace(-5, 5, 10_000, dtype=np.float32).reshape(100, 100))
    assert (levels.min(), levels.max()) == (0, 255)
    assert grey_levels(np.ones((4, 4), np.float32)).max() == 0


def test_overlay_colours_only_the_mask() -> None:
    """Voxels outside the mask stay grey, those inside are tinted."""
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    picture = overlay(np.full((4, 4), 100, np.uint8), mask, MASK_COLOUR)
    assert (picture[~mask] == 100).all()
    assert picture[1, 2, 0] > picture[1, 2, 2]


def test_panels_show_slices_mask_and_ground_truth() -> None:
    """Mask and ground truth are drawn in place, in both views, with different voxel sizes along the axes."""
    density = np.random.default_rng(0).normal(size=(20, 40, 60)).astype(np.float32)
    found, truth = np.zeros((2, *density.shape), bool)
    found[:, :, :30] = True
    truth[:, :, 30:] = True
    shown = views(density, found, truth, (20.0, 10.0, 10.0))
    assert [view.density.shape for view in shown] == [(40, 60), (20, 60)]
    picture = np.asarray(draw(shown, mask_name="mask")).astype(int)
    assert picture.shape == ((240 + 22) * 2 + 8, 360 * 3 + 16, 3)
    warm, cold = (picture[..., 0] - picture[..., 2] > 30), (picture[..., 2] - picture[..., 0] > 30)
    for top in (22, 22 + 240 + 22 + 8):
        rows = slice(top + 5, top + 230)
        assert warm[rows, 375:540].mean() > 0.9
        assert cold[rows, 930:1090].mean() > 0.9
        assert not warm[rows, 10:270].any()
    assert MASK_COLOUR[0] > TRUTH_COLOUR[0]
