"""Normalized densities: level, deviation and padding of any volume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.network import density as density_module
from cryomamba_inference.network.density import LIMIT, map_scales, node_scale, normalized
from cryomamba_inference.volume_preparation.padding import find_padding
from cryomamba_inference.volume_preparation.scale import Scale, raw_scale

Field = npt.NDArray[np.float32]


def noise(shape: tuple[int, int, int] = (20, 40, 40), seed: int = 1) -> Field:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def padding_of(nodes: Field) -> npt.NDArray[np.bool_]:
    padding = np.zeros(nodes.shape, np.bool_)
    find_padding(nodes, padding)
    return padding


def scaled(data: npt.NDArray[np.floating]) -> Field:
    """Return a volume after both changes of scale."""
    volume = data.astype(np.float32)
    nodes = raw_scale(lambda where: volume[where], volume.shape).apply(volume)
    padding = padding_of(nodes)
    return normalized(nodes, padding, node_scale(nodes, padding), 1)


@pytest.mark.parametrize(("level", "deviation"), [(0.0, 1.0), (32768.0, 0.1), (-1e6, 50.0), (0.0, 1e-9), (0.0, 2e37)])
def test_any_range_is_normalized(level: float, deviation: float) -> None:
    """Whatever offset and range the densities have, those of noise have median 0 and deviation 1."""
    field = scaled(np.float64(level) + deviation * noise().astype(np.float64))
    assert np.isfinite(field).all()
    assert abs(np.median(field)) < 0.02
    assert field.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("value", [0.0, 1e6, -3e38])
def test_a_constant_volume_is_all_padding(value: float) -> None:
    """A constant volume has density 0 everywhere."""
    assert not scaled(np.full((8, 9, 10), value)).any()


def test_a_few_enormous_values_cost_nothing() -> None:
    """Where one voxel in a thousand is near the largest number there is, the others are normalized as without them."""
    data = noise()
    hot = np.random.default_rng(2).random(data.shape) < 1e-3
    field = scaled(np.where(hot, 3e38, data))
    assert np.isfinite(field).all()
    assert (field[hot] == LIMIT).all()
    assert field[~hot].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 25.0, -1000.0])
def test_padding_is_found_and_left_out(value: float) -> None:
    """A constant frame is padding, whatever its value; it has density 0, and the rest is normalized as without it."""
    data = noise((24, 44, 44))
    framed = np.full((32, 60, 60), value, np.float32)
    framed[4:-4, 8:-8, 8:-8] = data
    field = scaled(framed)
    inner = field[7:-7, 11:-11, 11:-11]
    assert inner.std() == pytest.approx(1, abs=0.05)
    assert abs(np.median(inner)) < 0.05
    assert not field[:3].any()
    assert not field[:, :7].any()


def test_the_sample_represents_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large volume that is almost empty above and below, as around a lamella, the middle counts."""
    monkeypatch.setattr(density_module, "_SAMPLE_NODES", 1000)
    data = noise((120, 30, 30))
    data[:18] *= 0.01
    data[-18:] *= 0.01
    nothing = np.zeros(data.shape, np.bool_)
    assert node_scale(data, nothing).deviation > 0.3
    maps = np.stack([data[::2, ::2, ::2], 2 * data[::2, ::2, ::2]])
    one, two = map_scales(maps, nothing)
    assert one.deviation > 0.3
    assert two.deviation == pytest.approx(2 * one.deviation)


def test_the_sign_inverts_densities() -> None:
    """Dark matter taken as dark is what bright matter is taken as bright."""
    data = noise()
    one, other = (normalized(data, padding_of(data), Scale(0.5, 2.0), sign) for sign in (-1, 1))
    np.testing.assert_array_equal(one, -other)
