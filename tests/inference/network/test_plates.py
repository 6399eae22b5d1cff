"""The oriented plate filters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import eval_legendre

from cryomamba_inference.directions import hemisphere_directions
from cryomamba_inference.network.plates import ORDER, ORIENTATIONS, PlateBank

WHOLE = (slice(None),) * 3
Field = npt.NDArray[np.float32]


def oracle(field: Field, bank: PlateBank) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the extremes over all orientations, filtering in each of them with its truncated kernel."""
    axes = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in field.shape), indexing="ij")
    radius = np.sqrt(sum(k**2 for k in axes))
    taper = np.prod([np.cos(np.pi * np.clip(np.abs(k) / np.pi - 0.6, 0, 0.4) / 0.8) ** 2 for k in axes], axis=0)
    cosines, weights = np.polynomial.legendre.leggauss(200)
    radii, index = np.unique(radius, return_inverse=True)
    along = (radii[:, None] * cosines) ** 2
    in_plane = radii[:, None] ** 2 - along
    kernel = bank.across**2 * along * np.exp(-0.5 * (bank.across**2 * along + bank.in_plane**2 * in_plane))
    parts = {n: kernel @ (weights * eval_legendre(n, cosines)) * (2 * n + 1) / 2 for n in range(0, ORDER + 1, 2)}
    spectrum, answers = np.fft.fftn(field.astype(np.float64)), []
    for normal in hemisphere_directions(ORIENTATIONS):
        cosine = np.tensordot(normal.astype(np.float64), np.array(axes), 1) / np.where(radius > 0, radius, 1)
        transfer = sum(part[index].reshape(field.shape) * eval_legendre(n, cosine) for n, part in parts.items()) * taper
        answers.append(np.fft.ifftn(spectrum * transfer).real)
    return np.max(answers, axis=0), -np.min(answers, axis=0)


@pytest.mark.parametrize("bank", [PlateBank(1.0, 2.0), PlateBank(1.0, 4.0)])
def test_steering_equals_filtering_in_every_orientation(bank: PlateBank) -> None:
    """The extremes of a random field are those of one filter per orientation."""
    field = np.random.default_rng(1).normal(size=(12, 15, 16)).astype(np.float32)
    for found, expected in zip(bank.extremes(field, WHOLE), oracle(field, bank), strict=True):
        np.testing.assert_allclose(found, expected, atol=0.02 * expected.std())


def sheet(normal: tuple[float, float, float], size: int = 40) -> Field:
    unit = np.array(normal) / np.linalg.norm(normal)
    away = np.tensordot(unit, np.indices((size,) * 3) - size // 2, 1)
    return np.exp(-(away**2) / 2).astype(np.float32)


@pytest.mark.parametrize("sign", [1, -1])
def test_sheets_of_all_orientations_have_the_same_response(sign: int) -> None:
    """On a sheet the response is positive and independent of its normal; to the other sign it is small."""
    middle = (slice(20, 21),) * 3
    found = []
    for normal in ((1, 0, 0), (0, 0, 1), (1, 1, 0), (1, 2, 3), (3, -2, 1)):
        high, low = PlateBank(1.0, 2.0).extremes(np.float32(sign) * sheet(normal), middle)
        same, other = (high, low) if sign == 1 else (low, high)
        found.append(float(same[0, 0, 0]))
        assert other[0, 0, 0] < 0.4 * same[0, 0, 0]
    assert min(found) > 0.2
    assert max(found) < 1.1 * min(found)


def test_directions_are_spread_evenly() -> None:
    """They are unit vectors of one hemisphere, and each has a neighbour at a similar angle."""
    directions = hemisphere_directions(ORIENTATIONS)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    assert (directions[:, 0] > 0).all()
    cosines = np.abs(directions @ directions.T) - 2 * np.eye(len(directions))
    nearest = np.degrees(np.arccos(cosines.max(axis=1)))
    assert nearest.min() > 8
    assert nearest.max() < 20
