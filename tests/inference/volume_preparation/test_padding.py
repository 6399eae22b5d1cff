"""Where a volume is padding."""

from __future__ import annotations

import numpy as np
import pytest

from cryomamba_inference.volume_preparation.padding import find_padding


@pytest.mark.parametrize("margin", [1, 3])
def test_nodes_near_the_padding_are_marked(margin: int) -> None:
    """What was resampled across the edge of the padding counts as padding as well, in every direction."""
    nodes = np.random.default_rng(1).normal(size=(40, 40, 40)).astype(np.float32)
    nodes[:12], nodes[:, :, 30:] = 5.0, 5.0
    padding = np.zeros(nodes.shape, np.bool_)
    find_padding(nodes, padding, margin=margin)
    expected = np.zeros(nodes.shape, np.bool_)
    expected[: 12 + margin], expected[:, :, 30 - margin :] = True, True
    np.testing.assert_array_equal(padding, expected)
