"""Arrays on disk that other processes see."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.volume_preparation.node_map import NodeMap, copied_to


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.bool_])
def test_a_copy_in_a_folder_is_what_other_machines_see(tmp_path: Path, dtype: type) -> None:
    """Inside the context an array is pickled as a file of its own; the array itself may change or be gone then."""
    values: npt.NDArray[Any] = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(dtype)
    nodes = NodeMap(values.shape, tmp_path, dtype)
    nodes.array[...] = values
    with copied_to(tmp_path):
        pickled = pickle.dumps(nodes)
    assert b"/proc/" not in pickled
    nodes.array[...] = 0
    del nodes
    (copy,) = tmp_path.iterdir()
    assert copy.stat().st_size == values.nbytes
    assert np.array_equal(pickle.loads(pickled).array, values)
