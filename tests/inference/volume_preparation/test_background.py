"""Padding and slow changes: what is found, and what is left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.threads import ThreadTeam
from cryomamba_inference.volume_preparation.background import correct_background, remove_gradients
from cryomamba_inference.volume_preparation.padding import fill_padding, find_padding

Density = npt.NDArray[np.float32]
SHAPE = (40, 48, 56)


@pytest.fixture
def noise() -> Density:
    return np.random.default_rng(21).normal(3.0, 1.0, SHAPE).astype(np.float32)


def padding_of(nodes: Density) -> npt.NDArray[np.bool_]:
    padding = np.zeros(nodes.shape, np.bool_)
    find_padding(nodes, padding)
    return padding


def test_noise_has_no_padding(noise: Density) -> None:
    """No node of noise is taken for padding, also where it is small beside the density."""
    assert not padding_of(noise).any()
    assert not padding_of(noise + np.float32(1000)).any()


@pytest.mark.parametrize("value", [0.0, 3.0, -1e5])
@pytest.mark.parametrize("side", [np.s_[:1], np.s_[:, -3:], np.s_[:, :, :9], np.s_[10:20, 10:20, 10:20]])
def test_a_constant_region_is_padding(noise: Density, value: float, side: tuple[slice, ...]) -> None:
    """A plane at a border, a slab or a block of one value is padding with the nodes beside it, and nothing else is."""
    noise[side] = value
    expected = np.zeros(SHAPE, np.bool_)
    expected[side] = True
    padding = padding_of(noise)
    assert padding[expected].all()
    near = np.zeros(SHAPE, np.bool_)
    near[tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in _bounds(expected))] = True
    assert not padding[~near].any()


def _bounds(flags: npt.NDArray[np.bool_]) -> list[slice]:
    return [slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(flags)]


def test_what_is_no_number_is_padding(noise: Density) -> None:
    """A node that is NaN or infinite is padding, and gets a value."""
    noise[5, 6, 7], noise[20, 20, 20] = np.nan, np.inf
    padding = padding_of(noise)
    assert padding[5, 6, 7]
    assert padding[20, 20, 20]
    fill_padding(noise, padding)
    assert np.isfinite(noise).all()


def test_padding_is_filled_as_a_border_is_continued(noise: Density) -> None:
    """Behind a flat edge stands the mirror image of what is before it; what was measured stays."""
    measured = noise.copy()
    noise[:, :12] = 50.0
    padding = padding_of(noise)
    fill_padding(noise, padding)
    np.testing.assert_array_equal(noise[:, 14:], measured[:, 14:])
    np.testing.assert_array_equal(noise[:, 8:14], measured[:, 20:14:-1])


def test_a_volume_of_one_value_is_all_padding() -> None:
    """Nothing was measured in a constant volume, and nothing is divided by it."""
    nodes = np.full(SHAPE, 7.0, np.float32)
    padding = np.zeros(SHAPE, np.bool_)
    correct_background(nodes, padding)
    assert padding.all()
    assert np.isfinite(nodes).all()


def test_slow_changes_are_taken_out(noise: Density) -> None:
    """Without its slope, its bend and its fading, a volume is the even one again, within a tenth of its noise."""
    even = noise.copy()
    z, y, x = (np.linspace(-0.5, 0.5, size, dtype=np.float32) for size in SHAPE)
    nothing = np.zeros(SHAPE, np.bool_)
    noise = (noise - 3) * np.exp(0.6 * x) + 3 + 4 * z[:, None, None] + 6 * y[:, None] ** 2
    remove_gradients(noise, nothing)
    assert np.abs(noise - noise.mean() - even + even.mean()).mean() < 0.1


def test_more_threads_even_out_alike(noise: Density) -> None:
    """However many threads share the slabs, the bytes are the same."""
    noise[:, :10] = 0
    one, three = noise.copy(), noise.copy()
    of_one, of_three = np.zeros(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)
    correct_background(one, of_one, ThreadTeam(1))
    correct_background(three, of_three, ThreadTeam(3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(of_one, of_three)


def test_gradients_are_those_of_the_region(noise: Density) -> None:
    """What lies outside a region does not change what is removed inside it."""
    inside = np.zeros(SHAPE, np.bool_)
    inside[:, :, :32] = True
    nothing = np.zeros(SHAPE, np.bool_)
    sloped = noise + np.linspace(0, 8, SHAPE[0], dtype=np.float32)[:, None, None]
    other = np.where(inside, sloped, 50 - 9 * sloped)
    for nodes in (sloped, other):
        remove_gradients(nodes, nothing, inside=inside.__getitem__)
    np.testing.assert_array_equal(sloped[inside], other[inside])
    assert np.ptp(sloped[inside].reshape(SHAPE[0], -1).mean(axis=1)) < 0.5
