"""The temporary score file: written in blocks, read in planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_inference.score_file import ScoreFile, ScorePlanes

SHAPES = [(5, 6, 7), (2, 3, 40)]
"""In the second, a block may be so narrow that only its own bytes are written."""


def span(size: int) -> st.SearchStrategy[slice]:
    return st.tuples(st.integers(0, size - 1), st.integers(1, size)).map(lambda at: slice(min(at), max(*at, at[0] + 1)))


@pytest.mark.parametrize("shape", SHAPES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_blocks_are_read_back_as_planes(tmp_path: Path, shape: tuple[int, int, int], data: st.DataObject) -> None:
    """Any blocks in any order read back as from an array; what was never written is 0."""
    blocks = data.draw(st.lists(st.tuples(*map(span, shape)), max_size=6))
    planes = data.draw(span(shape[0]))
    array = np.zeros(shape, np.uint8)
    with ScoreFile(tmp_path / "scores.bin", shape) as file:
        for number, where in enumerate(blocks, start=1):
            block = np.full(array[where].shape, number, np.uint8)
            array[where] = block
            file.write(where, block)
    assert np.array_equal(ScorePlanes(tmp_path / "scores.bin", shape)(planes), array[planes])
    assert (tmp_path / "scores.bin").read_bytes() == array.tobytes()


def test_a_lack_of_disk_space_is_reported_at_once(tmp_path: Path) -> None:
    """A volume too large for the disk is refused with its own code before anything is computed."""
    # A pebibyte: more than any file system takes, so that nothing is filled even where this fails.
    with pytest.raises(UnavailableError) as caught:
        ScoreFile(tmp_path / "scores.bin", (1 << 20, 1 << 15, 1 << 15))
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert not (tmp_path / "scores.bin").exists()
