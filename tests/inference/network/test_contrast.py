"""The decision on the contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.inference.network.prepared import prepared

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba_inference.network.contrast import BRIGHT, DARK, Contrast, decide
from cryomamba_inference.network.samples import SAMPLE_SIDE, sample_boxes

Field = npt.NDArray[np.float32]
AXES = ((0, (1, 2)), (1, (0, 2)), (2, (0, 1)))


@pytest.fixture(scope="module")
def membranes() -> Field:
    """Dark membranes in little noise."""
    spec = PhantomSpec(shape=(48, 96, 96), voxel_size_A=12.5, seed=4, noise=0.3, crowding=0.0, fiducials=0)
    return synthesize(spec).density


@pytest.mark.parametrize("sign", [DARK, BRIGHT])
def test_the_contrast_of_membranes_is_recognized(membranes: Field, sign: int) -> None:
    """Dark and bright membranes are taken for what they are, with a clear margin."""
    contrast = prepared(-sign * membranes).contrast
    assert contrast is not None
    assert contrast.sign == sign
    assert contrast.margin > 2


def test_noise_counts_as_dark() -> None:
    """Where there is nothing to decide by, the volume is taken as raw tomograms are."""
    contrast = prepared(np.random.default_rng(1).normal(size=(24, 48, 48))).contrast
    assert contrast is not None
    assert contrast.sign == DARK


def test_a_given_contrast_is_not_questioned(membranes: Field) -> None:
    """The parameter decides, whatever the volume looks like."""
    contrast = prepared(membranes, contrast="bright").contrast
    assert contrast is not None
    assert contrast.sign == BRIGHT


def test_bright_needs_overwhelming_evidence() -> None:
    """Half as much again is not enough to take a volume for inverted, three times as much is."""
    assert decide(0.02, 0.03).sign == DARK
    assert decide(0.02, 0.06).sign == BRIGHT


def test_the_margin_is_that_of_the_chosen_sign() -> None:
    """More evidence for the chosen sign is a larger margin; equal evidence is 1."""
    assert Contrast(DARK, 0.02, 0.001).margin > 10
    assert Contrast(BRIGHT, 0.001, 0.02).margin > 10
    assert Contrast(DARK, 0.01, 0.01).margin == pytest.approx(1)
    assert Contrast(DARK, 0.01, 0.02).margin < 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 80, 80), (97, 300, 301), (20, 1000, 49), (48, 500, 52)])
def test_samples_are_spread_over_the_volume(shape: tuple[int, int, int]) -> None:
    """A small volume is sampled whole, a large one in boxes far apart that begin at even nodes."""
    boxes = sample_boxes(shape)
    taken = np.zeros(shape, np.uint8)
    for box in boxes:
        assert all(s.start % 2 == 0 and 0 <= s.start < s.stop <= size for s, size in zip(box, shape, strict=True))
        taken[box] = 1
    if np.prod(shape) <= 8 * SAMPLE_SIDE**3:
        assert taken.all()
    else:
        assert len(boxes) == len({tuple(s.start for s in box) for box in boxes}) >= 2
        assert all(np.ptp(np.flatnonzero(taken.any(axis=other))) > 0.3 * shape[axis] for axis, other in AXES)
