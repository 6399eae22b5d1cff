"""The shipped network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference import network
from cryomamba_inference.network.model import HALO, Structure, _fold, _unfold, probabilities, probability
from cryomamba_inference.network.sheets import MAPS, half_shape

Field = npt.NDArray[np.float32]


def inputs(shape: tuple[int, int, int], seed: int = 1) -> tuple[Field, Field]:
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(MAPS, *half_shape(shape)))
    return rng.normal(size=shape).astype(np.float32), (0.3 * maps).astype(np.float32)


def test_folding_is_undone() -> None:
    """Blocks of nodes become channels and come back; the channel is the position in the block."""
    field = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    folded = _fold(field)
    assert folded.shape == (8, 2, 3, 4)
    np.testing.assert_array_equal(folded[0b101], field[1::2, ::2, 1::2])
    np.testing.assert_array_equal(_unfold(folded), field)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 16, 33), (16, 16, 16)])
def test_probabilities_are_probabilities(shape: tuple[int, int, int]) -> None:
    """For any shape, those of all structures are between 0 and 1 and add up to 1."""
    field, maps = inputs(shape)
    found = probabilities(field, maps)
    assert all(one.shape == shape and one.min() >= 0 for one in found)
    np.testing.assert_allclose(np.sum(found, axis=0), 1, atol=1e-5)


def test_the_result_does_not_depend_on_what_is_processed_beside() -> None:
    """Computed by four threads at once, each field has the same bytes as alone."""
    fields = [inputs((24, 24, 24), seed) for seed in range(4)]
    alone = [probability(*one, Structure.MEMBRANE) for one in fields]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda one: probability(one[0], one[1], Structure.MEMBRANE), fields))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_halo_suffices() -> None:
    """Cut out with its halo, a box has nearly the probabilities that it has in a larger field."""
    field, maps = inputs((16, 2 * HALO + 64, 16))
    low, high = 32, 32 + 2 * HALO
    whole = probability(field, maps, Structure.BACKGROUND)[:, low + HALO : high - HALO + 16]
    cut = probability(field[:, low : high + 16], maps[:, :, low // 2 : high // 2 + 8], Structure.BACKGROUND)
    assert np.abs(cut[:, HALO : HALO + 16] - whole).max() < 0.05


def test_the_network_is_small() -> None:
    """The file in the wheel has at most 5 MB."""
    assert len(resources.files(network).joinpath("segmentation.onnx").read_bytes()) <= 5_000_000
