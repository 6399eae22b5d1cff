"""Estimates of noise and padding, and what people are told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from tests.inference.network.prepared import prepared

from cryomamba_inference.network.contrast import BRIGHT, DARK, Contrast
from cryomamba_inference.network.survey import Survey, noise_share, survey
from cryomamba_inference.network.wedge import NO_WEDGE

Field = npt.NDArray[np.float32]


def noise(sigma: float = 0.0) -> Field:
    white = np.random.default_rng(1).normal(size=(32, 48, 48))
    return ndimage.gaussian_filter(white, sigma).astype(np.float32) if sigma else white.astype(np.float32)


def test_the_share_of_the_noise() -> None:
    """It is 1 in white noise, whatever its deviation, less with a signal, and hardly any in a smoothed volume."""
    assert noise_share([noise(), 7 * noise()], 0.5) == pytest.approx(1, abs=0.1)
    blobs = 10 * noise(3.0) / noise(3.0).std()
    shares = [noise_share([noise() + weight * blobs], 0.5) for weight in (0.1, 0.3, 1.0)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0
    assert noise_share([noise(2.0)], 0.5) < 0.1


def test_empty_samples_are_no_error() -> None:
    """Constant volumes have neither noise nor a missing wedge."""
    found = survey([np.zeros((1, 1, 1), np.float32), np.zeros((4, 40, 40), np.float32)], 0.5, 1.0)
    assert found == Survey(0.0, NO_WEDGE, 1.0)


@pytest.mark.parametrize(
    ("seen", "sign", "codes"),
    [
        (Survey(0.9, 60.0, 0.0), DARK, []),
        (Survey(0.0, 90.0, 0.0), DARK, []),
        (Survey(0.9, 60.0, 0.3), DARK, ["looks_padded"]),
        (Survey(0.01, 60.0, 0.0), DARK, ["looks_denoised"]),
        (Survey(0.9, 60.0, 0.0), BRIGHT, ["looks_inverted"]),
    ],
)
def test_people_are_told_what_is_unusual(seen: Survey, sign: int, codes: list[str]) -> None:
    """Each irregularity has a sentence and a hint; a contrast that the user has set is none."""
    warnings = list(seen.warnings(Contrast(sign, 0.01, 0.01), decided=True))
    assert [warning.code for warning in warnings] == codes
    assert all(warning.message.endswith(".") and warning.hint.endswith(".") for warning in warnings)
    assert not any(one.code == "looks_inverted" for one in seen.warnings(Contrast(sign, 0, 0), decided=False))


def test_an_engine_reports_its_estimates() -> None:
    """Contrast, its margin and the noise are reported; a contrast that the user has set is not."""
    framed = np.pad(noise(), [(8, 8), (12, 12), (12, 12)])
    found = prepared(framed).estimates()
    assert found["contrast"] == "dark"
    assert 0 <= float(found["contrast_margin"]) <= 1
    assert 0.5 < float(found["noise"]) <= 1
    given = prepared(framed, contrast="bright")
    assert "contrast" not in given.estimates()
    assert [warning.code for warning in given.warnings()] == ["looks_padded"]


def test_a_smoothed_volume_looks_denoised() -> None:
    """A volume without fine details gets a remark."""
    assert "looks_denoised" in [warning.code for warning in prepared(noise(2.0), contrast="dark").warnings()]


def test_a_preview_is_not_surveyed() -> None:
    """A coarse preview has no estimates of the noise; they are those of the result."""
    assert "noise" not in prepared(noise(), coarse=True).estimates()
    assert prepared(noise(), coarse=True).warnings() == ()
