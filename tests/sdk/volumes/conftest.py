"""Files for each property of an MRC header, written field by field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

MODES = {"int8": 0, "uint8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}
STAMPS = {"<": (0x44, 0x44, 0, 0), ">": (0x11, 0x11, 0, 0)}

HeaderMaker = Callable[..., bytearray]
FileMaker = Callable[..., Path]


def header_bytes(
    file_shape: tuple[int, int, int], mode: int, /, order: str = "<", imod_flags: int | None = None, **fields: Any
) -> bytearray:
    record = np.zeros((), HEADER_DTYPE.newbyteorder(order))
    record["nz"], record["ny"], record["nx"] = file_shape
    record["mz"], record["my"], record["mx"] = file_shape
    record["mode"] = mode
    record["cella"] = tuple(10.0 * n for n in file_shape[::-1])
    record["cellb"] = (90.0, 90.0, 90.0)
    record["mapc"], record["mapr"], record["maps"] = 1, 2, 3
    record["ispg"] = 1
    record["map"] = b"MAP "
    record["machst"] = STAMPS[order]
    record["nversion"] = 20141
    for name, value in fields.items():
        record[name] = value
    raw = bytearray(record.tobytes())
    if imod_flags is not None:
        raw[152:160] = np.array([1146047817, imod_flags], f"{order}i4").tobytes()
    return raw


@pytest.fixture(scope="session")
def make_header() -> HeaderMaker:
    """Return a maker of 1024 header bytes: 10 Å, volume, little-endian, unless fields say otherwise."""
    return header_bytes


@pytest.fixture
def make_file(tmp_path: Path) -> FileMaker:
    """Return a maker of MRC files from an array in file order and header fields."""

    def make(
        array: NDArray[Any], order: str = "<", extended: bytes = b"", name: str = "tomogram.mrc", **fields: Any
    ) -> Path:
        mode = fields.pop("mode", MODES.get(array.dtype.name))
        raw = header_bytes(array.shape, mode, order, **{"nsymbt": len(extended), **fields})
        path = tmp_path / name
        path.write_bytes(raw + extended + array.astype(np.dtype(order + array.dtype.str[1:])).tobytes())
        return path

    return make
