"""Shared memory between processes."""

from __future__ import annotations

import os

import numpy as np

from cryomamba_inference.executor.shared_memory import SharedBlock


def test_a_block_is_shared_through_its_descriptor() -> None:
    """What one mapping writes, another reads; a view may outlive the block."""
    block = SharedBlock.create(4096)
    other = SharedBlock(os.dup(block.descriptor), 4096)
    view = block.array(64, (2, 3), np.float32)
    view[...] = 7
    assert (other.array(64, (2, 3), np.float32) == 7).all()
    block.close()
    other.close()
    assert (view == 7).all()
