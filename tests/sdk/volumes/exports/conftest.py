"""A volume that shows every mistake in order, size and place: no side, size or offset equals another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrcfile.dtypes import HEADER_DTYPE

from cryomamba.volumes import MaskWriter, Volume, blank_header, open_volume

SHAPE = (5, 7, 9)
VOXEL_SIZE = (12.0, 10.0, 13.48)
PLACEMENT = (-30.0, 20.5, 100.25)


@pytest.fixture
def array() -> Any:
    """Densities, axes z, y, x."""
    return np.random.default_rng(9).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def volume(tmp_path: Path, array: Any) -> Iterator[Volume]:
    """A big-endian float32 volume with its columns along z, an origin and an anisotropic voxel size."""
    record = np.zeros((), HEADER_DTYPE.newbyteorder(">"))
    record["nz"], record["ny"], record["nx"] = SHAPE[1], SHAPE[2], SHAPE[0]
    record["mx"], record["my"], record["mz"] = SHAPE[::-1]
    record["cella"] = tuple(n * size for n, size in zip(SHAPE[::-1], VOXEL_SIZE[::-1], strict=True))
    record["mapc"], record["mapr"], record["maps"] = 3, 1, 2
    record["mode"], record["ispg"], record["map"], record["machst"] = 2, 1, b"MAP ", (0x11, 0x11, 0, 0)
    record["origin"], record["nversion"] = PLACEMENT[::-1], 20141
    path = tmp_path / "tomo \u00e5.mrc"
    path.write_bytes(record.tobytes() + array.transpose(1, 2, 0).astype(">f4").tobytes())
    with open_volume(path) as opened:
        yield opened


@pytest.fixture
def mask(tmp_path: Path) -> Iterator[Volume]:
    """An int8 mask with labels up to 127, larger than one slab where slabs are made small."""
    block = np.random.default_rng(9).integers(0, 128, (70, 33, 65)).astype(np.uint8)
    with MaskWriter(tmp_path / "mask.mrc", blank_header(block.shape, VOXEL_SIZE), labels=127, engine="x") as writer:
        writer.write(0, 0, 0, block)
    with open_volume(tmp_path / "mask.mrc") as opened:
        yield opened
