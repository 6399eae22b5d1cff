"""Orders of axes: there and back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cryomamba_inference.trained_models.tensors import to_scores, to_tensor

WINDOW = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "axes", ["".join(each) for n in (3, 4, 5) for each in itertools.permutations("bczyx"[5 - n :])]
)
def test_every_order_comes_back(axes: str) -> None:
    """A network that returns its input gives the window as one channel."""
    tensor = to_tensor(WINDOW, axes)
    assert tensor.ndim == len(axes)
    assert np.array_equal(to_scores(tensor, axes), WINDOW[None])


def test_a_section_has_no_z() -> None:
    """A model of single sections sees y and x, and its scores have one section."""
    tensor = to_tensor(WINDOW[:1], "bcyx")
    assert tensor.shape == (1, 1, 3, 4)
    assert np.array_equal(to_scores(tensor, "bcyx"), WINDOW[None, :1])


def test_an_output_of_another_rank_is_refused() -> None:
    """The sentence has the shape."""
    with pytest.raises(ValueError, match=r"3 axes, of shape \(2, 3, 4\), and not 5"):
        to_scores(WINDOW, "bczyx")
    with pytest.raises(ValueError, match="2 elements along the batch"):
        to_scores(WINDOW, "byx")
